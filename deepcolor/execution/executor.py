"""What the driver asks of whatever runs its segments, and the words it gets back."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome

RunSegment = Callable[[Segment, Callable[[EpochMetrics], None] | None], SegmentOutcome]
"""`deepcolor.training.advance.advance`, or anything that does what it promises."""


@dataclass(frozen=True)
class Progress:
    """A segment has finished an epoch; some epochs of a fast segment may go unreported."""

    digest: str
    metrics: EpochMetrics


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
    """One line: the error's class and message."""
    details: str = ""
    """The last lines of the traceback."""


Event = Progress | Finished | Failed


class Executor(Protocol):
    """Runs segments, at most `slots` at a time and at most one of a trajectory."""

    @property
    def slots(self) -> int:
        """How many segments run at the same time."""

    def submit(self, segment: Segment) -> None:
        """Start a segment; its `Finished` or `Failed` comes exactly once."""

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Wait for something to happen; empty after `timeout_s` seconds."""

    def close(self) -> None:
        """Give back threads and processes without waiting for running segments."""


def run_segment(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Advance the segment's trajectory; torch is imported by the process that trains, not by the one that drives."""
    from deepcolor.training.advance import advance

    return advance(segment, on_epoch)


def failure(digest: str, error: BaseException) -> Failed:
    """Put an error into the form the driver records: one line, and the end of its traceback."""
    lines = traceback.format_exception(error)
    message = " ".join(str(error).split()) or "no message"
    name = type(error).__name__
    return Failed(digest, reason=f"{name}: {message}"[:500], details="".join(lines)[-2000:])
