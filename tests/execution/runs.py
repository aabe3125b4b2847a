"""What the tests of executors run in place of a training: quick to import, as each worker process has to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome


def run(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Do what the number of epochs says: 13 raises, 99 loses its worker the first time, 66 always; 7 takes a while, and
    77 until it is told to end early, or a file is there.
    """
    if segment.to_epoch == 13:
        raise ValueError("unlucky\nnumber")
    marker = segment.store / "lost-once"
    if segment.to_epoch == 99 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if segment.to_epoch == 66:
        os.kill(os.getpid(), signal.SIGKILL)
    if segment.to_epoch == 7:
        time.sleep(0.5)
    while segment.to_epoch == 77:
        if (segment.store / f"stop-{segment.trajectory.setting.training.lr}").exists():
            break
        (segment.store / f"trains-{segment.trajectory.setting.training.lr}").touch()
        if segment.ends_early is not None and segment.ends_early():
            (segment.store / f"ended-{segment.trajectory.setting.training.lr}").touch()
            break
        time.sleep(0.05)
    row = EpochMetrics(1, {"val/mse": 0.0}, 0.0, int(time.time() * 1000))
    if on_epoch:
        on_epoch(row)
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return SegmentOutcome(
        digest=segment.trajectory.digest,
        history=(row,),
        trained_epochs=1,
        train_s=0.0,
        view=None,
        host=str(os.getpid()),
        result=Path(shown) if shown else None,
    )
