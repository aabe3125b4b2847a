"""Bring a picture of any size to what a network takes, and its colours back to the picture's size.

A colorizer is fully convolutional, so the picture keeps its proportions: the shorter side becomes the model's size, and
the longer one is filled up to a multiple of 64 by mirroring, as the borders of the training's crops are. Squashing a
16:9 photo to the square would show the network shapes 1.8 times too narrow, which it never saw. A regressor ends in a
linear layer and takes the square only; its one colour suffers less from the distortion than from a cropped-off subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from torch import Tensor

MULTIPLE_PX = 64
"""Six halvings: what height and width must be multiples of."""
_FLAT = 0.005
"""Variance of normalised L*: where it is far less around a pixel, as in skies and on skin, lightness says little of the
colours there (noise would be seen in them), and slopes are taken to be small."""
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
    return _padded(_resized(_resized(values_HW, where.height_px).T, where.width_px).T.clamp(0, 1), where)


def narrowed(plane_HW: npt.NDArray[np.float32], width_px: int) -> npt.NDArray[np.float32]:
    """Average a plane along its rows to a smaller width; each row for itself, so that a picture can come in strips.

    Args:
        plane_HW: Any values.
        width_px: Less than the plane's.
    """
    wide_px = plane_HW.shape[1]
    edges = np.arange(width_px) * (wide_px / width_px)
    cut = edges.astype(np.intp)
    sums: npt.NDArray[np.float32] = np.add.reduceat(plane_HW, cut, axis=1)
    # A pixel that an edge cuts was counted on the right of it alone.
    left = plane_HW[:, cut] * (edges - cut).astype(np.float32)
    sums -= left
    sums[:, :-1] += left[:, 1:]
    sums *= np.float32(width_px / wide_px)
    return sums


def mirrored(values_HW: Tensor, where: Fit) -> Tensor:
    """Mirror a picture as it lies in the network's input, left to right: it stays at the top left.

    Args:
        values_HW: From `shrink`, or what a network made of it; more axes may come first.
        where: From `fit`.
    """
    return _padded(values_HW[..., : where.height_px, : where.width_px].flip(-1), where)


class Enlarged:
    """What the network predicted at the picture's size, a few rows at a time; its edges lie where the picture's do.

    Bicubic enlargement washes the colours over an edge, as far as a pixel of the network reaches. In the network's own
    picture, however, colour and lightness change together there: each pixel and its neighbours tell how much a* and b*
    change with L*. What the picture's lightness has beyond what the network saw of it changes the colours by that much.
    Where lightness says nothing of the colours, they stay bicubic.

    Args:
        ab_2hw: a*, b*, float32, shape (2, padded height, padded width).
        small_hw: Normalised L* as the network saw it, of that height and width.
        where: From `fit`.
        height_px: The picture's height.
        width_px: The picture's width.
    Source: He, Sun and Tang, Guided image filtering, 2013, equation 5, of the detail alone (docs/decisions/0024).
    """

    def __init__(self, ab_2hw: Tensor, small_hw: Tensor, where: Fit, *, height_px: int, width_px: int) -> None:
        ab, small = (values[..., : where.height_px, : where.width_px] for values in (ab_2hw, small_hw[None]))
        # A picture of the network's size has no detail that the network did not see.
        self._same_2HW = ab.numpy() if (where.height_px, where.width_px) == (height_px, width_px) else None
        if self._same_2HW is not None:
            return
        planes = torch.cat([ab, _slopes(ab, small), small]).numpy()
        columns = _Taps.of(where.width_px, width_px)
        # Wide, but still few rows: those of the network. Indexing may leave them lying column by column.
        self._wide_5hW = np.ascontiguousarray(
            sum(planes[..., places] * shares for places, shares in zip(columns.places, columns.shares, strict=True))
        )
        self._rows = _Taps.of(where.height_px, height_px)

    def rows(self, rows: slice, lightness_HW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a*, b* of some of the picture's rows: shape (2, rows, width).

        Args:
            rows: Which ones.
            lightness_HW: Their normalised L*.
        """
        if self._same_2HW is not None:
            return self._same_2HW[:, rows]
        planes = self._enlarged(rows)
        detail_HW = lightness_HW - planes[4]
        planes[2:4] *= detail_HW
        planes[:2] += planes[2:4]
        return planes[:2]

    def _enlarged(self, rows: slice) -> npt.NDArray[np.float32]:
        places, shares = self._rows.places[:, rows], self._rows.shares[:, rows]
        count = places.shape[1]
        changes = np.flatnonzero((places[:, 1:] != places[:, :-1]).any(axis=0)) + 1
        planes = np.empty((len(self._wide_5hW), count, self._wide_5hW.shape[2]), np.float32)
        # Neighbours are made of the same old rows.
        for start, stop in pairwise((0, *changes.tolist(), count)):
            old_54W = self._wide_5hW[:, places[:, start]]
            np.matmul(shares[:, start:stop].T, old_54W, out=planes[:, start:stop])
        return planes


def _slopes(ab_2hw: Tensor, small_1hw: Tensor) -> Tensor:
    """How much a* and b* change with lightness around each pixel: those of the straight line that fits best."""
    mean_ab, mean_small = _means(ab_2hw), _means(small_1hw)
    together = _means(ab_2hw * small_1hw) - mean_ab * mean_small
    alone = _means(small_1hw * small_1hw) - mean_small * mean_small
    return together / (alone + _FLAT)


def _means(values_Chw: Tensor) -> Tensor:
    """Over each pixel and its eight neighbours."""
    return F.avg_pool2d(F.pad(values_Chw[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]


@dataclass(frozen=True)
class _Taps:
    """Of each new pixel along an axis: the four old ones that it is made of, and their shares."""

    places: npt.NDArray[np.intp]
    """Shape (4, after)."""
    shares: npt.NDArray[np.float32]

    @classmethod
    def of(cls, before: int, after: int) -> _Taps:
        """As OpenCV and torch have it: pixels are areas, and the outermost ones go on beyond the border.

        Source: Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.75.
        """
        at = (np.arange(after) + 0.5) * (before / after) - 0.5
        first = np.floor(at).astype(np.intp)
        distances = np.abs((at - first) - np.arange(-1, 3)[:, None])
        a = -0.75
        near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
        far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
        shares = np.where(distances <= 1, near, far).astype(np.float32)
        return cls(np.clip(first + np.arange(-1, 3)[:, None], 0, before - 1), shares)


def _padded(values_HW: Tensor, where: Fit) -> Tensor:
    pad = (0, where.padded_width_px - where.width_px, 0, where.padded_height_px - where.height_px)
    if not any(pad):
        return values_HW
    height, width = values_HW.shape[-2:]
    filled = F.pad(values_HW.reshape(1, -1, height, width), pad, mode="reflect")
    return filled.reshape(*values_HW.shape[:-2], *filled.shape[-2:])


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
