"""What an epoch costs, told from the form of the network and the number of pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepcolor.config.sections import ModelConfig
from deepcolor.data.cache.arrays import CachedData
from deepcolor.fields.named import NETWORKS
from deepcolor.models.networks import Target, build
from deepcolor.plugins import Code
from deepcolor.stages.session import Size


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


def size_of_network(target: Target, model: ModelConfig, size_px: int, *, code: Code | None = None) -> Size:
    """Return how many weights a network has, and how long the file is that holds its state."""
    if model.network not in NETWORKS.shipped:
        return _size(_tensors(target, model, size_px, code=code))
    # A side of a tensor grows in a straight line with the feature maps, so two networks tell it of all others.
    fixed = tuple(sorted(model.model_dump(exclude={"feature_maps"}).items()))
    first, second = _two_networks(target, type(model), fixed, size_px)
    return _size([one.between(other, model.feature_maps) for one, other in zip(first, second, strict=True)])


@dataclass(frozen=True)
class _Tensor:
    """One tensor of a network's state."""

    name: str
    shape: tuple[int, ...]
    kind: str
    """As safetensors calls its numbers."""
    item_bytes: int
    trained: bool

    def between(self, other: _Tensor, feature_maps: int) -> _Tensor:
        """The same tensor of a network with other feature maps."""
        low, high = _FEATURE_MAPS
        sides = zip(self.shape, other.shape, strict=True)
        shape = (one + (two - one) * (feature_maps - low) // (high - low) for one, two in sides)
        return replace(self, shape=tuple(shape))


_FEATURE_MAPS = (4, 12)


@lru_cache(maxsize=256)
def _two_networks(
    target: Target, form: type[ModelConfig], fixed: tuple[tuple[str, Any], ...], size_px: int
) -> tuple[list[_Tensor], list[_Tensor]]:
    """The tensors of two networks that differ in their feature maps alone."""
    low, high = (form(**dict(fixed), feature_maps=maps) for maps in _FEATURE_MAPS)
    return _tensors(target, low, size_px), _tensors(target, high, size_px)


def _tensors(target: Target, model: ModelConfig, size_px: int, *, code: Code | None = None) -> list[_Tensor]:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build(target, model, size_px, code=code)
    trained = {name for name, _ in network.named_parameters()}
    return [
        _Tensor(name, tuple(each.shape), _KINDS.get(each.dtype, "F32"), each.element_size(), name in trained)
        for name, each in network.state_dict().items()
    ]


_KINDS = {torch.float32: "F32", torch.int64: "I64", torch.float16: "F16", torch.bfloat16: "BF16"}


def _size(tensors: Sequence[_Tensor]) -> Size:
    """Of a safetensors file: the names, shapes and places of its tensors, padded to 8 bytes, before the tensors."""
    begins, entries = 0, {}
    # Larger numbers come first in the file, which decides the digits of the places.
    for each in sorted(tensors, key=lambda each: (-each.item_bytes, each.name)):
        ends = begins + math.prod(each.shape) * each.item_bytes
        entries[each.name] = {"dtype": each.kind, "shape": each.shape, "data_offsets": [begins, ends]}
        begins = ends
    header = len(json.dumps(entries, separators=(",", ":")).encode())
    parameters = sum(math.prod(each.shape) for each in tensors if each.trained)
    return Size(parameters, 8 + -(-header // 8) * 8 + begins)


def steps_of_epoch(cache: Path, *, batch_size: int) -> int:
    """Return how many batches the training pictures of a decoded data set give."""
    return max(1, math.ceil(len(CachedData.open(cache).train) / batch_size))
