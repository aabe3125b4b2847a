"""Segments on worker processes of this machine (a Dask cluster of its own), each of which sees one GPU or none."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.execution.executor import Event, RunSegment, run_segment
from deepcolor.execution.on_dask import GOODBYE_S, DaskExecutor
from deepcolor.execution.post import posts
from deepcolor.processes import METHOD, TRAINING, start_server
from deepcolor.scratch import temporary_folder

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

_LOSSES_BESIDE_ALLOWED = 100
"""Dask also counts a lost worker against every segment that waits for it. Its count only ends what never starts."""
_START_TIMEOUT_S = 120
_NEVER_S = 10**7
_RENEW_EVERY_S = 2.0
ENDED = {"closed", "failed"}
"""The states of Dask's nannies that no longer watch over a worker."""

WORKER_SETTINGS = {
    "distributed.worker.multiprocessing-method": METHOD,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    # Checked fifty times a second in every process, the event loops took a tenth of a core.
    "distributed.admin.tick.interval": "1s",
    "distributed.comm.timeouts.connect": f"{_START_TIMEOUT_S}s",
}
"""Dask's settings where worker processes are started, whose replacements are started with the same."""


class LocalExecutor(DaskExecutor):
    """Runs segments on `workers` processes with one slot each; a lost worker is replaced, and its segment run again.

    The cluster starts with `prepare` or the first segment: a study that has nothing left to train starts no process.
    """

    losses_allowed = _LOSSES_BESIDE_ALLOWED

    def __init__(
        self, run: RunSegment = run_segment, *, workers: int, threads: int, devices: Sequence[str] = ()
    ) -> None:
        """Describe the executor; nothing is started yet.

        Args:
            run: Runs a segment; a module-level function, as it is sent to the workers by name.
            workers: Worker processes.
            threads: CPU threads of torch in each worker.
            devices: One torch device per worker, such as `cuda:0`, the only one that it sees; if empty, each segment
                keeps its own.
        """
        super().__init__(run)
        self._workers = workers
        self._posts = posts(workers=workers, threads=threads, devices=devices)
        self._cluster: SpecCluster | None = None
        self._looked_at = 0.0

    @property
    def slots(self) -> int:
        return self._workers

    @property
    def child_imports(self) -> Sequence[str]:
        return TRAINING if self._run is run_segment else ()

    def events(self, timeout_s: float) -> Sequence[Event]:
        taken = super().events(timeout_s)
        self._renew_workers()
        return taken

    def _marks(self) -> AbstractContextManager[Path]:
        return temporary_folder("segments")

    def _get_ready(self) -> None:
        start_server(*self.child_imports)

    def _connect(self) -> Client:
        import dask
        from distributed import Client

        from deepcolor.execution.cluster import local_cluster
        from deepcolor.execution.worker import WorkerSetup

        # For as long as the cluster lives: workers that replace lost ones are started with the same settings.
        self._until_closed.enter_context(
            dask.config.set(
                {
                    **WORKER_SETTINGS,
                    "distributed.scheduler.allowed-failures": _LOSSES_BESIDE_ALLOWED,
                    # The cluster would silently and finally give up a worker that takes longer to come back.
                    "distributed.deploy.lost-worker-timeout": f"{_NEVER_S}s",
                }
            )
        )
        assert self._folder is not None
        self._cluster = local_cluster(posts=self._posts, folder=self._folder)
        client = Client(self._cluster, timeout=_START_TIMEOUT_S)
        self._client = client
        client.register_plugin(WorkerSetup())
        return client

    def _not_started(self, error: Exception) -> str:
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        return (
            f"worker processes: could not be started; {reason}. A script that uses them must start its work below "
            '`if __name__ == "__main__":`, because each of them imports it; or use the executor serial.'
        )

    def _lost(self) -> str:
        return "worker processes: their scheduler has ended. Run the same command again: it goes on where it was"

    def _end_cluster(self) -> None:
        if self._cluster is not None:
            self._end_workers(self._cluster)
            with suppress(TimeoutError):
                self._cluster.close(timeout=GOODBYE_S)

    def _renew_workers(self) -> None:
        """Start another worker for each that Dask could not replace: its nanny has given up, and the segments would
        wait forever.
        """
        cluster, now = self._cluster, time.monotonic()
        if cluster is None or cluster.loop is None or now - self._looked_at < _RENEW_EVERY_S:
            return
        self._looked_at = now

        def renew() -> None:
            ended = [name for name, nanny in cluster.workers.items() if nanny.status.name in ENDED]
            for name in ended:
                del cluster.workers[name]
            if ended:
                cluster.scale(self._workers)

        cluster.loop.add_callback(renew)  # Only the event loop's thread may change what it changes.

    def _end_workers(self, cluster: SpecCluster) -> None:
        """Kill the worker processes: asked to end, each would take a second or more to shut down its libraries."""
        for nanny in cluster.workers.values():
            nanny.auto_restart = False
            if nanny.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)
