"""What runs inside a worker process: its set-up, a segment at a time, and the marks of runs that lost their worker."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from distributed import Worker, get_worker
from distributed.client import AllExit
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.http.routing import RoutingApplication
from distributed.versions import VersionMismatchWarning
from tornado.httpserver import HTTPServer

from deepcolor.data.cache.copied import ensure_copy
from deepcolor.errors import SegmentError, StoreError
from deepcolor.execution.admission import job_here, tell
from deepcolor.execution.executor import MEMORY_HINT, Finished, Left, RunSegment, failure, gpu_is_lost
from deepcolor.execution.post import SLOT, Post, moved, path_below
from deepcolor.memory import keep_freed_memory
from deepcolor.processes import end_with_server
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, Segment, TrajectoryPaths

PROGRESS_EVERY_S = 0.25
WORKER_LOSSES_ALLOWED = 2
"""Workers that a segment may lose at the same epoch while it runs on them; the next loss fails it."""
_LOOK_EVERY_S = 0.5
_WORKS = {"running", "paused"}
"""The states of a worker of Dask's that has not begun to close."""
_CUT_OFF = {"worker-handle-scheduler-connection-broken", "worker-heartbeat-error", "worker-heartbeat-missing"}
"""Dask's reasons for the end of a worker that nobody has asked to end."""
CUT_OFF_FILE = "cut-off"
"""Beside the file that asks a hosted worker to end: that it has lost its scheduler."""


class NoWebPages:
    """Keeps a part of the cluster from serving its state, and the profile of its code, to anyone who asks."""

    def start_http_server(
        self,
        routes: Any,
        dashboard_address: Any,  # noqa: ARG002  # the signature of the method it replaces
        default_port: int = 0,  # noqa: ARG002
        ssl_options: Any = None,  # noqa: ARG002
    ) -> None:
        self.http_application = RoutingApplication(routes)
        self.http_server = HTTPServer(self.http_application)  # It listens nowhere.


class QuietWorker(NoWebPages, Worker):
    """A worker without web pages, which knows its post."""

    def __init__(self, *args: Any, post: Post, leave: Path | None = None, **kwargs: Any) -> None:
        """Make a worker.

        Args:
            args: Of Dask's own worker.
            post: What it has been given of its machine.
            leave: When this file appears, end the running segment after its epoch, and take no other.
            kwargs: Of Dask's own worker.
        """
        super().__init__(*args, **kwargs)
        self.post = post
        self.leave = leave

    @property
    def leaves(self) -> bool:
        """Whether it has been asked to end."""
        return self.leave is not None and self.leave.exists()


class HostedWorker(QuietWorker):
    """A worker that this machine lends to a cluster; only the command that started it ends it."""

    async def start_unsafe(self) -> Any:
        """Set its process up, and start."""
        silence_dask()
        keep_freed_memory()
        end_with_server()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        return await super().start_unsafe()  # type: ignore[no-untyped-call]  # Dask says no more of it

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        """End; what hosts it learns whether that is because the connection to the scheduler was lost."""
        reason = kwargs.get("reason")
        if self.leave is not None and self.status.name == "running" and reason in _CUT_OFF:
            self.leave.with_name(CUT_OFF_FILE).touch()
        return await super().close(*args, **kwargs)


def silence_dask() -> None:
    """Keep Dask's messages about its own troubles off the screen: the driver reports what comes of them."""
    # Each has a level and a stream of its own.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.getLogger("asyncio").addFilter(_is_worth_saying)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # What matters is checked by us.


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Whether a message of asyncio's is not about a wait of Dask's for a result that its worker has taken with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], AllExit))


class WorkerSetup(WorkerPlugin):
    """Prepares a worker to train, and makes it ignore Ctrl-C: only the driver decides what an interrupt means."""

    name = "deepcolor-worker-setup"

    def setup(self, worker: Any) -> None:  # noqa: ARG002  # the plugin's signature
        silence_dask()
        keep_freed_memory()
        end_with_server()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            except (ValueError, RuntimeError):
                return  # not the main thread: the process is not ours alone


def run_on_worker(run: RunSegment, segment: Segment, marks: Path, topic: str, root: Path | None = None) -> bytes:
    """Run a segment on a Dask worker and stream its epochs, in a few messages a second.

    Args:
        run: Runs it.
        segment: What to run.
        marks: A folder for this segment only, which all workers see.
        topic: Under which its epochs are told.
        root: The workspace as the driver sees it; None: this worker sees all paths as the driver does.
    Returns:
        The `Finished`, `Failed` or `Left` it ended with, pickled. Bytes, because an outcome or an exception that can
        only be pickled here would get lost in Dask's own threads.
    """
    worker = get_worker()
    post = getattr(worker, "post", None) or Post(threads=worker.state.nthreads)
    here = replace(
        moved(segment, there=root, here=post.root), threads=post.threads, device=post.device or segment.device
    )
    if post.scratch is not None:
        here = replace(here, cache=ensure_copy(here.cache, post.scratch, say=tell))
    if gpu_is_lost(here.device):
        os._exit(1)  # Another process takes this one's place, and the segment, which has not begun and loses nothing.
    running = _Running(worker, here, topic)
    try:
        if running.is_over:
            return running.left(0, 0.0)
        with _marked(path_below(marks, there=root, here=post.root) if root and post.root else marks, here):
            running.flush()
            try:
                outcome = run(replace(here, ends_early=lambda: running.is_over), running.put)
            finally:
                running.flush()
        if outcome.view is None and running.is_over:
            return running.left(outcome.trained_epochs, outcome.train_s)
        if outcome.result is not None and root and post.root:
            outcome = replace(outcome, result=path_below(outcome.result, there=post.root, here=root))
        return pickle.dumps(Finished(segment.trajectory.digest, replace(outcome, device=post.label or outcome.device)))
    except BaseException as error:  # noqa: BLE001  # whatever a training raises, sys.exit included, is its own failure
        return pickle.dumps(failure(segment.trajectory.digest, error))


@contextmanager
def _marked(marks: Path, segment: Segment) -> Iterator[None]:
    """Keep a file while a segment runs: a file that outlives its run shows that the run lost its worker.

    A file, because it exists at once and stays when the process is killed; a message would be lost with its sender.
    It says at which epoch the run began: where a later one began further on, the training is not to blame for the loss.
    And it holds the job of SLURM's in which it runs: if that was ended from outside, its driver removes the file.

    Raises:
        SegmentError: The segment's own runs have lost more workers than is allowed.
        StoreError: There is no space to mark the run.
    """
    epoch = len(read_history(TrajectoryPaths(segment.store, segment.trajectory.digest)))
    try:
        before = [path.name for path in marks.iterdir()]
        lost = sum(name.endswith(f"-e{epoch}") for name in before)
        if lost > WORKER_LOSSES_ALLOWED:
            raise SegmentError(
                f"the worker process died {lost} times on this segment, most likely for lack of memory; {MEMORY_HINT}"
            )
        mark = marks / f"{len(before)}-{token_hex(4)}-e{epoch}"
        mark.write_text(job_here(), encoding="ascii")
    except OSError as error:
        raise StoreError(
            f"segment: its start could not be recorded; got {error.strerror or error} ({marks}). "
            "Free disk space, then run the same command again: it continues from the last checkpoint."
        ) from error
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


class _Running:
    """A segment on this worker: sends its epochs to the driver, all of them, however fast they come, in a few messages;
    and knows whether it should go on.
    """

    def __init__(self, worker: Any, segment: Segment, topic: str) -> None:
        self._digest = segment.trajectory.digest
        self._worker = worker
        self._topic = topic
        self._key = worker.get_current_task()
        self._rows: list[EpochMetrics] = []
        self._sent_at = time.monotonic()
        self._looked_at = 0.0
        self._is_over = False

    def put(self, row: EpochMetrics) -> None:
        """Send an epoch together with earlier ones not yet sent, or leave it to a later message."""
        self._rows.append(row)
        if time.monotonic() - self._sent_at >= PROGRESS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent yet; nothing at all says that the segment has begun."""
        self._worker.log_event(self._topic, (self._digest, self._key, [vars(row) for row in self._rows]))
        self._rows = []
        self._sent_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether this worker has been asked to end, or nobody waits for this run any more; looked at now and then."""
        if not self._is_over and time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            self._is_over = getattr(self._worker, "leaves", False) or not self._is_awaited()
        return self._is_over

    def _is_awaited(self) -> bool:
        # Its driver has gone, or has had the segment run elsewhere: Dask lets a run end that it no longer wants. If the
        # scheduler has gone, too, the worker is closing, and waits for this run.
        task = self._worker.state.tasks.get(self._key)
        return task is not None and task.state != "cancelled" and self._worker.status.name in _WORKS

    def left(self, trained_epochs: int, train_s: float) -> bytes:
        """Say that the segment must go on elsewhere, once this worker takes no other."""
        if getattr(self._worker, "leaves", False):
            self._worker.loop.add_callback(self._worker.set_resources, **{SLOT: 0})
            time.sleep(_LOOK_EVERY_S)  # Else it would be the first one to be asked again.
        return pickle.dumps(Left(self._digest, trained_epochs, train_s))
