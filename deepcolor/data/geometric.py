"""The geometric family of augmentations: whole batches at once, drawn anew in every epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_DRAWS = 6
"""Random numbers for each picture."""


class Geometric:
    """Mirrors, turns, scales and shifts pictures, and makes them lighter or darker: one step of resampling for all."""

    def __init__(self, strengths: Mapping[str, float]) -> None:
        """Take the strengths by name (`AugmentConfig.geometry`)."""
        self._of = dict(strengths)

    def changed(
        self, lightness_B1HW: Tensor, ab_B2HW: Tensor, *, rows: Tensor, count: int, seed: int, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """Return a batch changed as (seed, epoch, row) say, whatever other rows are in it.

        Args:
            lightness_B1HW: Normalised L*.
            ab_B2HW: a*, b* in CIELAB units.
            rows: Of the pictures in the batch, int64, shape (B,).
            count: Pictures that there are.
            seed: Of the setting.
            epoch: Of the training.
        Returns:
            The same shapes; what lies beyond a picture's edge is its reflection.
        """
        draws = _draws(count, seed, epoch)[rows.cpu()].to(lightness_B1HW.device)
        pictures = torch.cat((lightness_B1HW, ab_B2HW), dim=1)
        grid = affine_grid(self._theta(draws), list(pictures.shape), align_corners=False)
        moved = grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        power = torch.exp((2 * draws[:, 5] - 1) * math.log(self._of["gamma"]))
        return moved[:, :1].clamp(0, 1) ** power[:, None, None, None], moved[:, 1:]

    def _theta(self, draws: Tensor) -> Tensor:
        """Where each pixel is taken from: shape (B, 2, 3)."""
        of = self._of
        mirror = 1 - 2 * (draws[:, 0] < of["flip"]).float()
        angle = (2 * draws[:, 1] - 1) * math.radians(of["rotation"])
        scale = of["scale_low"] + draws[:, 2] * (of["scale_high"] - of["scale_low"])
        # In the grid's units a side is 2 long.
        shift_x, shift_y = ((2 * draws[:, index] - 1) * 2 * of["shift"] for index in (3, 4))
        cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
        across = torch.stack((cosine * mirror, -sine, shift_x), dim=1)
        down = torch.stack((sine * mirror, cosine, shift_y), dim=1)
        return torch.stack((across, down), dim=1)


@lru_cache(maxsize=2)
def _draws(count: int, seed: int, epoch: int) -> Tensor:
    key = hashlib.sha256(f"geometric:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little", signed=True))
    return torch.rand(count, _DRAWS, generator=generator)
