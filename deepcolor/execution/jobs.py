"""The jobs of a sweep on SLURM, and the scheduler that their workers come to: the door to dask-jobqueue.

dask-jobqueue writes the job scripts, submits and cancels. Which jobs have ended, and how many there should be, is
decided by `deepcolor.execution.slurm`: dask-jobqueue itself does not replace jobs that have come to their end.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dask_jobqueue.slurm import SLURMCluster, SLURMJob
from distributed import Security
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from deepcolor.execution.cluster import QuietScheduler, throw_away_security
from deepcolor.execution.profile import SlurmProfile
from deepcolor.execution.reach import Cluster
from deepcolor.execution.squeue import cancel, of_this_job, said_by
from deepcolor.printable import secrets_of_environment
from deepcolor.scratch import outside

_CLOSE_S = 10
_ANY_MEMORY = "1 GiB"
"""dask-jobqueue wants to know the memory of a worker; ours are given no limit but their job's."""


class WorkerJob(SLURMJob):  # type: ignore[misc]  # dask-jobqueue says nothing of its types
    """A job that runs `deepcolor worker`."""

    def __init__(
        self,
        scheduler: str | None = None,
        name: str | None = None,
        *,
        words: Sequence[str],
        lines: Sequence[str],
        security: Any,
        **options: Any,
    ) -> None:
        """Describe the job; nothing is submitted yet.

        Args:
            scheduler: Its address.
            name: Of the job here.
            words: The command that it runs, without where the scheduler is.
            lines: Of shell, that it runs before.
            security: The certificate that it shows the scheduler, in files.
            options: Of dask-jobqueue's own jobs.
        """
        super().__init__(scheduler, name, **options)
        self._words = [*words, "--cluster", str(scheduler), *_certificates(security)]
        self._lines = lines
        hidden = {*of_this_job(), *secrets_of_environment()}
        told = outside({name: value for name, value in os.environ.items() if name not in hidden})
        untold = [f"--unset={name}" for name in sorted(os.environ) if name not in told]
        other = [f"{name}={value}" for name, value in sorted(told.items()) if os.environ.get(name) != value]
        self.submit_command = shlex.join(["env", *untold, *other, "sbatch"])
        self.refused = ""
        """Why SLURM has not taken it."""

    def job_script(self) -> str:
        """Return what is submitted."""
        # `exec`, so that the signal to the job's first process reaches the worker.
        return "\n".join([str(self.shebang), str(self.job_header), *self._lines, f"exec {shlex.join(self._words)}", ""])

    async def start(self) -> None:
        """Submit it; a refusal is kept, for it says nothing about the jobs beside it."""
        try:
            await super().start()
        except (RuntimeError, ValueError, OSError) as error:
            self.refused = said_by(str(error).partition("stderr:")[2] or str(error))
            await ProcessInterface.start(self)

    async def close(self) -> None:
        """End it, if it has not ended."""
        if self.status != Status.closed:
            await super().close()
            await self.forget()

    async def forget(self) -> None:
        """Take note that it has ended."""
        await ProcessInterface.close(self)


class Jobs:
    """A scheduler in this process, and the jobs whose workers come to it."""

    def __init__(self, profile: SlurmProfile, *, root: Path, folder: Path, logs: Path) -> None:
        """Start the scheduler; no job is submitted yet.

        Args:
            profile: What the jobs are like.
            root: The workspace, which the nodes see under the same path.
            folder: For certificates; it is on a file system that the nodes see, and ours alone.
            logs: Where the jobs write what they say.
        """
        logs.mkdir(parents=True, exist_ok=True)
        own = profile.driver_interface or profile.interface
        security, files = _certificates_in(folder)
        self._cluster = SLURMCluster(
            job_cls=WorkerJob,
            scheduler_cls=QuietScheduler,
            scheduler_options={"dashboard": False, "port": 0, **({"interface": own} if own else {})},
            security=security,
            silence_logs=logging.CRITICAL,
            words=worker_command(profile, root=root),
            lines=profile.prologue,
            **_described(profile, logs),
        )
        self.cluster = Cluster(self._cluster.scheduler_address, **files)
        """How the driver reaches it, too."""

    @property
    def number(self) -> int:
        """How many there are, those included that are being submitted."""
        return len(self._cluster.worker_spec)

    def all(self) -> dict[str, WorkerJob]:
        """Return those that have been submitted, or refused, by their name here."""
        return dict(self._cluster.workers)

    def add(self, count: int) -> None:
        """Submit more of them, in the background."""
        self._cluster.scale(self.number + count)

    def forget(self, names: Collection[str]) -> None:
        """Drop jobs that have ended."""
        if names:
            self._cluster.sync(self._drop, list(names))

    def end(self, names: Collection[str]) -> None:
        """Cancel jobs, all by one command, and drop them.

        Raises:
            ExecutorError: SLURM does not answer.
        """
        there = self.all()
        try:
            cancel([str(there[name].job_id) for name in names if name in there and there[name].job_id])
        finally:
            self.forget(names)

    def close(self) -> None:
        """End all jobs, and the scheduler.

        Raises:
            ExecutorError: SLURM does not answer; the jobs then end by themselves, as their scheduler does.
        """
        try:
            self.end(list(self.all()))
        finally:
            with suppress(TimeoutError):
                self._cluster.close(timeout=_CLOSE_S)

    async def _drop(self, names: Sequence[str]) -> None:
        # Only the event loop's thread may change what it changes.
        for name in names:
            self._cluster.worker_spec.pop(name, None)
            if (job := self._cluster.workers.pop(name, None)) is not None:
                await job.forget()


def script_of(profile: SlurmProfile, *, root: Path, logs: Path) -> str:
    """Return what would be submitted for a profile, without a scheduler to come to.

    Args:
        profile: See `Jobs`, and so are the others.
        root: As there.
        logs: As there.
    """
    words = worker_command(profile, root=root)
    described = _described(profile, logs)
    return WorkerJob("tls://none:0", words=words, lines=profile.prologue, security=None, **described).job_script()


def worker_command(profile: SlurmProfile, *, root: Path) -> list[str]:
    """Return the command that a job runs, without where the scheduler is."""
    sizes = {"slots": profile.slots_a_job, "threads": profile.threads}
    words = [profile.python or sys.executable, "-m", "deepcolor", "worker", "--workspace", str(root)]
    words += [word for name, number in sizes.items() for word in (f"--{name}", str(number))]
    words += ["--device", "auto" if profile.gpus_a_job else "cpu"]
    words += ["--lifetime", f"{profile.lifetime_s:g}", "--lifetime-stagger", f"{profile.job_stagger_s:g}"]
    for option, value in (("--interface", profile.interface), ("--scratch", profile.scratch)):
        words += [option, value] if value else []
    return words


def _described(profile: SlurmProfile, logs: Path) -> Mapping[str, Any]:
    """A profile as dask-jobqueue's options."""
    gpus = [f"--gres=gpu:{profile.gpus}"] if profile.gpus_a_job else []
    ours = [
        f'--output="{logs}/%j.log"',
        # Replaced by another one, not by itself: its scheduler may have gone meanwhile.
        "--no-requeue",
        f"--signal=B:TERM@{math.ceil(profile.job_leave_s)}",
    ]
    return {
        "queue": profile.partition,
        "account": profile.account,
        "walltime": profile.time,
        "cores": profile.cpus,
        "job_cpu": profile.cpus,
        "processes": 1,
        "memory": _ANY_MEMORY,
        "job_mem": profile.memory,
        "job_directives_skip": [] if profile.memory else ["--mem="],
        "job_extra_directives": [*gpus, *ours, *profile.directives],
        "job_script_prologue": [],
        "job_name": "deepcolor",
        "interface": profile.interface,
        "shebang": "#!/bin/bash",
    }


def _certificates_in(folder: Path) -> tuple[Security, dict[str, Path]]:
    """Make certificates for one cluster, in files that its jobs can read and nobody else."""
    made = throw_away_security().get_tls_config_for_role("worker")
    files = {"ca": folder / "ca.pem", "cert": folder / "cert.pem", "key": folder / "key.pem"}
    for part, file in files.items():
        file.touch(mode=0o600)
        file.write_text(made["ca_file" if part == "ca" else part], encoding="ascii")
    roles = ("client", "scheduler", "worker")
    own = {f"tls_{role}_{part}": str(files[part]) for role in roles for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(files["ca"]), **own), files


def _certificates(security: Any) -> list[str]:
    if security is None:
        return []
    files = security.get_tls_config_for_role("worker")
    named = {"ca": files["ca_file"], "cert": files["cert"], "key": files["key"]}
    return [word for part, file in named.items() for word in (f"--cluster-{part}", str(file))]
