"""The seconds of an epoch over pictures, from a thin slice of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from deepcolor.data.cache.arrays import CachedData, Split

MEASURE_S = 1.0
"""Seconds of measured training."""
_WARM_UP_BATCHES = 4


def sliced_epoch_s(one_epoch: Callable[[CachedData], float], data: CachedData, *, batch_size: int) -> float:
    """Return the seconds of a whole epoch, from as much of one as fits the time there is.

    Args:
        one_epoch: Trains one on the data it is given, and returns its seconds.
        data: All there is.
        batch_size: Pictures a step.
    """

    def slice_s(every: int) -> float:
        """Train on every `every`-th picture, and say what all of them would take."""
        train = _sliced(data.train, every)
        val = _sliced(data.val, min(every, max(1, len(data.val) // 2)))
        return one_epoch(replace(data, train=train, val=val)) * len(data.train) / len(train)

    whole = len(data.train)
    began = time.perf_counter()
    rough_s = slice_s(max(1, whole // (_WARM_UP_BATCHES * batch_size)))  # The first batches are not counted.
    if time.perf_counter() - began > 2 * MEASURE_S:
        return rough_s  # So slow are these steps that what the first ones take beside them does not matter.
    every = max(1, min(whole // (2 * batch_size), round(2 * rough_s / MEASURE_S)))
    # Once more: these rows of the mapped data have not been touched yet, and memory has not grown to its size.
    slice_s(every)
    started = time.perf_counter()
    seconds: list[float] = []
    while not seconds or time.perf_counter() - started < MEASURE_S:
        seconds.append(slice_s(every))
    return sum(seconds) / len(seconds)


@dataclass(frozen=True, eq=False)
class _Slice(Split):
    """Every `every`-th row of a split: the same pictures and copies, fewer of them."""

    every: int = 1

    def __len__(self) -> int:
        return max(2, super().__len__() // self.every)

    def batch(self, rows: torch.Tensor, *, seed: int, epoch: int, target: str) -> tuple[torch.Tensor, torch.Tensor]:
        return super().batch(rows * self.every, seed=seed, epoch=epoch, target=target)  # type: ignore[arg-type]  # passed on


def _sliced(split: Split, every: int) -> Split:
    if every == 1 or len(split) < 2 * every:
        return split
    return _Slice(**vars(split), every=every)
