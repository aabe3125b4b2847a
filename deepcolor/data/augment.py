"""The five augmentations of the reports, by torchvision's v2 classes, each copy drawn from a key alone."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torchvision.transforms import v2

# torchvision draws from torch's global generator, which the threads that fill a cache would otherwise share.
_GENERATOR_LOCK = threading.Lock()


def augmented(rgb_HW3: npt.NDArray[np.uint8], *, name: str, strength: float, key: str) -> npt.NDArray[np.uint8]:
    """Draw one augmented copy of a square picture.

    Args:
        rgb_HW3: sRGB, shape (S, S, 3), uint8.
        name: A field of `AugmentConfig`, such as `random_crop`.
        strength: That field's value.
        key: The copy is a function of the picture, the name, the strength and this alone.
    Returns:
        sRGB, shape (S, S, 3), uint8.
    """
    transform = _transform(name, strength, len(rgb_HW3))
    picture = torch.from_numpy(np.moveaxis(rgb_HW3, -1, 0).copy())
    with _drawing_from(f"{name}:{key}"):
        copy = transform(picture)
    return np.asarray(copy.permute(1, 2, 0).contiguous().numpy(), dtype=np.uint8)


@cache
def _transform(name: str, strength: float, size_px: int) -> v2.Transform:
    makers: dict[str, Callable[[], v2.Transform]] = {
        "random_crop": lambda: v2.RandomCrop(size_px, padding=round(strength), padding_mode="reflect"),
        "random_horizontal_flip": lambda: v2.RandomHorizontalFlip(strength),
        "random_vertical_flip": lambda: v2.RandomVerticalFlip(strength),
        "random_rotation": lambda: _rotation(strength, size_px),
        "random_adjust_sharpness": lambda: v2.RandomAdjustSharpness(strength, p=1.0),
    }
    return makers[name]()


def _rotation(degrees: float, size_px: int) -> v2.Transform:
    """Rotate within a reflected border wide enough that no black corner is left after the crop."""
    widest = math.radians(min(degrees, 45.0))
    border = math.ceil(size_px / 2 * (math.cos(widest) + math.sin(widest) - 1)) + 2
    return v2.Compose(
        [
            v2.Pad(border, padding_mode="reflect"),
            v2.RandomRotation(degrees, interpolation=v2.InterpolationMode.BILINEAR),
            v2.CenterCrop(size_px),
        ]
    )


@contextmanager
def _drawing_from(key: str) -> Iterator[None]:
    """Seed torch's CPU generator from a key, and put it back afterwards. CUDA's generators are left alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    with _GENERATOR_LOCK:
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(before)
