"""Measure what a training costs on this machine, in a second or two: run as a segment, by the executor of a sweep.

Nothing is written into the trajectory store; the weights are random ones, which cost the same as any.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from deepcolor.scratch import temporary_folder
from deepcolor.stages.session import Job
from deepcolor.training.checkpoint import write_checkpoint
from deepcolor.training.device import pick_device, torch_set_up
from deepcolor.training.results import write_result
from deepcolor.training.training import Training, job_of
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, Trajectory, TrajectoryPaths, View

MEASURE_S = 1.0
"""Seconds of measured training."""


def calibrate(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Train a thin slice of the segment's epochs and leave one result in a temporary folder, and time both.

    Args:
        segment: What would be trained; neither its store nor its parent's weights are touched.
        on_epoch: Not called.
    Returns:
        No history; `metrics` holds `epoch_s` (one whole epoch), `begin_s` (open the data, build the network),
        `checkpoint_s` and `result_s` (all once warm), `cold_s` (what only the first training of a process costs beside
        them), `checkpoint_bytes` and `result_bytes`. `train_s` is the seconds of this call.
    Raises:
        DataError: The cache is missing, or is not that of the trajectory.
    """
    del on_epoch
    started = time.perf_counter()
    device = pick_device(segment.device)
    # Without a parent: its weights may not exist yet, and cost what random ones cost.
    trajectory = replace(segment.trajectory, init=None)
    with torch_set_up(threads=segment.threads, reduced_precision=trajectory.setting.training.reduced_precision):
        job = job_of(trajectory, folder=segment.cache, device=device, code=segment.code)
        cold_begin_s, _ = _begun(trajectory, job)
        begin_s, training = _begun(trajectory, job)
        epoch_s = _measured_epoch_s(training)
        costs = _measured_trial(training, job)
        # The first optimizer of a process makes torch import seconds of what nothing here needs; a GPU is set up first.
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


def _begun(trajectory: Trajectory, job: Job) -> tuple[float, Training]:
    """Begin a training, and say how many seconds that took."""
    started = time.perf_counter()
    training = Training.begin(trajectory, job)
    if torch.device(job.device).type == "cuda":
        torch.cuda.synchronize(job.device)
    return time.perf_counter() - started, training


def _measured_epoch_s(training: Training) -> float:
    """Seconds of a whole epoch: as its session measures them, or else those of the quickest of a few."""
    seconds = training.session.timed_epoch_s()
    if seconds is not None:
        setting = training.trajectory.setting
        names = setting.stage_class.metrics_of(setting.training)
        # What it measured is no epoch; whatever figures it has cost the same to write down.
        training.history.append(EpochMetrics(1, dict.fromkeys(names, 1.0), seconds, time.time_ns() // 1_000_000))
        return seconds
    started = time.perf_counter()
    rows = [training.train_epoch()]
    while time.perf_counter() - started < MEASURE_S:
        rows.append(training.train_epoch())
    return min(row.epoch_s for row in rows)


def _measured_trial(training: Training, job: Job) -> dict[str, float]:
    """Seconds and bytes of what each trial leaves; the second result shows what one costs without imports."""
    with temporary_folder("calibration") as folder:
        paths = TrajectoryPaths(folder, training.trajectory.digest)
        started = time.perf_counter()
        write_checkpoint(paths, training.record(kept=True), training.tensors())
        checkpoint_s = time.perf_counter() - started
        cold_s = _result_s(training, job, folder / "cold")
        result_s = _result_s(training, job, folder / "warm")
        return {
            "checkpoint_s": checkpoint_s,
            "result_s": result_s,
            "cold_s": max(0.0, cold_s - result_s),
            "checkpoint_bytes": float(paths.checkpoint(training.epoch).stat().st_size),
            "result_bytes": float(sum(file.stat().st_size for file in (folder / "warm").rglob("*") if file.is_file())),
        }


def _result_s(training: Training, job: Job, folder: Path) -> float:
    started = time.perf_counter()
    last = training.history[-1]
    value = last.values[training.trajectory.objective.metric]
    write_result(
        folder,
        training.trajectory,
        job=job,
        view=View(end_epoch=last.epoch, chosen_epoch=last.epoch, value=value),
        history=training.history,
        weights=training.session.weights(),
        session=training.session,
    )
    return time.perf_counter() - started
