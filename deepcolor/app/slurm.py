"""Let a job of SLURM's drive a sweep or a pipeline, so that nobody has to stay logged in."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.errors import UserError
from deepcolor.printable import has_secret
from deepcolor.scratch import outside
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.execution.profile import SlurmProfile

_MOST_LEAVE_S = 300.0
"""Before its time limit a driver lets running epochs end, and stores the last runs."""
_SCRIPT = """\
#!/bin/bash
{directives}
cd {folder} || exit 1
{prologue}over=
# SLURM tells this shell alone that its time will soon be over.
trap 'over=1; kill -TERM "$driver"' USR1
# When the job is cancelled, the driver is told so, too: wait for it.
trap : TERM
{command} &
driver=$!
wait "$driver"; code=$?
while kill -0 "$driver" 2>/dev/null; do wait "$driver"; code=$?; done
if [ -n "$over" ] && [ "$code" -gt 128 ]; then exec scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
"""


@dataclass(frozen=True)
class DriverScript:
    """A job that drives, before it is submitted."""

    name: str
    """As SLURM lists it."""
    text: str
    log: str
    """Where it writes; `%j` stands for the job's number."""


@dataclass(frozen=True)
class Submitted:
    """A job that drives, as SLURM has taken it."""

    job: str
    name: str
    log: Path

    def as_dict(self) -> dict[str, Any]:
        """The job as a JSON object."""
        return {"job": self.job, "name": self.name, "log": str(self.log)}


def driver_script(
    file: Path, *, workspace: Workspace, profile: SlurmProfile, options: Sequence[str], overrides: Sequence[str] = ()
) -> DriverScript:
    """Write the job that drives a sweep or a pipeline; nothing is submitted.

    A job that is requeued, by SLURM or at its own time limit, continues: it runs the same command again.

    Args:
        file: The sweep, or pipeline.
        workspace: As the nodes see it, too.
        profile: Says what the job is like.
        options: Of the command in the job.
        overrides: As for `sweep`.
    Raises:
        ConfigError: The file is refused.
        UserError: An option holds a password.
    """
    from deepcolor.config.load import kind_of, load_pipeline, load_sweep
    from deepcolor.execution.profile import time_s

    for option in options:
        if has_secret(option):
            raise UserError(
                "slurm: a job's script must hold no password, for others can read it; got one in an option. Use "
                "~/.pgpass, PGPASSWORD or MLFLOW_TRACKING_PASSWORD (docs/team.md)."
            )
    kind = kind_of(file)
    if kind == "sweep":
        study = load_sweep(file, overrides, code=workspace.code).study
    else:
        study = load_pipeline(file, overrides, code=workspace.code).pipeline
    name, driver = f"deepcolor-{study}", profile.driver
    log = f"{workspace.job_logs}/{name}-%j.log"
    leave_s = math.ceil(min(_MOST_LEAVE_S, time_s(driver.time) / 4))
    asked = [
        f"--job-name={name}",
        f'--output="{log}"',
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{leave_s}",
        *driver.options(driver.time),
    ]
    words = [profile.python or sys.executable, "-m", "deepcolor", kind, str(file), *options]
    words += [word for override in overrides for word in ("-o", override)]
    text = _SCRIPT.format(
        directives="\n".join(f"#SBATCH {option}" for option in asked),
        folder=shlex.quote(str(Path.cwd())),
        prologue="".join(f"{line}\n" for line in profile.prologue),
        command=shlex.join(words),
    )
    return DriverScript(name, text, log)


def submit(script: DriverScript, *, workspace: Workspace) -> Submitted:
    """Submit a job that drives.

    Raises:
        UserError: SLURM's commands are missing here, or a job of this name drives already.
        ExecutorError: SLURM does not take it; the message says why.
    """
    from deepcolor.execution.site import check_installed
    from deepcolor.execution.squeue import ask, of_this_job

    check_installed()
    there = ask("squeue", "--noheader", f"--user={os.geteuid()}", f"--name={script.name}", "--format=%i").split()
    if there:
        raise UserError(
            f"slurm: a study must have one driver; got job {there[0]}, which is {script.name} already. Wait for it, or "
            f"end it with scancel {there[0]}."
        )
    workspace.create()
    workspace.job_logs.mkdir(parents=True, exist_ok=True)
    own = of_this_job()
    environment = outside({name: value for name, value in os.environ.items() if name not in own})
    job = ask("sbatch", "--parsable", given=script.text, environment=environment).strip().partition(";")[0]
    return Submitted(job, script.name, Path(script.log.replace("%j", job)))
