"""Gather what a plan needs: the workload of each sweep, and the paces that it is priced by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcolor.app.data import FoundData, open_data
from deepcolor.app.how import How
from deepcolor.app.measuring import Book, Calibration, Priced
from deepcolor.app.parents import Parents
from deepcolor.config.load import kind_of, load_pipeline, load_sweep
from deepcolor.config.schema import Setting, Sweep
from deepcolor.errors import DeepcolorError, ModelError, StudyError
from deepcolor.search.plan.price import Cost, Machine, price, time_text
from deepcolor.search.plan.workload import refuse_if_nothing_fits, workload
from deepcolor.search.study.changes import refused
from deepcolor.search.study.storage import StoredStudy, StudyStorage
from deepcolor.training.trajectory import InitWeights

SHARE = 0.1
"""Of the seconds that a plan announces, what it may measure for; starting the workers is apart."""
LEAST_S = 30.0
"""What it may measure for however little it announces: a handful of forms."""
WORKER_START_S = 4.0
"""Processor seconds until worker processes train, where no calibration has just measured it."""
_LEAST_BUSY_S = 0.2
"""Of measured work; with less, as in a process that has imported all before, the ratio says nothing."""


@dataclass(frozen=True)
class Plan:
    """What the sweeps of a file would cost."""

    sweeps: tuple[Sweep, ...]
    """In their order."""
    costs: tuple[Cost, ...]
    """Of each."""

    @property
    def wall_s(self) -> float:
        return sum(cost.wall_s for cost in self.costs)

    @property
    def expected_s(self) -> float | None:
        """What is left of it where pruners end as many trials as they mostly do; None without a pruner."""
        if all(cost.expected_s is None for cost in self.costs):
            return None
        return sum(cost.wall_s if cost.expected_s is None else cost.expected_s for cost in self.costs)

    @property
    def gpu_hours(self) -> float:
        return sum(cost.gpu_hours for cost in self.costs)

    @property
    def store_bytes(self) -> int:
        """Checkpoints and results in the trajectory store."""
        return sum(cost.store_bytes for cost in self.costs)

    @property
    def tracking_bytes(self) -> int:
        """The same results as MLflow's artifacts."""
        return sum(cost.tracking_bytes for cost in self.costs)

    @property
    def at_most(self) -> bool:
        """Whether one of them may end sooner."""
        return any(cost.at_most for cost in self.costs)

    @property
    def time(self) -> str:
        """How long they take, in words."""
        return time_text(self.wall_s, expected_s=self.expected_s, at_most=self.at_most)

    def as_dict(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        each = zip(self.sweeps, self.costs, strict=True)
        return {
            "sweeps": [{"stage": sweep.stage, **cost.as_dict()} for sweep, cost in each],
            "wall_s": self.wall_s,
            "expected_s": self.expected_s,
            "hours": self.wall_s / 3600,
            "gpu_hours": self.gpu_hours,
            "disk_bytes": self.store_bytes + self.tracking_bytes,
            "at_most": self.at_most,
        }


def plan_file(file: Path, how: How, *, overrides: Sequence[str] = (), extend: bool = False) -> Plan:
    """Price what is in a file: a sweep, or a pipeline, whose best trials are promoted between its sweeps.

    Args:
        file: The sweep or pipeline file.
        how: The options of the command.
        overrides: `key=value` each; of a pipeline, keys start with a stage.
        extend: As for `estimate`.
    Raises:
        ConfigError: The file is refused; the message names the key.
        DataError: As for `estimate`, and so are the others.
    """
    is_pipeline, code = kind_of(file) == "pipeline", how.workspace.code
    if is_pipeline:
        sweeps = load_pipeline(file, overrides, code=code).sweeps
    else:
        sweeps = (load_sweep(file, overrides, code=code),)
    return Plan(sweeps, tuple(estimate(sweeps, how, promoted=is_pipeline, extend=extend)))


def estimate(sweeps: Sequence[Sweep], how: How, *, promoted: bool = False, extend: bool = False) -> list[Cost]:
    """Price sweeps that run one after the other; the workers are started once.

    Args:
        sweeps: In their order; a later one may start from what an earlier one makes.
        how: The options of the command.
        promoted: Whether the best trial of each is promoted before the next one starts.
        extend: Whether a study may be planned as it would be after `deepcolor sweep --extend`.
    Raises:
        DataError: A data set is not prepared, or its pictures have changed.
        ModelError: What a sweep starts from does not exist, and no sweep before it makes it.
        StudyError: A study of the same name was made from another sweep.
        SegmentError: The calibration failed.
    """
    stretch = _stretch()
    storage = StudyStorage(how.workspace)
    jobs: list[Priced] = []
    for sweep in sweeps:
        jobs.append(_job(sweep, how, storage, before=[job.sweep for job in jobs], extend=extend))
    cut = how.slots()
    machine = Machine(
        cut.workers, cut.threads, "cuda" if cut.devices else "cpu", WORKER_START_S * stretch, 0.0, stretch
    )
    book = Book(jobs, how.workspace, storage, machine=machine)
    with Calibration(how, forms=book.forms()) as calibration:
        while (wanted := book.next_wanted()) is not None:
            job, form = wanted
            announced_s = sum(cost.wall_s for cost in _priced(book, calibration.machine(machine), promoted=promoted))
            allowed_s = max(LEAST_S, SHARE * announced_s)
            if book.knows_any and calibration.spent_s + calibration.longest_s > allowed_s:
                calibration.say_rest_is_derived()
                break
            book.put(job, form, calibration.measure(job, form, machine=machine))
        return _priced(book, calibration.machine(machine), promoted=promoted)


def _priced(book: Book, machine: Machine, *, promoted: bool) -> list[Cost]:
    """Price all sweeps by what the book knows by now; none of them while it knows nothing."""
    costs = []
    for job in book.jobs if book.knows_any or not book.forms() else ():
        cost = price(job.sweep, job.work, paces=book.paces(job), machine=machine, promoted=promoted)
        costs.append(replace(cost, data_forms=max(1, len(job.data.forms)), data_bytes=_bytes_of(job.data)))
        if job.work.chains:
            machine = replace(machine, startup_s=0.0, cold_s=0.0)
    return costs


def _bytes_of(data: FoundData) -> int:
    """What the decoded forms of a data set take on disk, where there are several."""
    folders = [folder for _, folder in data.forms.values()] if len(data.forms) > 1 else []
    return sum(file.stat().st_size for folder in folders for file in folder.iterdir() if file.is_file())


def _stretch() -> float:
    """Seconds by the clock for one of the processor's, seen on what any driver has to do too: import its libraries."""
    began, busy = time.perf_counter(), time.process_time()
    import deepcolor.report.writing
    import deepcolor.training.calibration  # noqa: F401

    took_s, busy_s = time.perf_counter() - began, time.process_time() - busy
    return max(1.0, took_s / busy_s) if busy_s > _LEAST_BUSY_S else 1.0


def _job(sweep: Sweep, how: How, storage: StudyStorage, *, before: Sequence[Sweep], extend: bool) -> Priced:
    for line in sweep.said:
        how.reporter.note(line)
    parents = Parents(how.workspace, storage, tracking_uri=how.tracking_uri)
    storage.refuse_former(sweep.study)
    stored = storage.load(sweep.study) if sweep.study in storage.names() else None
    changes = stored.changes_to(sweep) if stored else []
    if changes and not extend:
        raise refused(how.workspace, sweep.study, changes)
    if stored and not changes:
        resolved = stored.sweep
    else:
        resolved = _adopted(sweep, parents, before=before).with_sampler(stored.sweep if stored else None)
        resolved = storage.with_first(resolved)
    if stored is None:
        refuse_if_nothing_fits(resolved)
    data = open_data(how.workspace, sweep, reporter=how.reporter)
    work = workload(
        resolved,
        stored.trials() if stored else [],
        data_digest=data.digest,
        forms={form: digest for form, (digest, _) in data.forms.items()},
        store=how.workspace.trajectories,
        parent_of=_parent_of(parents, stored, can_wait=bool(before)),
    )
    return Priced(resolved, data, work)


def _adopted(sweep: Sweep, parents: Parents, *, before: Sequence[Sweep]) -> Sweep:
    """Take over the parent's form; of a parent that an earlier sweep has yet to make, the widest form it may have."""
    try:
        return parents.adopt(sweep)
    except (ModelError, StudyError):
        makers = [earlier for earlier in before if _makes(earlier, sweep)]
        if not makers:
            raise
    given = {name: getattr(sweep.model, name) for name in sweep.model.model_fields_set}
    widest = makers[-1].model.model_dump() | _largest_searched(makers[-1])
    fields = sweep.stage_class.takes_form
    taken = {name: widest[name] for name in fields if name in widest and name not in sweep.searched_fields}
    return sweep.model_copy(update={"model": sweep.model.model_copy(update=taken | given)})


def _makes(earlier: Sweep, sweep: Sweep) -> bool:
    ref = sweep.init.init_from or ""
    return ref == f"study:{earlier.study}" or ref.startswith(f"{earlier.label}@")


def _largest_searched(sweep: Sweep) -> dict[str, float]:
    """The largest number that a search may give each field of the model."""
    largest = {}
    for field in type(sweep.model).model_fields:
        values = sweep.values_of(field) if field in sweep.searched_fields else ()
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers:
            largest[field] = max(numbers)
    return largest


def _parent_of(
    parents: Parents, study: StoredStudy | None, *, can_wait: bool
) -> Callable[[Setting], InitWeights | None]:
    """What a setting starts from; weights that are yet to be made share nothing with what the store holds."""

    def parent_of(setting: Setting) -> InitWeights | None:
        try:
            return parents.peek(study, setting)
        except DeepcolorError:
            if not can_wait:
                raise
            return InitWeights("", Path(), str(setting.init.init_from))

    return parent_of
