"""Segments one after another in this process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from deepcolor.execution.executor import (
    Event,
    Failed,
    Finished,
    Progress,
    RunSegment,
    failure,
    gpu_is_lost,
    run_segment,
)
from deepcolor.memory import keep_freed_memory
from deepcolor.training.trajectory import EpochMetrics, Segment

PROGRESS_EVERY_S = 0.1
"""Between two messages of a segment; epochs that take longer are told of one by one."""


class SerialExecutor:
    """Runs each segment on one background thread, so that the driver stays free for signals and its live view."""

    def __init__(self, run: RunSegment = run_segment) -> None:
        self._run = run
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._segments: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        keep_freed_memory()
        # A daemon, so that a second Ctrl-C need not wait for the segment.
        self._thread = threading.Thread(target=self._work, name="deepcolor-segments", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        return 1

    @property
    def child_imports(self) -> Sequence[str]:
        return ()

    def prepare(self) -> None:
        """Do nothing: this process is ready."""

    def submit(self, segment: Segment) -> None:
        self._segments.put(segment)

    def events(self, timeout_s: float) -> Sequence[Event]:
        return drain(self._events, timeout_s)

    def close(self) -> None:
        self._segments.put(None)

    def _work(self) -> None:
        while (segment := self._segments.get()) is not None:
            digest = segment.trajectory.digest
            if gpu_is_lost(segment.device):
                self._events.put(Failed(digest, reason=_GPU_LOST, store_failed=True))
                continue
            stream = _Stream(digest, self._events)
            try:
                outcome = self._run(segment, stream.put)
            except BaseException as error:  # noqa: BLE001  # whatever a training raises fails its trial, never the driver
                stream.flush()
                self._events.put(failure(digest, error))
            else:
                self._events.put(Finished(digest, outcome))


class _Stream:
    """Tells of a segment's epochs in a few messages a second: for each one the driver would keep this thread waiting.

    At the end of a segment its outcome tells of all.
    """

    def __init__(self, digest: str, events: queue.SimpleQueue[Event]) -> None:
        self._digest = digest
        self._events = events
        self._rows: list[EpochMetrics] = []
        self._told_at = time.monotonic()

    def put(self, row: EpochMetrics) -> None:
        """Tell of an epoch together with earlier ones, or leave it to a later message."""
        self._rows.append(row)
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tell of the epochs that no message has told of yet."""
        if self._rows:
            self._events.put(Progress(self._digest, tuple(self._rows)))
        self._rows = []
        self._told_at = time.monotonic()


_GPU_LOST = (
    "the GPU: an error of an earlier trial has made it unusable to this process. "
    "Run the same command again: it goes on from the last checkpoint"
)


def drain(events: queue.SimpleQueue[Event], timeout_s: float) -> Sequence[Event]:
    """Take everything that is in a queue, waiting for the first one."""
    try:
        taken = [events.get(timeout=timeout_s)]
    except queue.Empty:
        return []
    while True:
        try:
            taken.append(events.get_nowait())
        except queue.Empty:
            return taken
