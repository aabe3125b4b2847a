"""A head without its hair and features: skin, ears, beard."""

from __future__ import annotations

import numpy as np

from deepcolor.data.drawing.canvas import Points, ellipse, mirrored, mixed, within
from deepcolor.data.drawing.lighting import solid
from deepcolor.data.drawing.person import Sitting


def paint_ears(sitting: Sitting) -> None:
    """Two ears, a little redder than the face."""
    canvas, person = sitting.canvas, sitting.person
    red = np.clip(person.skin * np.array([0.98, 0.88, 0.85]), 0, 1)
    for side in (-1, 1):
        x = sitting.x + side * person.broad - 0.018 * person.turn
        shape = canvas.polygon(ellipse(x, sitting.y - 0.02 * person.tall, 0.028, 0.062, angle=side * 0.15))
        solid(canvas, shape, red, light=sitting.light, gloss=0.05, depth=0.6)
        canvas.shade(canvas.blob(x, sitting.y, 0.010, 0.028), (0.68, 0.48, 0.44), opacity=0.6)


def paint_head(sitting: Sitting) -> None:
    """The face as an ellipsoid of skin: one side in the light, cheeks, sockets and chin modelled on it."""
    canvas, person, light = sitting.canvas, sitting.person, sitting.light
    shape = canvas.polygon(_outline(sitting))
    x, y = canvas.grid(shape)
    u, v = (x - sitting.x) / (person.broad * 1.12), (y - sitting.y) / (person.tall * 1.12)
    front = np.sqrt(np.maximum(1 - u * u - v * v, 0.02))
    flatter = 0.8 * v
    lx, ly, lz = light.direction()
    facing = (u * lx + flatter * ly + front * lz) / np.sqrt(u * u + flatter * flatter + front * front)
    grain = 0.012 * canvas.noise(sitting.rng, shape, 0.012) + 0.02 * canvas.noise(sitting.rng, shape, 0.05)
    tone = np.clip(light.ambient + 0.14 + 0.62 * np.maximum(facing, 0) + grain, 0, 1.1)
    # Skin lets light through: its shadows are redder than its own colour, never grey.
    shadow = person.skin * np.array([0.98, 0.86, 0.80], np.float32)
    canvas.over(shape, np.clip(mixed(shadow, person.skin, np.clip(tone - 0.35, 0, 1)) * tone, 0, 1))
    _model(sitting)


def paint_beard(sitting: Sitting) -> None:
    """From a shadow of stubble to a full beard, with a moustache; clean round the lips."""
    canvas, person = sitting.canvas, sitting.person
    if person.beard <= 0:
        return
    full = person.beard > 0.75
    low = 1.10 if full else 1.0
    right = [
        (0, 0.42),
        (0.34, 0.46),
        (0.56, 0.58),
        (0.84, 0.40),
        (1.02, -0.02),
        (0.9, 0.62),
        (0.5, 0.95 * low),
        (0, 1.02 * low),
    ]
    jaw = sitting.on_face(mirrored(right), depth=0.5)
    face = canvas.polygon(_outline(sitting, grow=1.06 if full else 1.0), soft=0.003)
    shape = within(canvas.polygon(jaw, soft=0.020 - 0.010 * person.beard), face)
    strands = 0.5 + 0.5 * canvas.noise(sitting.rng, shape, 0.009)
    dark, pale = person.hair * np.float32(0.8), np.clip(person.hair * 1.25 + 0.02, 0, 1)
    dense = np.float32(0.30 + 0.62 * person.beard)
    canvas.over(shape.times(dense * (0.75 + 0.25 * strands)), mixed(dark, pale, strands))
    lips = canvas.blob(sitting.ahead(1.0), sitting.y + 0.575 * person.tall, 0.055, 0.018)
    canvas.over(lips, person.skin * np.float32(0.85), opacity=0.8)


def _outline(sitting: Sitting, *, grow: float = 1.0) -> Points:
    """The face from the hairline round the chin, and the skull above it."""
    jaw = sitting.person.jaw
    right = [(0, -1.02), (0.55, -0.96), (0.92, -0.62), (1, -0.12), (0.95, 0.28), (0.72 + 0.12 * jaw, 0.66)]
    right += [(0.36 + 0.14 * jaw, 0.93), (0, 1)]
    points = sitting.on_face(mirrored(right) * grow)
    # The chin goes with the turn of the head.
    lower = np.clip((points[:, 1] - sitting.y) / sitting.person.tall, 0, 1)
    points[:, 0] += 0.016 * sitting.person.turn * lower
    return points


def _model(sitting: Sitting) -> None:
    """Cheeks, eye sockets, forehead and chin."""
    canvas, person, y = sitting.canvas, sitting.person, sitting.y
    w, h = person.broad, person.tall
    socket = (0.80, 0.66, 0.62)
    for side in (-1, 1):
        cheek = sitting.ahead(0.6) + side * 0.56 * w
        canvas.shade(canvas.blob(cheek, y + 0.26 * h, 0.30 * w, 0.15 * h), (1.0, 0.72, 0.68), opacity=0.42)
        eye = sitting.ahead(0.7) + side * 0.44 * w
        canvas.shade(canvas.blob(eye, y - 0.20 * h, 0.26 * w, 0.10 * h), socket, opacity=0.55)
    lit = np.sign(sitting.light.x) * w
    glow = np.clip(person.skin * 1.12 + 0.06, 0, 1)
    canvas.over(canvas.blob(sitting.ahead(0.5) + 0.2 * lit, y - 0.55 * h, 0.4 * w, 0.16 * h), glow, opacity=0.32)
    canvas.over(canvas.blob(sitting.ahead(0.6) + 0.52 * lit, y + 0.16 * h, 0.2 * w, 0.10 * h), glow, opacity=0.34)
    canvas.over(canvas.blob(sitting.ahead(0.8), y + 0.86 * h, 0.18 * w, 0.05 * h), glow, opacity=0.25)
    canvas.shade(canvas.blob(sitting.ahead(0.8), y + 0.735 * h, 0.26 * w, 0.025 * h), (0.80, 0.64, 0.60), opacity=0.5)
