"""What runs inside a worker process: its set-up, a segment at a time, and the marks of runs that lost their worker."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.http.routing import RoutingApplication
from tornado.httpserver import HTTPServer

from deepcolor.errors import SegmentError, StoreError
from deepcolor.execution.executor import MEMORY_HINT, Finished, RunSegment, failure, gpu_is_lost
from deepcolor.memory import keep_freed_memory
from deepcolor.processes import end_with_server
from deepcolor.training.trajectory import EpochMetrics, Segment

TOPIC = "deepcolor-progress"
PROGRESS_EVERY_S = 0.25
WORKER_LOSSES_ALLOWED = 2
"""Workers that a segment may lose while it runs on them; the next loss fails it."""


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
    """A worker without web pages."""


def silence_dask() -> None:
    """Keep Dask's messages about its own troubles off the screen: the driver reports what comes of them."""
    # Each has a level and a stream of its own.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


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


def run_on_worker(run: RunSegment, segment: Segment, marks: Path) -> bytes:
    """Run a segment on a Dask worker and stream its epochs, in a few messages a second.

    Args:
        run: Runs it.
        segment: What to run.
        marks: A folder for this segment only, on this machine.
    Returns:
        The `Finished` or `Failed` it ended with, pickled. Bytes, because an outcome or an exception that can only be
        pickled here would get lost in Dask's own threads.
    """
    if gpu_is_lost(segment.device):
        os._exit(1)  # Another process takes this one's place, and the segment, which has not begun and loses nothing.
    stream = _Stream(segment.trajectory.digest)
    try:
        with _marked(marks):
            try:
                return pickle.dumps(Finished(segment.trajectory.digest, run(segment, stream.put)))
            finally:
                stream.flush()
    except BaseException as error:  # noqa: BLE001  # whatever a training raises, sys.exit included, is its own failure
        return pickle.dumps(failure(segment.trajectory.digest, error))


@contextmanager
def _marked(marks: Path) -> Iterator[None]:
    """Keep a file while a segment runs: a file that outlives its run shows that the run lost its worker.

    A file, because it exists at once and stays when the process is killed; a message would be lost with its sender.

    Raises:
        SegmentError: The segment's own runs have lost more workers than is allowed.
        StoreError: There is no space to mark the run.
    """
    try:
        lost = len(list(marks.iterdir()))
        if lost > WORKER_LOSSES_ALLOWED:
            raise SegmentError(
                f"the worker process died {lost} times on this segment, most likely for lack of memory; {MEMORY_HINT}"
            )
        mark = marks / str(lost)
        mark.touch()
    except OSError as error:
        raise StoreError(
            f"segment: its start could not be recorded; got {error.strerror or error} ({marks}). "
            "Free disk space, then run the same command again: it continues from the last checkpoint."
        ) from error
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


class _Stream:
    """Sends a segment's epochs to the driver: all of them, however fast they come, in a few messages."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self._worker = get_worker()
        self._rows: list[EpochMetrics] = []
        self._sent_at = 0.0

    def put(self, row: EpochMetrics) -> None:
        """Send an epoch together with earlier ones not yet sent, or leave it to a later message."""
        self._rows.append(row)
        if time.monotonic() - self._sent_at >= PROGRESS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent yet."""
        if self._rows:
            self._worker.log_event(TOPIC, (self._digest, [vars(row) for row in self._rows]))
        self._rows = []
        self._sent_at = time.monotonic()
