"""What the driver asks of whatever runs its segments, and the events it gets back."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from deepcolor.errors import DeepcolorError, StoreError
from deepcolor.limits import refusal, text_of
from deepcolor.plugins import is_own
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome

RunSegment = Callable[[Segment, Callable[[EpochMetrics], None] | None], SegmentOutcome]
"""`deepcolor.training.advance.advance`, or anything that does what it promises."""


@dataclass(frozen=True)
class Progress:
    """A segment has finished some epochs.

    Meant for watching, not to be relied on: a message may be lost with its worker, come after the segment's end, or
    come again from a run that began at an earlier checkpoint. Only the outcome says what a segment has done.
    """

    digest: str
    rows: tuple[EpochMetrics, ...]
    """Consecutive epochs: all those since the run's last message."""


@dataclass(frozen=True)
class Finished:
    """A segment has returned."""

    digest: str
    outcome: SegmentOutcome


@dataclass(frozen=True)
class Failed:
    """A segment has raised, or its worker was lost too often."""

    digest: str
    reason: str
    """One line: the error's class and message; only the message if deepcolor raised it."""
    details: str = ""
    """The last lines of the traceback."""
    store_failed: bool = False
    """The store could not be written, or the machine is at a limit: the setting is not to blame, and any other would
    fail in the same way.
    """


Event = Progress | Finished | Failed


@dataclass(frozen=True)
class Left:
    """A segment that must go on elsewhere, because the worker that ran it has been asked to end; no event."""

    digest: str
    trained_epochs: int = 0
    train_s: float = 0.0

    def and_then(self, later: Left) -> Left:
        """Return both together."""
        return Left(self.digest, self.trained_epochs + later.trained_epochs, self.train_s + later.train_s)

    def added_to(self, outcome: SegmentOutcome) -> SegmentOutcome:
        """Return what came of a segment that went on elsewhere, with what was trained before."""
        epochs, train_s = self.trained_epochs + outcome.trained_epochs, self.train_s + outcome.train_s
        return replace(outcome, trained_epochs=epochs, train_s=train_s) if self.train_s else outcome


MEMORY_HINT = "use fewer feature_maps, a smaller batch_size or fewer --workers"

_LONGEST_REASON = 500
_SIGNS_OF_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "status_alloc_failed",  # cuDNN's and cuBLAS's word for it.
)


class Executor(Protocol):
    """Runs segments, at most `slots` at a time and at most one per trajectory.

    One whose workers come and go may have a property `standing`, too: how they are now, in a few words for whoever
    watches.
    """

    @property
    def slots(self) -> int:
        """How many segments run at the same time: asked before each is submitted, and free to change. At least 1: a
        segment may wait for a worker.
        """

    @property
    def child_imports(self) -> Sequence[str]:
        """Modules for the server that its processes, and those that decode, are forked from; empty: none."""

    def prepare(self) -> None:
        """Start in the background what the first segment would wait for; called once segments are certain to come."""

    def submit(self, segment: Segment) -> None:
        """Start a segment; its `Finished` or `Failed` comes exactly once.

        Raises:
            ExecutorError: The processes that would run it cannot be started.
        """

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Wait for something to happen; empty after `timeout_s` seconds."""

    def close(self) -> None:
        """Release threads and processes without waiting for running segments."""


def standing_of(executor: Executor) -> str:
    """Return how an executor's workers are, in a few words; empty where there is nothing to say of them."""
    return str(getattr(executor, "standing", ""))


def run_segment(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Advance the segment's trajectory; torch is imported by the process that trains, not by the one that drives."""
    from deepcolor.training.advance import advance

    return advance(segment, on_epoch)


def failure(digest: str, error: BaseException) -> Failed:
    """Put an error into the form the driver records: one line, and the end of its traceback."""
    lines = traceback.format_exception(error)
    text = text_of(error)
    message = " ".join(text.split()) or "no message"
    reason = message if isinstance(error, DeepcolorError) else f"{type(error).__name__}: {message}{_own_line(error)}"
    reason = reason[:_LONGEST_REASON]
    if _wants_memory(error, text):
        reason = f"out of memory; {MEMORY_HINT} ({reason})"
    refused = None if isinstance(error, DeepcolorError) else refusal(error)
    if refused is not None and refused.kind != "memory":  # Another setting may need less memory.
        reason = f"{refused}"[:_LONGEST_REASON]
        return Failed(digest, reason=reason, details="".join(lines)[-2000:], store_failed=True)
    return Failed(digest, reason=reason, details="".join(lines)[-2000:], store_failed=isinstance(error, StoreError))


def _own_line(error: BaseException) -> str:
    """Where in a user's own code an error came up: its last line there; empty where it was not there."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def gpu_is_lost(device: str) -> bool:
    """Say whether an earlier segment has made a GPU unusable to this process.

    After some errors (an index out of range in a user's loss, an illegal access) whatever is asked of the GPU fails
    with that error until the process ends.

    Args:
        device: Of the next segment.
    """
    torch = sys.modules.get("torch")  # A process that has not imported it has broken nothing.
    if torch is None or device == "cpu" or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize(None if device == "auto" else device)
    except RuntimeError:
        return True
    return False


def _wants_memory(error: BaseException, text: str) -> bool:
    # By name and text: torch, which has a class for GPU memory but none for the machine's, is not imported here.
    text = text.lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(sign in text for sign in _SIGNS_OF_NO_MEMORY)
    )
