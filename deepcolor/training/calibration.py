"""Measure what a training costs on this machine, in a second or two: run as a segment, by the executor of a sweep.

Nothing is written into the trajectory store; the weights are random ones, which cost the same as any.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepcolor.config.schema import ModelConfig, StageName
from deepcolor.data.cache.arrays import CachedData, Split
from deepcolor.models.networks import build
from deepcolor.scratch import temporary_folder
from deepcolor.training.checkpoint import write_checkpoint
from deepcolor.training.device import pick_device, torch_set_up
from deepcolor.training.results import write_result
from deepcolor.training.session import Session
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, Trajectory, TrajectoryPaths, View

MEASURE_S = 1.0
"""Seconds of measured training."""
_WARM_UP_BATCHES = 4


def calibrate(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Train a thin slice of the segment's epochs and leave one result in a temporary folder, and time both.

    Args:
        segment: What would be trained; neither its store nor its parent's weights are touched.
        on_epoch: Not called.
    Returns:
        No history; `metrics` holds `epoch_s` (one whole epoch), `begin_s` (build the network), `checkpoint_s` and
        `result_s` (all once warm), `cold_s` (what only the first training of a process costs beside them),
        `checkpoint_bytes` and `result_bytes`. `train_s` is the seconds of this call.
    Raises:
        DataError: The cache is missing, or is not that of the trajectory.
    """
    del on_epoch
    started = time.perf_counter()
    device = pick_device(segment.device)
    # Without a parent: its weights may not exist yet, and cost what random ones cost.
    trajectory = replace(segment.trajectory, init=None)
    with torch_set_up(threads=segment.threads, reduced_precision=trajectory.setting.training.mixed_precision):
        data = CachedData.open(segment.cache, device=str(device))
        cold_begin_s, _ = _begun(trajectory, data=data, device=device, code=segment.code)
        begin_s, session = _begun(trajectory, data=data, device=device, code=segment.code)
        epoch_s = _measured_epoch_s(session, data)
        costs = _measured_trial(session, data)
        # The first optimizer of a process makes torch import seconds of what nothing here needs.
        costs["cold_s"] += max(0.0, cold_begin_s - begin_s)
    return SegmentOutcome(
        digest=segment.trajectory.digest,
        history=(),
        trained_epochs=0,
        train_s=time.perf_counter() - started,
        view=None,
        metrics={"epoch_s": epoch_s, "begin_s": begin_s, **costs},
        host=platform.node(),
        device=str(device),
    )


def _begun(
    trajectory: Trajectory, *, data: CachedData, device: torch.device, code: Path | None
) -> tuple[float, Session]:
    """Begin a training, and say how many seconds that took."""
    started = time.perf_counter()
    session = Session.begin(trajectory, data=data, device=device, code=code)
    return time.perf_counter() - started, session


def work_per_picture(stage: StageName, model: ModelConfig, size_px: int) -> float:
    """Return the floating point operations of one picture's way through a network; training takes about thrice that."""
    with torch.device("meta"):
        network = build(stage, model, size_px).eval()
        picture_B1HW = torch.empty(1, 1, size_px, size_px)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture_B1HW)
    return float(counter.get_total_flops())


@dataclass(frozen=True, eq=False)
class _Slice(Split):
    """Every `every`-th row of a split: the same pictures and copies, fewer of them."""

    every: int = 1

    def __len__(self) -> int:
        return max(2, super().__len__() // self.every)

    def batch(self, rows: torch.Tensor, *, seed: int, epoch: int, target: str) -> tuple[torch.Tensor, torch.Tensor]:
        return super().batch(rows * self.every, seed=seed, epoch=epoch, target=target)  # type: ignore[arg-type]  # passed on


def _measured_epoch_s(session: Session, data: CachedData) -> float:
    """Seconds of a whole epoch, from as much of one as fits the time there is; the first batches are not counted."""
    whole, batch_size = len(data.train), session.trajectory.setting.training.batch_size
    began = time.perf_counter()
    rough_s = _slice_epoch_s(session, data, every=max(1, whole // (_WARM_UP_BATCHES * batch_size)))
    if time.perf_counter() - began > 2 * MEASURE_S:
        return rough_s  # So slow are these steps that what the first ones take beside them does not matter.
    every = max(1, min(whole // (2 * batch_size), round(2 * rough_s / MEASURE_S)))
    # Once more: these rows of the mapped data have not been touched yet, and memory has not grown to its size.
    _slice_epoch_s(session, data, every=every)
    started = time.perf_counter()
    seconds: list[float] = []
    while not seconds or time.perf_counter() - started < MEASURE_S:
        seconds.append(_slice_epoch_s(session, data, every=every))
    return sum(seconds) / len(seconds)


def _slice_epoch_s(session: Session, data: CachedData, *, every: int) -> float:
    """Train on every `every`-th picture, and say what all of them would take."""
    train = _sliced(data.train, every)
    session.data = replace(data, train=train, val=_sliced(data.val, min(every, max(1, len(data.val) // 2))))
    row = session.train_epoch()
    session.data = data
    return row.epoch_s * len(data.train) / len(train)


def _sliced(split: Split, every: int) -> Split:
    if every == 1 or len(split) < 2 * every:
        return split
    return _Slice(**vars(split), every=every)


def _measured_trial(session: Session, data: CachedData) -> dict[str, float]:
    """Seconds and bytes of what each trial leaves; the second result shows what one costs without imports."""
    with temporary_folder("calibration") as folder:
        paths = TrajectoryPaths(folder, session.trajectory.digest)
        started = time.perf_counter()
        write_checkpoint(paths, session.record(kept=True), session.tensors())
        checkpoint_s = time.perf_counter() - started
        cold_s = _result_s(session, data, folder / "cold")
        result_s = _result_s(session, data, folder / "warm")
        return {
            "checkpoint_s": checkpoint_s,
            "result_s": result_s,
            "cold_s": max(0.0, cold_s - result_s),
            "checkpoint_bytes": float(paths.checkpoint(session.epoch).stat().st_size),
            "result_bytes": float(sum(file.stat().st_size for file in (folder / "warm").iterdir())),
        }


def _result_s(session: Session, data: CachedData, folder: Path) -> float:
    started = time.perf_counter()
    last = session.history[-1]
    value = last.metrics[session.trajectory.objective.metric]
    write_result(
        folder,
        session.trajectory,
        view=View(end_epoch=last.epoch, chosen_epoch=last.epoch, value=value),
        history=session.history,
        weights=session.network.state_dict(),
        data=data,
        device=session.device,
    )
    return time.perf_counter() - started
