"""Draw fruit and vegetables on white, one kind a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepcolor.data.drawing.canvas import Canvas, Pose
from deepcolor.data.drawing.fruit import apple, banana, lemon, orange, peach, pear, plum, strawberry
from deepcolor.data.drawing.lighting import Light
from deepcolor.data.drawing.table import Kind, Scene
from deepcolor.data.drawing.vegetables import aubergine, broccoli, carrot, corn, cucumber, pepper, tomato

Rng = np.random.Generator

KINDS: tuple[Kind, ...] = (
    Kind("apple", apple, 0.3),
    Kind("orange", orange, 0.5),
    Kind("lemon", lemon, 0.6),
    Kind("banana", banana, 0.45, alone=0.85),
    Kind("strawberry", strawberry, 0.5),
    Kind("tomato", tomato, 0.25),
    Kind("carrot", carrot, 0.7, alone=0.6),
    Kind("cucumber", cucumber, 0.6, alone=0.8),
    Kind("broccoli", broccoli, 0.25, alone=0.9),
    Kind("aubergine", aubergine, 0.6, alone=0.7),
    Kind("pear", pear, 0.3),
    Kind("plum", plum, 0.5),
    Kind("peach", peach, 0.3),
    Kind("corn", corn, 0.6, alone=0.7),
    Kind("pepper", pepper, 0.25),
)
"""What is drawn; every kind as often as any other."""


def draw_fruit(rng: Rng, size_px: int) -> npt.NDArray[np.uint8]:
    """Draw one kind, one to three pieces of it, on white.

    Args:
        rng: Decides everything.
        size_px: Side of the picture.
    Returns:
        sRGB, shape (size_px, size_px, 3), uint8.
    """
    kind = KINDS[int(rng.integers(len(KINDS)))]
    scene = Scene(canvas=Canvas(size_px), rng=rng, light=Light.drawn(rng))
    for pose in _poses(rng, kind):
        kind.paint(scene, pose)
    return scene.canvas.picture()


def _poses(rng: Rng, kind: Kind) -> list[Pose]:
    """One large piece, or two or three smaller ones, those behind first."""
    if rng.random() < kind.alone:
        places = [(0.5, 0.51, 0.39)]
    elif rng.random() < 0.6:
        places = [(0.35, 0.44, 0.26), (0.63, 0.58, 0.28)]
    else:
        places = [(0.5, 0.34, 0.23), (0.3, 0.62, 0.24), (0.69, 0.64, 0.24)]
    flipped = rng.random() < 0.5
    return [
        Pose(
            x=(1 - x if flipped else x) + rng.uniform(-0.02, 0.02),
            y=y + rng.uniform(-0.02, 0.02),
            scale=scale * rng.uniform(0.88, 1.04),
            angle=rng.uniform(-kind.tilt, kind.tilt),
        )
        for x, y, scale in places
    ]
