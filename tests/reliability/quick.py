"""What processes do that are killed, without the libraries that take long to import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from deepcolor.data.cache.portion import Portion
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome

if TYPE_CHECKING:
    from deepcolor.data.folder import RejectedFile


def fill(portion: Portion) -> list[RejectedFile]:
    """Take the place of decoding: say which rows were filled."""
    (portion.folder.parent / f"filled-{portion.split}-{portion.first_row}").touch()
    return []


def train(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Say which process runs a segment, and end when told to."""
    (segment.store / f"run-{os.getpid()}").touch()
    while not (segment.store / "go-on").exists():
        time.sleep(0.02)
    row = EpochMetrics(1, {"val/mse": 0.0}, 0.0, 0)
    return SegmentOutcome(segment.trajectory.digest, (row,), trained_epochs=1, train_s=0.0, view=None, host="")
