"""What an epoch costs, told from the form of the network and the number of pictures."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepcolor.config.sections import ModelConfig
from deepcolor.data.cache.arrays import CachedData
from deepcolor.models.networks import Target, build
from deepcolor.plugins import Code


def work_per_picture(target: Target, model: ModelConfig, size_px: int, *, code: Code | None = None) -> float:
    """Return the floating point operations of one picture's way through a network; training takes about thrice that."""
    # A mirror image is coloured beside each picture after training, not in it.
    once = model.model_copy(update={"flip_at_test": False})
    with torch.device("meta"):
        network = build(target, once, size_px, code=code).eval()
        picture_B1HW = torch.empty(1, 1, size_px, size_px)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture_B1HW)
    return float(counter.get_total_flops())


def steps_of_epoch(cache: Path, *, batch_size: int) -> int:
    """Return how many batches the training pictures of a decoded data set give."""
    return max(1, math.ceil(len(CachedData.open(cache).train) / batch_size))
