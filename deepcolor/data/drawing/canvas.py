"""A small painter: soft shapes and shaded solids in unit coordinates, drawn at twice the size and averaged down.

Coordinates are x to the right and y down, 0 to 1 across the canvas. Colours are sRGB, three floats in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.color import FloatArray, to_uint8

Points = npt.NDArray[np.float64]
"""Shape (N, 2): x, y."""

Colour = Sequence[float] | npt.NDArray[Any]
"""Three channels, or one such plane for each: shape (3,) or (3, h, w)."""

_OVERSAMPLING = 2
_SHIFT = 4


@dataclass(frozen=True, eq=False)
class Shape:
    """Opacity in [0, 1] of a rectangle of the canvas."""

    left: int
    top: int
    alpha: FloatArray

    def times(self, other: npt.NDArray[Any] | float) -> Shape:
        """The same shape with its opacity multiplied."""
        return Shape(self.left, self.top, np.asarray(self.alpha * other, dtype=np.float32))


@dataclass(frozen=True)
class Pose:
    """Where an object stands: local coordinates of about -1 to 1 are scaled, turned, then moved."""

    x: float
    y: float
    scale: float
    angle: float = 0.0
    """Radians, clockwise on the canvas."""

    def place(self, local: Points) -> Points:
        """Local points to canvas points."""
        turned = np.asarray(local) @ self._turn().T
        return np.asarray(turned * self.scale + (self.x, self.y))

    def at(self, u: float, v: float, *, scale: float, angle: float = 0.0) -> Pose:
        """The pose of a smaller object that stands at (u, v) of this one."""
        x, y = self.place(np.array([[u, v]]))[0]
        return Pose(float(x), float(y), self.scale * scale, self.angle + angle)

    def local(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Canvas coordinates to local ones."""
        turn = self._turn() / self.scale
        dx, dy = np.float32(1) * x - np.float32(self.x), np.float32(1) * y - np.float32(self.y)
        u = np.float32(turn[0, 0]) * dx + np.float32(turn[1, 0]) * dy
        v = np.float32(turn[0, 1]) * dx + np.float32(turn[1, 1]) * dy
        return u, v

    def _turn(self) -> Points:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])


class Canvas:
    """A square picture that is painted from back to front."""

    def __init__(self, size_px: int, colour: Colour = (1.0, 1.0, 1.0)) -> None:
        self.size_px = size_px
        self.side = size_px * _OVERSAMPLING
        # Planes, not pixels of three: the layers below multiply planes, several times as fast.
        self.rgb = np.empty((3, self.side, self.side), np.float32)
        self.rgb[:] = planes(colour)

    def picture(self) -> npt.NDArray[np.uint8]:
        """The finished picture, shape (size_px, size_px, 3), uint8."""
        small = [cv2.resize(plane, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA) for plane in self.rgb]
        return to_uint8(np.stack([np.asarray(plane, np.float32) for plane in small], axis=-1))

    def polygon(self, points: Points, *, soft: float = 0.0) -> Shape:
        """Fill a closed outline; `soft` blurs its edge by that many canvas widths."""
        pixels = points * self.side - 0.5
        margin = 2 + int(3 * soft * self.side)
        left, top = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin, 0)
        right, bottom = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + margin + 1, self.side)
        mask = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
        if mask.size:
            fixed = np.rint((pixels - (left, top)) * 2**_SHIFT).astype(np.int32)
            cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, _SHIFT)
        alpha = mask.astype(np.float32) / np.float32(255)
        return Shape(int(left), int(top), blurred(alpha, soft * self.side))

    def stroke(self, points: Points, *, width: float, soft: float = 0.0) -> Shape:
        """Draw an open line of a constant width, in canvas widths."""
        return self.polygon(ribbon(points, np.full(len(points), width / 2)), soft=soft)

    def blob(self, x: float, y: float, width: float, height: float) -> Shape:
        """A soft spot: a Gaussian of these standard deviations, 1 in its middle."""
        left, right = _span(x, width, self.side)
        top, bottom = _span(y, height, self.side)
        across = np.exp(-(((np.arange(left, right) + 0.5) / self.side - x) ** 2) / (2 * width**2))
        down = np.exp(-(((np.arange(top, bottom) + 0.5) / self.side - y) ** 2) / (2 * height**2))
        return Shape(left, top, np.outer(down, across).astype(np.float32))

    def over(self, shape: Shape, colour: Colour, *, opacity: float = 1.0) -> None:
        """Paint a colour, or an array of colours of the shape's size, over what is there."""
        region = self._region(shape)
        region += (planes(colour) - region) * (shape.alpha * np.float32(opacity))

    def shade(self, shape: Shape, colour: Colour, *, opacity: float = 1.0) -> None:
        """Multiply what is there by a colour: shadows, blushes, glazes."""
        region = self._region(shape)
        region *= 1 - (1 - planes(colour)) * (shape.alpha * np.float32(opacity))

    def grid(self, shape: Shape) -> tuple[FloatArray, FloatArray]:
        """Canvas coordinates of a shape's pixels: x of shape (1, w), y of shape (h, 1)."""
        height, width = shape.alpha.shape
        x = (np.arange(shape.left, shape.left + width) + 0.5) / self.side
        y = (np.arange(shape.top, shape.top + height) + 0.5) / self.side
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)

    def noise(self, rng: np.random.Generator, shape: Shape, cell: float) -> FloatArray:
        """Smooth noise over a shape, about -1 to 1; `cell` is the size of its grains in canvas widths."""
        height, width = shape.alpha.shape
        cells = (max(2, round(height / (cell * self.side))), max(2, round(width / (cell * self.side))))
        grains = rng.uniform(-1, 1, cells).astype(np.float32)
        return np.asarray(cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)

    def _region(self, shape: Shape) -> FloatArray:
        height, width = shape.alpha.shape
        return self.rgb[:, shape.top : shape.top + height, shape.left : shape.left + width]


def smooth(points: Sequence[tuple[float, float]] | Points, *, closed: bool = True, steps: int = 8) -> Points:
    """Draw a Catmull-Rom curve through points."""
    knots = np.asarray(points, dtype=np.float64)
    before, after, last = (
        (np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0))
        if closed
        else (
            np.vstack([knots[:1], knots[:-1]]),
            np.vstack([knots[1:], knots[-1:]]),
            np.vstack([knots[2:], knots[-1:], knots[-1:]]),
        )
    )
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (before, knots, after, last))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat = curve.reshape(-1, 2)
    return np.asarray(flat if closed else np.vstack([flat[: (len(knots) - 1) * steps], knots[-1:]]))


def within(shape: Shape, limits: Shape) -> Shape:
    """The part of a shape that is inside another."""
    clipped = np.zeros_like(shape.alpha)
    top, left = max(shape.top, limits.top), max(shape.left, limits.left)
    bottom = min(shape.top + shape.alpha.shape[0], limits.top + limits.alpha.shape[0])
    right = min(shape.left + shape.alpha.shape[1], limits.left + limits.alpha.shape[1])
    if bottom > top and right > left:
        own = (slice(top - shape.top, bottom - shape.top), slice(left - shape.left, right - shape.left))
        other = (slice(top - limits.top, bottom - limits.top), slice(left - limits.left, right - limits.left))
        clipped[own] = shape.alpha[own] * limits.alpha[other]
    return Shape(shape.left, shape.top, clipped)


def mirrored(right: Sequence[tuple[float, float]]) -> Points:
    """Draw a smooth outline through points of its right half and through their mirror images.

    Args:
        right: From the top to the bottom; the first and the last are on the axis, x = 0.
    """
    return smooth([*right, *[(-x, y) for x, y in right[-2:0:-1]]])


def ellipse(x: float, y: float, width: float, height: float, *, angle: float = 0.0, count: int = 40) -> Points:
    """Outline of an ellipse of these half axes."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return Pose(x, y, 1.0, angle).place(np.stack([width * np.cos(t), height * np.sin(t)], axis=1))


def ribbon(spine: Points, half_widths: npt.NDArray[Any]) -> Points:
    """Outline of a band along a line."""
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.asarray(half_widths)[:, None]
    return np.vstack([spine + across, (spine - across)[::-1]])


def mixed(first: Colour, second: Colour, share: npt.NDArray[Any] | float) -> FloatArray:
    """`first` where `share` is 0, `second` where it is 1; `share` may be an array (h, w), the result is then planes."""
    start, end = (planes(first), planes(second)) if np.ndim(share) else (np.asarray(first), np.asarray(second))
    return np.asarray(start + (end - start) * np.asarray(share, np.float32), dtype=np.float32)


def varied(rng: np.random.Generator, colour: Colour, amount: float = 0.03) -> FloatArray:
    """A colour a little lighter or darker, and a very little off its hue."""
    base = np.asarray(colour, np.float32) * np.float32(1 + rng.normal(0, amount))
    return np.asarray(np.clip(base + rng.normal(0, amount / 4, 3), 0, 1), dtype=np.float32)


def planes(colour: Colour) -> FloatArray:
    """A colour in the form that multiplies with planes: shape (3, 1, 1) or (3, h, w)."""
    array = np.asarray(colour, dtype=np.float32)
    return array.reshape(3, 1, 1) if array.ndim == 1 else array


def blurred(alpha: FloatArray, sigma_px: float) -> FloatArray:
    """Soften a plane by a Gaussian of this standard deviation; its border continues beyond its edge."""
    if sigma_px < 0.3 or not alpha.size:
        return alpha
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)


def _span(middle: float, sigma: float, side: int) -> tuple[int, int]:
    first = int(np.clip(np.floor((middle - 3 * sigma) * side), 0, side))
    last = int(np.clip(np.ceil((middle + 3 * sigma) * side), 0, side))
    return first, max(first, last)
