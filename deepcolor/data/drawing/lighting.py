"""Light on what is painted: rounded bodies with their own shadows and highlights, and the shadows they cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.color import FloatArray
from deepcolor.data.drawing.canvas import Canvas, Colour, Shape, blurred, planes


@dataclass(frozen=True)
class Light:
    """Where the light comes from, and how soft it is."""

    x: float
    """Negative from the left."""
    y: float
    """Negative from above."""
    z: float = 0.75
    """Towards the viewer."""
    ambient: float = 0.42

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Light:
        """A light from above, from either side."""
        side = rng.choice([-1.0, 1.0])
        return cls(x=side * rng.uniform(0.25, 0.6), y=-rng.uniform(0.4, 0.7), ambient=rng.uniform(0.36, 0.46))

    def direction(self) -> FloatArray:
        """Unit vector to the light."""
        vector = np.array([self.x, self.y, self.z], np.float32)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def solid(
    canvas: Canvas,
    shape: Shape,
    albedo: Colour,
    *,
    light: Light,
    gloss: float = 0.3,
    shine: int = 4,
    bump: npt.NDArray[Any] | None = None,
    depth: float = 1.0,
) -> None:
    """Paint a shape as a rounded body: inflated from its outline, lit from one side, with a highlight.

    Args:
        canvas: Painted on.
        shape: Its outline.
        albedo: Its own colour, one or for each of the shape's pixels.
        light: Where from.
        gloss: Strength of the highlight, 0 to 1.
        shine: Sharpness of the highlight: the cosine is raised to 2 ** shine.
        bump: Relief added to the body, in canvas widths, for each of the shape's pixels.
        depth: 1 inflates to a ball's roundness, less is flatter.
    """
    height = inflated(shape.alpha) * np.float32(depth)
    if bump is not None:
        height = height + np.asarray(bump, np.float32) * np.float32(canvas.side)
    across = np.asarray(cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8))
    down = np.asarray(cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8))
    length = 1 / np.sqrt(1 + across * across + down * down)
    to_light = light.direction()
    half = to_light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    facing = np.clip((to_light[2] - across * to_light[0] - down * to_light[1]) * length, 0, 1)
    # A pale table throws some light back from below.
    bounce = np.clip(-down * length, -1, 1) * np.float32(-0.10)
    tone = np.clip(light.ambient + (1 - light.ambient) * 1.12 * facing + np.maximum(bounce, 0), 0, 1.08)
    highlight = np.clip((half[2] - across * half[0] - down * half[1]) * length, 0, 1)
    for _ in range(shine):
        highlight *= highlight
    own = planes(albedo)
    # Light that is thrown about within a body's own shadow takes on its colour twice.
    lit = own * (tone + (1 - tone) * (0.45 * own - 0.18))
    lit += (1 - lit) * (highlight * np.float32(gloss))
    canvas.over(shape, np.clip(lit, 0, 1, out=lit))


def cast_shadow(canvas: Canvas, shape: Shape, *, light: Light, ground: float, strength: float = 0.5) -> None:
    """Let a body stand on a table: a soft shadow, and a darker line where it touches, below and away from the light.

    Args:
        canvas: Painted on, before the body itself.
        shape: The body's outline.
        light: Where from.
        ground: y of the table under the body, in canvas heights.
        strength: 0 to 1.
    """
    columns = shape.alpha.max(axis=0)
    x, _ = canvas.grid(shape)
    filled = x[0][columns > 0.5]
    if not len(filled):
        return
    middle, half = float(filled.mean()), float(np.ptp(filled)) / 2
    shift = -0.35 * light.x * half
    far, near = canvas.blob(middle + shift, ground, half * 0.62, 0.035), canvas.blob(middle, ground, half * 0.5, 0.014)
    canvas.shade(far, (0.62, 0.62, 0.66), opacity=strength)
    canvas.shade(near, (0.45, 0.43, 0.45), opacity=strength)


def inflated(alpha: FloatArray) -> FloatArray:
    """Height in pixels over a flat outline, round as a ball where the outline is a disc."""
    inside = np.pad((alpha > 0.5).astype(np.uint8), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    radius = max(float(distance.max()), 1.0)
    rest = 1 - np.asarray(distance, np.float32) / np.float32(radius)
    height = np.float32(radius) * np.sqrt(np.maximum(1 - rest * rest, 0))
    return blurred(np.asarray(height, np.float32), radius * 0.09)
