"""How jobs are asked for on a cluster with SLURM: a profile of the site, which no sweep file needs to know."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from deepcolor.config.yamlfile import read_mapping
from deepcolor.errors import UserError
from deepcolor.execution.post import Slots
from deepcolor.fields.frozen import Frozen
from deepcolor.fields.refusal import Refusal, refusal_of, unknown_key, written

SLURM = "slurm"
"""What a cluster is called on the command line; `slurm:NAME` names another profile than `slurm.yaml`."""
_NAMED = re.compile(r"slurm(?::(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*))?")
_TIME = re.compile(
    r"(?:(?P<days>[0-9]+)-(?P<day_h>[0-9]+)(?::(?P<day_min>[0-9]+)(?::(?P<day_s>[0-9]+))?)?"
    r"|(?P<h>[0-9]+):(?P<h_min>[0-9]+):(?P<h_s>[0-9]+)"
    r"|(?P<min>[0-9]+)(?::(?P<min_s>[0-9]+))?)"
)
_SHORTEST_S, _SEE = 60, "docs/cluster.md"
_MOST_LEAVE_S, _MOST_STAGGER_S = 120.0, 60.0


def time_s(text: str) -> int:
    """Return a time limit in seconds.

    Args:
        text: As SLURM writes it: `MINUTES`, `MINUTES:SECONDS`, `HOURS:MINUTES:SECONDS`, `DAYS-HOURS`,
            `DAYS-HOURS:MINUTES` or `DAYS-HOURS:MINUTES:SECONDS`.
    Raises:
        Refusal: It is none of these.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise Refusal("must be a time limit of SLURM's", got=written(text), advice="Write HOURS:MINUTES:SECONDS.")
    part = {name: int(number or 0) for name, number in found.groupdict().items()}
    hours = 24 * part["days"] + part["day_h"] + part["h"]
    minutes = part["day_min"] + part["h_min"] + part["min"]
    return 3600 * hours + 60 * minutes + part["day_s"] + part["h_s"] + part["min_s"]


def _as_text(value: Any) -> Any:
    """What YAML reads as a number is as good: 90 minutes, or one GPU."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _checked_time(value: str) -> str:
    if time_s(value) < _SHORTEST_S:
        raise Refusal("must be at least a minute", got=written(value), advice="Write HOURS:MINUTES:SECONDS.")
    return value


def _line(value: str) -> str:
    if not value or not value.isprintable():
        raise Refusal("must be one line of text", got=written(value), advice="Write each line as an entry of its own.")
    return value


def _directive(value: str) -> str:
    if not _line(value).startswith("-"):
        raise Refusal("must be an option of sbatch", got=written(value), advice='Write it like "--qos=long".')
    return value


Text = Annotated[str, BeforeValidator(_as_text)]
_Word = Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,+@%-]*$")]


class JobShape(Frozen):
    """What is the same for every kind of job."""

    partition: _Word | None = None
    """Partition, or several with commas (`sbatch --partition`); null: the site's default."""
    account: _Word | None = None
    """Account to charge (`--account`); null: your default."""
    memory: Annotated[Text, Field(pattern=r"^[0-9]+[KMGT]?$")] | None = None
    """Memory of a job (`--mem`), such as `16G`; null: the site's default."""
    cpus: int = Field(default=1, ge=1, le=4096)
    """CPU cores of a job (`--cpus-per-task`)."""
    directives: tuple[str, ...] = ()
    """Further options of sbatch, one an entry, such as `--qos=long` or `--constraint=a100`."""

    @field_validator("directives")
    @classmethod
    def _are_options(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_directive(each) for each in value)

    def options(self, time: str) -> list[str]:
        """Return what is asked for as options of sbatch."""
        named = {"partition": self.partition, "account": self.account, "time": time, "mem": self.memory}
        given = [f"--{name}={value}" for name, value in named.items() if value is not None]
        return [*given, "--ntasks=1", f"--cpus-per-task={self.cpus}", *self.directives]


class DriverJob(JobShape):
    """The job that `deepcolor slurm` submits: it drives the sweep, and trains nothing itself."""

    time: Text = "1-00:00:00"
    """Time limit (`--time`). A driver that reaches it saves everything and is requeued."""

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        return _checked_time(value)


class SlurmProfile(JobShape):
    """The jobs that train, and how many there may be."""

    time: Text
    """Time limit of a job (`--time`): `4:00:00`, or minutes. Trainings may take longer: they continue in the next job.
    """
    gpus: Annotated[Text, Field(pattern=r"^([A-Za-z0-9._-]+:)?[0-9]+$")] = "0"
    """GPUs of a job (`--gres=gpu:...`): `1`, or with their type, `a100:1`."""
    processes: int | None = Field(default=None, ge=1, le=4096)
    """Trainings at a time in a job; null: one a GPU, or one a core."""
    min_jobs: int = Field(default=0, ge=0, le=10_000)
    """Jobs that are kept even while there is nothing to train."""
    max_jobs: int = Field(default=1, ge=1, le=10_000)
    """Most jobs at a time, waiting ones included."""
    prologue: tuple[str, ...] = ()
    """Lines of shell that a job runs first, such as `module load cuda`."""
    python: str | None = None
    """Python to run on the nodes, in which deepcolor is installed; null: that of the driver, under the same path."""
    interface: _Word | None = None
    """Network interface by which nodes reach each other and the driver, such as `ib0`; null: the one that leads to the
    driver."""
    driver_interface: _Word | None = None
    """The same of the driver's host, where it has another name; null: as `interface`."""
    scratch: str | None = None
    """Folder on each node's own disk into which decoded pictures are copied, such as `$TMPDIR`; null: they are read
    from the workspace."""
    leave_s: float | None = Field(default=None, ge=1)
    """Seconds before the time limit at which a job lets its trainings finish their epoch; null: 120, or a quarter of
    `time` where that is less. It must be longer than an epoch."""
    stagger_s: float | None = Field(default=None, ge=0)
    """Jobs end up to this many seconds earlier, each by another share of it, so that not all end at once; null: 60, or
    a tenth of `time` where that is less."""
    idle_s: float = Field(default=120.0, ge=0)
    """Seconds after which jobs without work are given back, down to `min_jobs`."""
    look_s: float = Field(default=15.0, ge=1, le=3600)
    """Seconds between two questions to SLURM about the jobs."""
    driver: DriverJob = DriverJob()
    """The job of `deepcolor slurm`."""

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        return _checked_time(value)

    @field_validator("prologue")
    @classmethod
    def _are_lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_line(each) for each in value)

    @field_validator("python", "scratch")
    @classmethod
    def _is_a_line(cls, value: str | None) -> str | None:
        return None if value is None else _line(value)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.min_jobs > self.max_jobs:
            advice = "Raise max_jobs, or lower this one."
            rule = f"must be at most max_jobs, which is {self.max_jobs}"
            raise Refusal(rule, got=written(self.min_jobs), advice=advice, key="min_jobs")
        if self.lifetime_s - self.job_stagger_s < _SHORTEST_S / 6:
            got = f"leave_s {self.job_leave_s:g} and stagger_s {self.job_stagger_s:g}"
            raise Refusal("must leave time to train in", got=got, advice="Raise time, or lower these.", key="time")
        return self

    @property
    def job_leave_s(self) -> float:
        """See `leave_s`."""
        return self.leave_s if self.leave_s is not None else min(_MOST_LEAVE_S, time_s(self.time) / 4)

    @property
    def job_stagger_s(self) -> float:
        """See `stagger_s`."""
        return self.stagger_s if self.stagger_s is not None else min(_MOST_STAGGER_S, time_s(self.time) / 10)

    @property
    def lifetime_s(self) -> float:
        """After how many seconds a job begins to end by itself, at the latest."""
        return time_s(self.time) - self.job_leave_s

    @property
    def gpus_a_job(self) -> int:
        """How many GPUs a job has, of whatever type."""
        return int(self.gpus.rpartition(":")[2])

    @property
    def slots_a_job(self) -> int:
        """Trainings at a time in a job."""
        return self.processes or self.gpus_a_job or self.cpus

    @property
    def threads(self) -> int:
        """CPU threads of each training."""
        return max(1, self.cpus // self.slots_a_job)

    @property
    def slots(self) -> Slots:
        """How all the jobs together are divided, once as many run as there may be."""
        workers = self.max_jobs * self.slots_a_job
        return Slots(workers, self.threads, ("cuda:0",) * workers if self.gpus_a_job else ())


def find_profile(named: str | None, *, file: Path | None) -> SlurmProfile:
    """Read the profile that a user has named.

    Args:
        named: `slurm`, or `slurm:NAME`; None: only the file was given.
        file: What `--cluster-profile` says; None: a file of that name in the folder of the user's settings.
    Raises:
        UserError: There is no such file, or a key or a value in it is wrong.
    """
    return read_profile(file if file is not None else settings_folder() / f"{_name_in(named or SLURM)}.yaml")


def is_slurm(named: str) -> bool:
    """Whether a cluster is named by its profile, not by the address of its scheduler."""
    return named == SLURM or named.startswith(f"{SLURM}:")


def settings_folder() -> Path:
    """Where a user's profiles lie: `~/.config/deepcolor`, or below XDG_CONFIG_HOME."""
    root = os.environ.get("XDG_CONFIG_HOME")
    return (Path(root) if root else Path.home() / ".config") / "deepcolor"


def read_profile(path: Path) -> SlurmProfile:
    """Read a profile.

    Raises:
        UserError: It cannot be read, or a key or a value in it is wrong; the message names the key.
    """
    if not path.exists():
        raise UserError(
            f"--cluster: the profile of a site must exist; got none at {path}. Write one ({_SEE}), or name it with "
            "--cluster-profile."
        )
    tree = read_mapping(path, kind="cluster profile", see=_SEE)
    try:
        return SlurmProfile.model_validate(tree)
    except ValidationError as error:
        raise UserError(_explained(error, path)) from None


def _name_in(named: str) -> str:
    found = _NAMED.fullmatch(named)
    if found is None:
        raise UserError(
            f"--cluster: a profile's name must be letters, digits, '.', '_' or '-'; got {named!r}. Write slurm, or "
            "slurm:NAME."
        )
    return found["name"] or SLURM


def _explained(error: ValidationError, path: Path) -> str:
    """The first error in full; unknown keys come first, for they explain missing ones."""
    detail = min(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
    place = tuple(str(part) for part in detail["loc"])
    refusal = _unknown(place) if detail["type"] == "extra_forbidden" else _in_words(detail)
    key = ".".join((*place, *(refusal.key.split(".") if refusal.key else ()))) or "file"
    got = f"; got {refusal.got}" if refusal.got else ""
    return f"{key}: {refusal.rule}{got} ({path}). {refusal.advice}".rstrip()


def _unknown(place: Sequence[str]) -> Refusal:
    return unknown_key(place[-1], (DriverJob if place[:1] == ("driver",) else SlurmProfile).model_fields)


def _in_words(detail: Any) -> Refusal:
    if detail["type"] == "string_pattern_mismatch":
        example = _EXAMPLES.get(str(detail["loc"][-1]), "gpu")
        rule = "must be a word that sbatch can take"
        return Refusal(rule, got=written(detail["input"]), advice=f"Write it like {example}.")
    return refusal_of(detail)


_EXAMPLES = {"memory": "16G", "gpus": "1, or a100:1", "interface": "ib0", "driver_interface": "eth0"}
