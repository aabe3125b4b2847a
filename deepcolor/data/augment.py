"""The five augmentations of the reports, by torchvision's v2 classes, each copy drawn from a key alone."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torchvision.transforms import v2

from deepcolor.color import normalise_lightness, rgb_to_lab
from deepcolor.data.identity import Augmentations

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


@dataclass(frozen=True, eq=False)
class FreshCopies:
    """Draws augmented copies anew for every epoch, as a function of (seed, epoch, picture, augmentation) alone."""

    rgb_NHW3: npt.NDArray[np.uint8]
    """The training split's originals."""
    sha256s: tuple[str, ...]
    augmentations: Augmentations

    def draw(self, rows: list[int], seed: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised L* (B, 1, H, W) and a*, b* (B, 2, H, W) in CIELAB units, float32, of copies' rows."""
        pictures = []
        for row in rows:
            copy, picture = divmod(row, len(self.sha256s))
            name, strength = self.augmentations[copy - 1]
            key = f"{seed}:{epoch}:{self.sha256s[picture]}"
            pictures.append(augmented(self.rgb_NHW3[picture], name=name, strength=strength, key=key))
        lightness_BHW, ab_BHW2 = rgb_to_lab(np.stack(pictures))
        lightness = torch.from_numpy(normalise_lightness(lightness_BHW)).unsqueeze(1)
        return lightness, torch.from_numpy(ab_BHW2).permute(0, 3, 1, 2)


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
