"""Segments on the workers of a Dask cluster, however these are got. Dask is imported when the cluster is.

    submit: a thread for each segment
        until it has ended: have a worker run it; begin anew if the worker leaves, or the connection is lost
    events: what workers have told, and what has ended

A lost worker's segment is run again by Dask itself. What differs between executors is how they come by their workers.
"""

from __future__ import annotations

import itertools
import pickle
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future as ConcurrentFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from deepcolor.errors import DeepcolorError, ExecutorError
from deepcolor.execution.executor import Event, Failed, Finished, Left, Progress, RunSegment, failure, run_segment
from deepcolor.execution.post import SLOT
from deepcolor.execution.serial import drain
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths

if TYPE_CHECKING:
    from distributed import Client

GOODBYE_S = 5
_LOOK_EVERY_S = 1.0
_HASTY_S, _MOST_HASTY = 5.0, 3
"""A segment that is cancelled so soon, so often, is not worth another try."""


class DaskExecutor(ABC):
    """Runs each segment on one worker process; the cluster is there from `prepare` or the first segment on."""

    losses_allowed: ClassVar[int] = 3
    """After how many lost workers the cluster gives a segment up; only said if one never began."""

    def __init__(self, run: RunSegment = run_segment, *, root: Path | None = None) -> None:
        """Describe the executor; nothing is started yet.

        Args:
            run: Runs a segment; a module-level function, as it is sent to the workers by name.
            root: The workspace, which workers may see under another path; None: they see the same paths.
        """
        self._run = run
        self._root = root
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._counter = itertools.count()
        self._client: Client | None = None
        self._starting: ConcurrentFuture[Client] | None = None
        self._until_closed = ExitStack()
        self._folder: Path | None = None
        self._topic = f"deepcolor-{token_hex(8)}"
        self._open: set[str] = set()
        """Keys of segments that have not ended."""
        self._begun: set[str] = set()
        """Keys of those that a worker runs, as far as is known."""
        self._stranded: set[str] = set()
        """Keys of those that no worker holds: they must be submitted anew."""

    # --- what differs

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many segments run at the same time."""

    @property
    def child_imports(self) -> Sequence[str]:
        """See `Executor`."""
        return ()

    @property
    def _demand(self) -> Mapping[str, float]:
        """The resources that a segment takes."""
        return {SLOT: 1}

    @abstractmethod
    def _marks(self) -> AbstractContextManager[Path]:
        """Make a folder that all workers see, and remove it at the end."""

    @abstractmethod
    def _connect(self) -> Client:
        """Start the cluster, or find it."""

    @abstractmethod
    def _not_started(self, error: Exception) -> str:
        """Say what it means that there is no cluster."""

    @abstractmethod
    def _lost(self) -> str:
        """Say what it means that the cluster is gone for good."""

    def _is_in_vain(self) -> str:
        """Say why no worker will ever come for a segment that none has begun; empty while one may."""
        return ""

    # Not every executor has something to do at these moments.

    def _get_ready(self) -> None:  # noqa: B027  # see above
        """Do what must be done in the main thread, before the cluster is there."""

    def _say_goodbye(self, client: Client) -> None:  # noqa: B027  # see above
        """Do what must be done while the client is still connected."""

    def _end_cluster(self) -> None:  # noqa: B027  # see above
        """Do what must be done once the client has gone."""

    # --- what does not

    def prepare(self) -> None:
        if self._starting is None:
            self._folder = self._until_closed.enter_context(self._marks())
            self._get_ready()
            starter = ThreadPoolExecutor(1, "deepcolor-cluster")
            self._starting = starter.submit(self._start)
            starter.shutdown(wait=False)

    def submit(self, segment: Segment) -> None:
        self.prepare()
        assert self._starting is not None
        try:
            client = self._starting.result()
        except DeepcolorError:
            raise
        except Exception as error:
            raise ExecutorError(self._not_started(error)) from error
        # A thread for each segment, not Dask's callbacks: an exception in one of those would lose the event. A daemon,
        # because it waits for as long as the segment runs.
        marks = self._make_marks(f"{segment.trajectory.digest}-e{segment.to_epoch}-{next(self._counter)}")
        threading.Thread(target=self._run_to_its_end, args=(client, segment, marks), daemon=True).start()

    def events(self, timeout_s: float) -> Sequence[Event]:
        return drain(self._events, timeout_s)

    def close(self) -> None:
        if self._starting is not None:
            self._starting.exception()  # Its processes can only be ended once all of them are known.
        # On a busy machine closing may take longer; the processes end all the same.
        if self._client is not None:
            with suppress(TimeoutError, OSError):
                self._say_goodbye(self._client)
            with suppress(TimeoutError):
                self._client.close(timeout=GOODBYE_S)
        self._end_cluster()
        self._until_closed.close()

    def _start(self) -> Client:
        from deepcolor.execution.worker import silence_dask

        silence_dask()
        client = self._client = self._connect()
        client.subscribe_topic(self._topic, self._progressed)
        return client

    def _make_marks(self, name: str) -> Path:
        """Make the folder in which the runs of one segment are marked."""
        assert self._folder is not None
        marks = self._folder / name
        marks.mkdir()
        return marks

    def _progressed(self, event: tuple[float, Any]) -> None:
        digest, key, rows = event[1]
        self._begun.add(key)
        if rows:
            self._events.put(Progress(digest, tuple(EpochMetrics(**row) for row in rows)))

    def _run_to_its_end(self, client: Client, segment: Segment, marks: Path) -> None:
        """Have a segment run, and put its one `Finished` or `Failed`: any exception on the way is its failure."""
        digest = segment.trajectory.digest
        try:
            event = self._end_of(client, segment, marks)
        except BaseException as error:  # noqa: BLE001  # the driver would wait forever for an event that is not put
            lost = client.status in {"closing", "closed"}
            event = Failed(digest, reason=self._lost(), store_failed=True) if lost else failure(digest, error)
        self._events.put(event)

    def _end_of(self, client: Client, segment: Segment, marks: Path) -> Finished | Failed:
        from distributed import CancelledError, KilledWorker

        digest, hasty = segment.trajectory.digest, 0
        before = Left(digest)
        for number in itertools.count():
            asked = time.monotonic()
            try:
                answer = self._answer(client, f"{marks.name}-{number}", segment, marks)
            except CancelledError:  # The connection to the scheduler was lost, and the segment with it.
                if not _is_back(client):
                    return Failed(digest, reason=self._lost(), store_failed=True)
                hasty = hasty + 1 if time.monotonic() - asked < _HASTY_S else 0
                if hasty >= _MOST_HASTY:
                    break
                continue
            except KilledWorker as error:
                reason = (
                    f"{self.losses_allowed + 1} worker processes died before they started this segment; "
                    "find out what ends them (memory, a signal), then run the same command again"
                )
                return Failed(digest, reason=reason, details=str(error)[-2000:])
            if isinstance(answer, Left):
                before = before.and_then(answer)
            elif answer is None:
                continue
            elif isinstance(answer, Finished):
                return Finished(digest, before.added_to(answer.outcome))
            else:
                return answer
        return Failed(digest, reason="segment cancelled with its cluster")

    def _answer(self, client: Client, key: str, segment: Segment, marks: Path) -> Finished | Failed | Left | None:
        """Have one worker run a segment, and return what it says; None where the segment must be submitted anew."""
        from deepcolor.execution.worker import run_on_worker

        future = client.submit(
            run_on_worker,
            self._run,
            segment,
            marks,
            self._topic,
            self._root,
            key=key,
            pure=False,
            resources=dict(self._demand),
        )
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        self._open.add(key)
        try:
            while (answer := _result(future, ended)) is None:
                if key in self._stranded:
                    return None
                if self._is_called_off(key, segment):
                    return Finished(segment.trajectory.digest, _untouched(segment))
                if key not in self._begun and (reason := self._is_in_vain()):
                    return Failed(segment.trajectory.digest, reason=reason, store_failed=True)
            event = pickle.loads(answer)  # noqa: S301  # from a worker of our own
        finally:
            for keys in (self._open, self._begun, self._stranded):
                keys.discard(key)
            future.release()
        if not isinstance(event, Finished | Failed | Left) or event.digest != segment.trajectory.digest:
            raise TypeError(f"a worker answered with {type(event).__name__}")
        return event

    def _is_called_off(self, key: str, segment: Segment) -> bool:
        """Whether a segment need not run any more that no worker has begun: it may have to wait for one for long."""
        return key not in self._begun and segment.called_off


def _result(future: Any, ended: threading.Event) -> Any:
    """Wait for a result for a moment; one that its worker has taken with it is awaited as if it had never been.

    While nothing has ended, only this thread wakes now and then: a question to Dask from each of a thousand of them
    would keep its event loop from everything else.
    """
    if not (ended.wait(_LOOK_EVERY_S) or future.done()):
        return None
    try:
        return future.result(timeout=_LOOK_EVERY_S)
    except TimeoutError:
        if future.status == "error":
            raise
        return None
    except UnboundLocalError:  # As `distributed.utils.sync` tells that its wait was cancelled: the loop is too busy.
        return None


def _is_back(client: Client) -> bool:
    while client.status == "connecting":
        time.sleep(0.1)
    return bool(client.status == "running")


def _untouched(segment: Segment) -> SegmentOutcome:
    """What a segment gives that has been stopped before it began."""
    digest = segment.trajectory.digest
    history = read_history(TrajectoryPaths(segment.store, digest))
    return SegmentOutcome(digest, history, trained_epochs=0, train_s=0.0, view=None)
