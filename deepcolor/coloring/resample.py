"""Bring a picture of any size to what a network takes, and its colours back to the picture's size.

A colorizer is fully convolutional, so the picture keeps its proportions: the shorter side becomes the model's size, and
the longer one is filled up to a multiple of 64 by mirroring, as the borders of the training's crops are. Squashing a
16:9 photo to the square would show the network shapes 1.8 times too narrow, which it never saw. A regressor ends in a
linear layer and takes the square only; its one colour suffers less from the distortion than from a cropped-off subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from torch import Tensor

MULTIPLE_PX = 64
"""Six halvings: what height and width must be multiples of."""
_LONGEST = 8
"""Most that the longer side may be of the shorter one, in the network's eyes; beyond, the picture is squashed."""


@dataclass(frozen=True)
class Fit:
    """How a picture lies in the network's input."""

    height_px: int
    """Of the scaled picture, at the input's top left."""
    width_px: int
    padded_height_px: int
    """Of the whole input; multiples of 64."""
    padded_width_px: int


def fit(height_px: int, width_px: int, *, size_px: int, square: bool) -> Fit:
    """Decide how a picture goes into the network.

    Args:
        height_px: The picture's height.
        width_px: The picture's width.
        size_px: What the network was trained on.
        square: The network takes a square of `size_px` and nothing else.
    """
    if square:
        return Fit(size_px, size_px, size_px, size_px)
    scale = size_px / min(height_px, width_px)
    height, width = (min(round(side * scale), _LONGEST * size_px) for side in (height_px, width_px))
    return Fit(height, width, _rounded_up(height), _rounded_up(width))


def shrink(values_HW: Tensor, where: Fit) -> Tensor:
    """Scale a picture's lightness into the network's input.

    Args:
        values_HW: Float32, in [0, 1], any size.
        where: From `fit`.
    Returns:
        Shape (padded height, padded width), in [0, 1]. A side that shrinks is averaged over areas, one that grows is
        bicubic.
    """
    scaled = _resized(_resized(values_HW, where.height_px).T, where.width_px).T.clamp(0, 1)
    pad = (0, where.padded_width_px - where.width_px, 0, where.padded_height_px - where.height_px)
    return F.pad(scaled[None, None], pad, mode="reflect")[0, 0] if any(pad) else scaled


def enlarge(values_Chw: Tensor, where: Fit, *, height_px: int, width_px: int) -> Tensor:
    """Scale what the network predicted to the picture's size, bicubic, the padding cut off first.

    Args:
        values_Chw: Shape (C, padded height, padded width).
        where: From `fit`.
        height_px: The picture's height.
        width_px: The picture's width.
    Returns:
        Shape (C, height, width).
    """
    inner = values_Chw[None, :, : where.height_px, : where.width_px]
    return F.interpolate(inner, size=(height_px, width_px), mode="bicubic", align_corners=False)[0]


def _resized(values_HW: Tensor, height_px: int) -> Tensor:
    """Scale the first axis."""
    before = values_HW.shape[0]
    if before == height_px:
        return values_HW
    if before < height_px:
        size = (height_px, values_HW.shape[1])
        return F.interpolate(values_HW[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    return _area_weights(before, height_px, like=values_HW) @ values_HW


def _area_weights(before: int, after: int, *, like: Tensor) -> Tensor:
    """Shape (after, before): the share that each old pixel has in each new one, as OpenCV's INTER_AREA counts it."""
    edges = torch.linspace(0, before, after + 1, dtype=torch.float64)
    pixels = torch.arange(before, dtype=torch.float64)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = (torch.minimum(high, pixels + 1) - torch.maximum(low, pixels)).clamp(min=0)
    return (overlap / (high - low)).to(like)


def _rounded_up(length_px: int) -> int:
    return -(-length_px // MULTIPLE_PX) * MULTIPLE_PX
