"""Draw portraits: people in the colours people have, before a soft background, lit from one side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepcolor.data.drawing.canvas import Canvas
from deepcolor.data.drawing.features import paint_eyes, paint_glasses, paint_mouth, paint_nose
from deepcolor.data.drawing.hair import paint_hair_behind, paint_hair_in_front
from deepcolor.data.drawing.head import paint_beard, paint_ears, paint_head
from deepcolor.data.drawing.lighting import Light
from deepcolor.data.drawing.person import Person, Sitting
from deepcolor.data.drawing.surroundings import paint_background, paint_shoulders, tilt_camera

LAYERS = (
    paint_background, paint_hair_behind, paint_shoulders, paint_ears, paint_head, paint_beard,
    paint_eyes, paint_nose, paint_mouth, paint_hair_in_front, paint_glasses,
)  # fmt: skip
"""From back to front."""


def draw_face(rng: np.random.Generator, size_px: int) -> npt.NDArray[np.uint8]:
    """Draw one portrait.

    Args:
        rng: Decides everything.
        size_px: Side of the picture.
    Returns:
        sRGB, shape (size_px, size_px, 3), uint8.
    """
    canvas = Canvas(size_px)
    sitting = Sitting(canvas=canvas, rng=rng, light=Light.drawn(rng), person=Person.drawn(rng))
    for paint in LAYERS:
        paint(sitting)
    x, y = rng.uniform(-0.02, 0.02), rng.uniform(-0.015, 0.025)
    tilt_camera(canvas, degrees=rng.uniform(-5, 5), zoom=rng.uniform(1.08, 1.28), x=x, y=y)
    return canvas.picture()
