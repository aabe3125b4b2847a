"""A training without a network: a formula in place of a loss, written into the store as the real one writes it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable

from deepcolor.atomic import write_folder_atomically
from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.training.checkpoint import Record, read_history, write_checkpoint
from deepcolor.training.early_stopping import view_of
from deepcolor.training.remainder import resumable_epochs
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths, View
from tests.epochs import epoch_row


def loss(lr: float, weight_decay: float, epoch: int) -> float:
    """Lowest at lr 1e-2 and no weight decay; falls until epoch 32, then rises; not a number at lr 1."""
    if lr >= 1:
        return math.nan
    return (math.log10(lr) + 2) ** 2 + weight_decay + 1 / epoch + epoch / 1000


def luck(lr: float, seed: int) -> float:
    """What a seed adds to a loss, between -0.02 and 0.02 and different for each rate: nothing under seed 0; not a
    number under seed 13 for rates of 0.01 and above.
    """
    if seed == 13 and lr >= 0.01:
        return math.nan
    return 0.0 if seed == 0 else 0.02 * math.sin(1000 * lr + 7 * seed)


def _epoch_s() -> float:
    """How long an epoch takes; nothing once the file is gone that a test may have named."""
    held = os.environ.get("TRIVIAL_WHILE")
    return float(os.environ.get("TRIVIAL_EPOCH_S", "0")) if held is None or os.path.exists(held) else 0.0  # noqa: PTH110


def trivial(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Advance a trajectory by formula; fails at lr 0.5 while the file `broken` is next to the store."""
    training = segment.trajectory.setting.training
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
    if training.lr == 0.5 and (segment.store.parent / "broken").exists():
        raise RuntimeError("the machine has had enough")
    history = list(read_history(paths))
    before = len(history)
    stopped = False

    def seen() -> View | None:
        return view_of(
            history, epochs=segment.to_epoch, patience=segment.patience, objective=segment.trajectory.objective
        )

    while (view := seen()) is None and not stopped:
        epoch = len(history) + 1
        value = loss(training.lr, training.weight_decay, epoch) + luck(training.lr, training.seed)
        history.append(epoch_row(epoch, value, time_ms=int(time.time() * 1000)))
        if on_epoch:
            on_epoch(history[-1])
        stopped = segment.called_off or (segment.ends_early is not None and segment.ends_early())
        time.sleep(_epoch_s())
    trained = len(history) - before
    if view is not None and trained == 0 and segment.result and not view.diverged:
        # The figures are there; the weights may have to be trained again, as far as the store does not hold them.
        trained = view.chosen_epoch - resumable_epochs(paths, view, PICTURE_METRICS)
        if trained:
            again = Record(history=tuple(history[: view.chosen_epoch]), best_epoch=view.chosen_epoch, kept=True)
            write_checkpoint(paths, again, b"weights")
    elif trained:
        write_checkpoint(paths, Record(history=tuple(history), best_epoch=len(history), kept=True), b"weights")
    result = None
    if view is not None and not view.diverged and segment.result:
        result = paths.result(view)
        write_folder_atomically(
            result, {"metrics.json": json.dumps({"psnr_db": 20.0, "ssim": 0.5, "colourfulness": 0.9}).encode()}
        )
    return SegmentOutcome(
        digest=paths.digest,
        history=tuple(history),
        trained_epochs=trained,
        train_s=0.0,
        view=view,
        result=result,
        host="here",
        device="cpu",
    )
