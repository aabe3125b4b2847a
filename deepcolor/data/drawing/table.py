"""What fruit and vegetables are drawn with: the scene, bodies with shadows, stalks, leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcolor.color import FloatArray
from deepcolor.data.drawing.canvas import Canvas, Colour, Points, Pose, Shape, mixed, ribbon, smooth, varied
from deepcolor.data.drawing.lighting import Light, cast_shadow, solid

Rng = np.random.Generator


LEAF = (0.36, 0.55, 0.17)
STALK = (0.42, 0.30, 0.16)


@dataclass(frozen=True)
class Scene:
    """What every kind is drawn with."""

    canvas: Canvas
    rng: Rng
    light: Light

    def tint(self, colour: Colour, amount: float = 0.03) -> FloatArray:
        """A colour a little off, as no two pieces are the same."""
        return varied(self.rng, colour, amount)

    def noise(self, shape: Shape, cell: float) -> FloatArray:
        """Smooth noise over a shape, about -1 to 1, with grains of this size in canvas widths."""
        return self.canvas.noise(self.rng, shape, cell)

    def paint(
        self,
        shape: Shape,
        albedo: Colour,
        *,
        gloss: float,
        shine: int = 4,
        bump: npt.NDArray[Any] | None = None,
        depth: float = 1.0,
    ) -> None:
        """Paint a rounded body in this scene's light; see `solid`."""
        solid(self.canvas, shape, albedo, light=self.light, gloss=gloss, shine=shine, bump=bump, depth=depth)

    def shade_spot(self, pose: Pose, width: float, height: float, *, colour: Colour, opacity: float) -> None:
        """Darken a soft spot, such as the dimple round a stalk, in units of the pose."""
        spot = self.canvas.blob(pose.x, pose.y, width * pose.scale, height * pose.scale)
        self.canvas.shade(spot, colour, opacity=opacity)


Painter = Callable[[Scene, Pose], None]


@dataclass(frozen=True)
class Kind:
    """A kind, and how its pieces lie."""

    name: str
    paint: Painter
    tilt: float
    """Largest angle in radians, either way."""
    alone: float = 0.55
    """Share of pictures with a single piece."""


def body(scene: Scene, pose: Pose, outline: Points, *, lying: bool = False) -> tuple[Shape, FloatArray, FloatArray]:
    """Fill an outline and cast its shadow; return it with the local coordinates of its pixels."""
    placed = pose.place(_grown(scene.rng, outline))
    shape = scene.canvas.polygon(placed)
    if lying:
        offset = np.array([-0.05 * scene.light.x, 0.032])
        scene.canvas.shade(scene.canvas.polygon(placed + offset, soft=0.02), (0.55, 0.55, 0.6), opacity=0.55)
    else:
        cast_shadow(scene.canvas, shape, light=scene.light, ground=float(placed[:, 1].max()) - 0.012)
    u, v = pose.local(*scene.canvas.grid(shape))
    return shape, u, v


def stalk(scene: Scene, pose: Pose, points: list[tuple[float, float]], *, width: float, colour: Colour) -> None:
    """A short stem along these points, thicker at its end."""
    spine = smooth(points, closed=False)
    widths = np.linspace(width * 0.75, width * 1.15, len(spine)) / 2
    shape = scene.canvas.polygon(pose.place(ribbon(spine, widths)))
    scene.paint(shape, scene.tint(colour), gloss=0.1)


def leaf(scene: Scene, pose: Pose, *, length: float, width: float, colour: tuple[float, ...] = LEAF) -> None:
    """A pointed leaf that starts at the pose's origin and points to its right."""
    t = np.linspace(0, 1, 14)
    spine = np.stack([t * length, -0.25 * length * t * (1 - t)], axis=1)
    shape = scene.canvas.polygon(pose.place(ribbon(spine, width / 2 * np.sin(np.pi * t**0.8))))
    scene.paint(shape, scene.tint(colour, 0.06), gloss=0.12, depth=0.5)
    vein = scene.canvas.stroke(pose.place(spine), width=0.012 * pose.scale)
    scene.canvas.over(vein, mixed(colour, (0.8, 0.9, 0.6), 0.45), opacity=0.6)


def star(rng: Rng, *, count: int, outer: float, inner: float, squash: float = 1.0) -> Points:
    """A calyx: pointed, slightly irregular leaves around a middle."""
    angles = np.linspace(0, 2 * np.pi, 2 * count, endpoint=False) + rng.uniform(-0.12, 0.12, 2 * count)
    radii = np.where(np.arange(2 * count) % 2 == 0, outer, inner) * rng.uniform(0.8, 1.15, 2 * count)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles) * squash], axis=1)


def _grown(rng: Rng, outline: Points) -> Points:
    """No two grow alike: longer or broader, and a little lopsided."""
    across, along = 1 + rng.normal(0, 0.05, 2).clip(-0.1, 0.1)
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    lopsided = np.ones(len(outline))
    for lobes in (1, 2, 3):
        lopsided += rng.normal(0, 0.016) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(outline * (across, along) * lopsided[:, None])
