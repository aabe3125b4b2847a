"""Segments on worker processes of this machine (a Dask LocalCluster). Dask is imported when the cluster starts."""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future as ConcurrentFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.errors import ExecutorError
from deepcolor.execution.executor import Event, Failed, Finished, Progress, RunSegment, failure, run_segment
from deepcolor.execution.serial import drain
from deepcolor.processes import METHOD, TRAINING, start_server
from deepcolor.scratch import temporary_folder
from deepcolor.training.trajectory import EpochMetrics, Segment

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

_LOSSES_BESIDE_ALLOWED = 100
"""Dask also counts a lost worker against every segment that waits for it. Its count only ends what never starts."""
_CONNECTIONS_A_SEGMENT = 3
"""A segment whose connection is lost is submitted again; after this many times, trying again will not help."""
_START_TIMEOUT_S = 120
_GOODBYE_S = 5
_NEVER_S = 10**7
_RENEW_EVERY_S = 2.0
_ENDED = {"closed", "failed"}
"""The states of Dask's nannies that no longer watch over a worker."""
_NEVER_STARTED = (
    f"{_LOSSES_BESIDE_ALLOWED + 1} worker processes died before they started this segment; "
    "find out what ends them (memory, a signal), then run the same command again"
)


class LocalExecutor:
    """Runs segments on `workers` processes with one slot each; a lost worker is replaced, and its segment run again.

    The cluster starts with `prepare` or the first segment: a study that has nothing left to train starts no process.
    """

    def __init__(
        self, run: RunSegment = run_segment, *, workers: int, threads: int, devices: Sequence[str] = ()
    ) -> None:
        """Describe the executor; nothing is started yet.

        Args:
            run: Runs a segment; a module-level function, as it is sent to the workers by name.
            workers: Worker processes.
            threads: CPU threads of torch in each worker.
            devices: One torch device per worker, such as `cuda:0`; if empty, each segment keeps its own.
        """
        self._run = run
        self._workers = workers
        self._threads = threads
        self._free_devices = list(devices)
        self._device_of: dict[str, str] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._counter = itertools.count()
        self._client: Client | None = None
        self._cluster: SpecCluster | None = None
        self._starting: ConcurrentFuture[Client] | None = None
        self._until_closed = ExitStack()
        self._folder: Path | None = None
        self._looked_at = 0.0

    @property
    def slots(self) -> int:
        return self._workers

    @property
    def child_imports(self) -> Sequence[str]:
        return TRAINING if self._run is run_segment else ()

    def prepare(self) -> None:
        if self._starting is None:
            self._folder = self._until_closed.enter_context(temporary_folder("segments"))
            start_server(*self.child_imports)
            starter = ThreadPoolExecutor(1, "deepcolor-cluster")
            self._starting = starter.submit(self._start)
            starter.shutdown(wait=False)

    def submit(self, segment: Segment) -> None:
        self.prepare()
        assert self._starting is not None
        try:
            client = self._starting.result()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".rstrip(".")
            raise ExecutorError(
                f"worker processes: could not be started; {reason}. A script that uses them must start its work below "
                '`if __name__ == "__main__":`, because each of them imports it; or use the executor serial.'
            ) from error
        segment = replace(segment, threads=self._threads)
        if self._free_devices:
            self._device_of[segment.trajectory.digest] = self._free_devices.pop(0)
            segment = replace(segment, device=self._device_of[segment.trajectory.digest])
        # A thread for each segment, not Dask's callbacks: an exception in one of those would lose the event. A daemon,
        # because it waits for as long as the segment runs.
        marks = self._make_marks(f"{segment.trajectory.digest}-e{segment.to_epoch}-{next(self._counter)}")
        threading.Thread(target=self._run_to_its_end, args=(client, segment, marks), daemon=True).start()

    def events(self, timeout_s: float) -> Sequence[Event]:
        taken = drain(self._events, timeout_s)
        self._renew_workers()
        for event in taken:
            if not isinstance(event, Progress) and (device := self._device_of.pop(event.digest, None)):
                self._free_devices.append(device)
        return taken

    def close(self) -> None:
        if self._starting is not None:
            self._starting.exception()  # Its processes can only be ended once all of them are known.
        # On a busy machine closing may take longer; the processes end all the same.
        if self._client is not None:
            with suppress(TimeoutError):
                self._client.close(timeout=_GOODBYE_S)
        if self._cluster is not None:
            self._end_workers(self._cluster)
            with suppress(TimeoutError):
                self._cluster.close(timeout=_GOODBYE_S)
        self._until_closed.close()

    def _renew_workers(self) -> None:
        """Start another worker for each that Dask could not replace: its nanny has given up, and the segments would
        wait forever.
        """
        cluster, now = self._cluster, time.monotonic()
        if cluster is None or cluster.loop is None or now - self._looked_at < _RENEW_EVERY_S:
            return
        self._looked_at = now

        def renew() -> None:
            ended = [name for name, nanny in cluster.workers.items() if nanny.status.name in _ENDED]
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

    def _make_marks(self, name: str) -> Path:
        """Make the folder in which the runs of one segment are marked."""
        assert self._folder is not None
        marks = self._folder / name
        marks.mkdir()
        return marks

    def _start(self) -> Client:
        import dask
        from distributed import Client

        from deepcolor.execution.cluster import local_cluster
        from deepcolor.execution.worker import TOPIC, WorkerSetup, silence_dask

        silence_dask()
        # For as long as the cluster lives: workers that replace lost ones are started with the same settings.
        self._until_closed.enter_context(
            dask.config.set(
                {
                    "distributed.scheduler.allowed-failures": _LOSSES_BESIDE_ALLOWED,
                    "distributed.worker.multiprocessing-method": METHOD,
                    "distributed.worker.profile.enabled": False,
                    "distributed.admin.system-monitor.gil.enabled": False,
                    "distributed.admin.system-monitor.interval": "10s",
                    # Checked fifty times a second in every process, the event loops took a tenth of a core.
                    "distributed.admin.tick.interval": "1s",
                    "distributed.comm.timeouts.connect": f"{_START_TIMEOUT_S}s",
                    # The cluster would silently and finally give up a worker that takes longer to come back.
                    "distributed.deploy.lost-worker-timeout": f"{_NEVER_S}s",
                }
            )
        )
        assert self._folder is not None
        self._cluster = local_cluster(workers=self._workers, folder=self._folder)
        self._client = Client(self._cluster, timeout=_START_TIMEOUT_S)
        self._client.register_plugin(WorkerSetup())
        self._client.subscribe_topic(TOPIC, self._progressed)
        return self._client

    def _progressed(self, event: tuple[float, Any]) -> None:
        digest, rows = event[1]
        self._events.put(Progress(digest, tuple(EpochMetrics(**row) for row in rows)))

    def _run_to_its_end(self, client: Client, segment: Segment, marks: Path) -> None:
        """Have a segment run, and put its one `Finished` or `Failed`: any exception on the way is its failure."""
        digest = segment.trajectory.digest
        try:
            event = self._end_of(client, segment, marks)
        except BaseException as error:  # noqa: BLE001  # the driver would wait forever for an event that is not put
            event = failure(digest, error)
        self._events.put(event)

    def _end_of(self, client: Client, segment: Segment, marks: Path) -> Finished | Failed:
        from distributed import CancelledError, KilledWorker

        from deepcolor.execution.worker import run_on_worker

        digest = segment.trajectory.digest
        for attempt in range(_CONNECTIONS_A_SEGMENT):
            key = f"{marks.name}-{attempt}"
            future = client.submit(run_on_worker, self._run, segment, marks, key=key, pure=False, resources={"slot": 1})
            try:
                event = pickle.loads(future.result())  # noqa: S301  # from a worker of our own
            except CancelledError:  # The connection to the scheduler was lost, and the segment with it.
                continue
            except KilledWorker as error:
                return Failed(digest, reason=_NEVER_STARTED, details=str(error)[-2000:])
            if not isinstance(event, Finished | Failed) or event.digest != digest:
                raise TypeError(f"a worker answered with {type(event).__name__}")
            return event
        return Failed(digest, reason="segment cancelled with its cluster")
