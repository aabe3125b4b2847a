"""What is run on workers that are hurt: by hand at an epoch, or by their own hunger for memory."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

import torch

from deepcolor.training.advance import advance
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome
from tests.search.trivial import trivial

OnEpoch = Callable[[EpochMetrics], None] | None


def killed_on_the_way(segment: Segment, on_epoch: OnEpoch = None) -> SegmentOutcome:
    """Train for real; the worker dies once with -9 in epoch 4, when a checkpoint's tensors are written and its record
    is not.
    """
    from deepcolor.training import checkpoint

    marker = segment.store / "died"

    def dying_on_epoch(row: EpochMetrics) -> None:
        if row.epoch == 4 and not marker.exists():
            marker.touch()
            checkpoint._write_record = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        if on_epoch is not None:
            on_epoch(row)

    return advance(segment, dying_on_epoch)


def hungry(segment: Segment, on_epoch: OnEpoch = None) -> SegmentOutcome:
    """Train by formula, but for three settings that want more memory than there is, each in its own way."""
    lr = segment.trajectory.setting.training.lr
    if lr == 0.1:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    if lr == 0.2:
        _allocate_beyond_the_limit()
    if lr == 0.3:  # What the kernel does to a process when the machine's memory is used up.
        os.kill(os.getpid(), signal.SIGKILL)
    return trivial(segment, on_epoch)


def _allocate_beyond_the_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**40, before[1]))
    try:
        torch.empty(2**41, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
