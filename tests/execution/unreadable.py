"""Segments whose end cannot be reported in the usual way: what they give or raise cannot be sent between processes."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome

ROW = EpochMetrics(1, {"val/mse": 0.0}, 0.0, 0)


class Unspeakable(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class ForThisProcessAlone(Exception):
    """It too can be pickled, but unpickled nowhere."""

    def __reduce__(self) -> Any:
        return _refuse, ()


class Dying:
    """It can be pickled, but unpickled nowhere."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise ModuleNotFoundError("No module named 'only_on_the_worker'")


def run(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """End in the way that the number of epochs names; see `ENDS`."""
    ENDS[segment.to_epoch]()
    host: Any = {3: threading.Lock(), 4: Dying()}.get(segment.to_epoch, "here")
    return SegmentOutcome(
        digest=segment.trajectory.digest, history=(ROW,), trained_epochs=1, train_s=0.0, view=None, host=host
    )


def _raise(error: BaseException) -> NoReturn:
    raise error


ENDS: dict[int, Callable[[], Any]] = {
    1: lambda: None,
    3: lambda: None,
    4: lambda: None,
    5: lambda: _raise(Unspeakable()),
    6: lambda: _raise(ForThisProcessAlone("secret")),
    7: lambda: sys.exit(3),
    8: lambda: _raise(KeyboardInterrupt()),
    9: lambda: _raise(pickle.PicklingError("x" * 100_000)),
}
PLAIN_HERE = (3, 4)
"""They are wrong only where an outcome travels."""
REASONS = {
    3: "TypeError: cannot pickle '_thread.lock' object",
    4: "ModuleNotFoundError: No module named 'only_on_the_worker'",
    5: "Unspeakable: no message",
    6: "ForThisProcessAlone: secret",
    7: "SystemExit: 3",
    8: "KeyboardInterrupt: no message",
    9: "PicklingError: xxx",
}
