"""Segments in jobs of SLURM's: `deepcolor worker` in each, which comes to a scheduler in this process.

every few seconds: ask SLURM for the jobs
forget those that have ended; what was ended from outside is not held against the trainings in it
submit as many as there is work for; give those back that have had none for a while
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.errors import ExecutorError
from deepcolor.execution.executor import RunSegment, run_segment
from deepcolor.execution.post import Slots
from deepcolor.execution.profile import SlurmProfile
from deepcolor.execution.reach import Cluster
from deepcolor.execution.remote import ClusterExecutor
from deepcolor.execution.site import import_jobs
from deepcolor.execution.squeue import Seen, look_at, standing
from deepcolor.plainfile import read_plain
from deepcolor.training.trajectory import Segment
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.execution.jobs import Jobs

_LOSSES_BESIDE_ALLOWED = 100
"""Dask counts a lost worker against every segment that waits for it; jobs come and go. Ours are counted by epoch."""
_NEVER_S = 10**7
_MOST_STILLBORN = 3
"""Jobs in a row that may end without a worker, before it is clear that none will come."""
_AGAIN_AFTER_LOOKS = 4
"""After how many looks SLURM is asked again for jobs that it has refused."""
_JOIN_S = 10.0
_LAST_BYTES, _LONGEST_LINE = 2**20, 300
_FOR_NOW = re.compile(r"policy|temporar|contact|timed out|submit limit|retrying|communicat", re.IGNORECASE)
"""Refusals that pass: a limit of the site's that is reached, or a controller that is busy."""


class SlurmExecutor(ClusterExecutor):
    """Runs segments in jobs of SLURM's, which are replaced for as long as there is work for them."""

    losses_allowed = _LOSSES_BESIDE_ALLOWED

    def __init__(
        self,
        run: RunSegment = run_segment,
        *,
        profile: SlurmProfile,
        workspace: Workspace,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Describe the executor; nothing is submitted yet.

        Args:
            run: Runs a segment; a module-level function, as it is sent to the workers by name.
            profile: What the jobs are like, and how many there may be.
            workspace: All nodes must see it under the same path.
            say: Is told of jobs that end before their time, in whichever thread asks for events.
        """
        super().__init__(run, cluster=None, workspace=workspace, say=say)
        self._profile = profile
        self._jobs: Jobs | None = None
        self._keeper: threading.Thread | None = None
        self._wake = threading.Event()
        self._seen: dict[str, Seen] = {}
        self._ending: set[str] = set()
        self._waits_since: dict[str, float] = {}
        self._worked_at: float | None = None
        """When there was last work for one more job; None: never yet."""
        self._refused, self._refused_at = "", -math.inf
        self._stillborn = 0
        self._vain = ""
        self._trouble = ""

    @property
    def cut(self) -> Slots:
        return self._profile.slots

    @property
    def standing(self) -> str:
        """How the jobs are, for whoever watches; empty before the first."""
        if self._trouble:
            return self._trouble
        since = min(self._waits_since.values(), default=time.monotonic())
        said = standing(self._seen.values(), waited_s=time.monotonic() - since, refused=self._refused)
        return f"slurm: {said}" if said else ""

    def submit(self, segment: Segment) -> None:
        super().submit(segment)
        if not self._seen:  # The first job need not wait for the next look.
            self._wake.set()

    def close(self) -> None:
        self._over.set()
        self._wake.set()
        super().close()

    def _get_ready(self) -> None:
        import_jobs()

    def _reach(self) -> Cluster:
        import dask

        from deepcolor.execution.jobs import Jobs

        self._until_closed.enter_context(
            dask.config.set(
                {
                    "distributed.scheduler.allowed-failures": _LOSSES_BESIDE_ALLOWED,
                    # Which jobs have ended is asked of SLURM: a worker that is away for a while may come back.
                    "distributed.deploy.lost-worker-timeout": f"{_NEVER_S}s",
                }
            )
        )
        assert self._folder is not None
        self._jobs = Jobs(self._profile, root=self._workspace.root, folder=self._folder, logs=self._workspace.job_logs)
        self._keeper = threading.Thread(target=self._keep, name="deepcolor-jobs", daemon=True)
        self._keeper.start()
        return self._jobs.cluster

    def _not_started(self, error: Exception) -> str:
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        return f"slurm: the scheduler of its workers must start here; got {reason}. Run the command again."

    def _lost(self) -> str:
        return "slurm: the scheduler of its workers has ended. Run the same command again: it continues"

    def _waits(self) -> str:
        return ""  # `standing` says it, and why.

    def _is_in_vain(self) -> str:
        return self._vain

    def _end_cluster(self) -> None:
        if self._keeper is not None:
            self._keeper.join(_JOIN_S)
        if self._jobs is not None:
            logs = [self._log(job) for job in {*self._seen, *self._ending}]
            try:
                self._jobs.close()
            except ExecutorError as error:
                self._say(f"{str(error).rstrip('.')}; jobs that are left end by themselves.")
            for log in logs:
                log.unlink(missing_ok=True)

    # --- in a thread of its own

    def _keep(self) -> None:
        while not self._over.is_set():
            try:
                self._look_at_jobs()
                self._trouble = ""
            except ExecutorError as error:  # Its controller may be restarting: the jobs themselves go on.
                self._trouble = str(error)
            except Exception as error:  # noqa: BLE001  # one bad look must not end the looking
                self._trouble = f"slurm: the jobs could not be looked at; got {type(error).__name__}: {error}"
            self._wake.wait(self._profile.look_s)
            self._wake.clear()

    def _look_at_jobs(self) -> None:
        jobs = self._jobs
        assert jobs is not None
        there = jobs.all()
        names = {str(job.job_id): name for name, job in there.items() if job.job_id}
        seen = look_at([*names, *self._ending])
        for job, one in seen.items():
            if one.phase == "ended":
                self._take_leave(job, one)
        living = {job: one for job, one in seen.items() if job in names and one.phase in {"waits", "runs"}}
        # How a job has ended is only said once its last process has gone; another may take its place before.
        self._ending = {job for job, one in seen.items() if one.phase == "ends"}
        refused = {name: job.refused for name, job in there.items() if job.refused}
        jobs.forget([*(name for job, name in names.items() if job not in living), *refused])
        self._see(living)
        self._hear(list(refused.values()), taken=bool(seen))
        if not self._over.is_set():
            self._scale(jobs, {names[job]: one for job, one in self._seen.items()})

    def _see(self, living: dict[str, Seen]) -> None:
        now = time.monotonic()
        waiting = {job for job, one in living.items() if one.phase == "waits"}
        self._waits_since = {job: self._waits_since.get(job, now) for job in waiting}
        self._seen = living

    def _hear(self, refusals: Sequence[str], *, taken: bool) -> None:
        """Take note of what SLURM has refused; a profile that it will never take ends the sweep."""
        if not refusals:
            return
        self._refused, self._refused_at = refusals[0], time.monotonic()
        if not taken and not self._jobs_seen and not _FOR_NOW.search(self._refused):
            self._vain = (
                f"slurm: sbatch must take the jobs of the cluster's profile; got: {self._refused}. Correct the "
                "profile, then run the same command again"
            )

    def _scale(self, jobs: Jobs, living: dict[str, Seen]) -> None:
        wanted = self._wanted(jobs.number)
        if wanted < jobs.number:
            jobs.end(self._spare(living, jobs.number - wanted))
        again_s = _AGAIN_AFTER_LOOKS * self._profile.look_s
        if wanted > jobs.number and not self._vain and time.monotonic() - self._refused_at >= again_s:
            self._refused = ""
            jobs.add(wanted - jobs.number)

    def _wanted(self, number: int) -> int:
        """How many jobs there should be; as long as the workers are all at work, as many as there may be."""
        now, profile = time.monotonic(), self._profile
        open_ = len(self._open)
        if open_ and open_ >= len(self._hands):
            self._worked_at = now
            return profile.max_jobs
        if self._worked_at is not None and now - self._worked_at < profile.idle_s:
            return max(number, profile.min_jobs)
        return max(profile.min_jobs, min(profile.max_jobs, math.ceil(open_ / profile.slots_a_job)))

    def _spare(self, living: dict[str, Seen], count: int) -> list[str]:
        """The jobs that can be given back: those that wait, then those that run and have nothing to do."""
        assert self._jobs is not None
        assert self._client is not None
        held = {address for address, keys in self._client.processing().items() if keys}
        busy = {hand.job for address, hand in list(self._hands.items()) if address in held}
        ids = {name: str(job.job_id) for name, job in self._jobs.all().items()}
        waiting = [name for name, one in living.items() if one.phase == "waits"]
        idle = [name for name, one in living.items() if one.phase == "runs" and ids.get(name) not in busy]
        return [*waiting, *idle][:count]

    def _take_leave(self, job: str, one: Seen) -> None:
        """See to what a job has left that has ended."""
        if one.from_outside:
            self._forgive(job)
        worked = job in self._jobs_seen
        if worked or one.from_outside:
            self._stillborn = 0
        else:
            self._stillborn += 1
        log = self._log(job)
        if worked and one.is_expected:
            log.unlink(missing_ok=True)
            return
        said = f": {line}" if (line := _last_line(log)) else ""
        if self._stillborn >= _MOST_STILLBORN:
            self._vain = (
                f"slurm: {_MOST_STILLBORN} jobs in a row ended before a worker came; job {job}{said} ({log}). Correct "
                "what it says, or the cluster's profile, then run the same command again"
            )
        elif one.from_outside and one.state not in {"", "TIMEOUT"}:
            how = one.state.lower().replace("_", " ")
            self._news.put(f"slurm: job {job} was ended ({how}); what it was training goes on in another one.")
        elif not one.is_expected:
            self._news.put(f"slurm: job {job} has failed{said} ({log}).")

    def _forgive(self, job: str) -> None:
        """Remove the marks by which a segment would be held to have cost a job its life."""
        assert self._folder is not None
        for mark in self._folder.glob("*/*"):
            with suppress(OSError):
                if mark.read_text(encoding="ascii") == job:
                    mark.unlink(missing_ok=True)

    def _log(self, job: str) -> Path:
        return self._workspace.job_logs / f"{job}.log"


def _last_line(log: Path) -> str:
    """The last line that says something in a job's log; empty where there is none."""
    try:
        text = read_plain(log, most_bytes=_LAST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("slurmstepd")]
    return said[-1][:_LONGEST_LINE].rstrip(".") if said else ""
