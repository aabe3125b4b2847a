"""Hair: straight or curly, behind the head and before it."""

from __future__ import annotations

import numpy as np

from deepcolor.color import FloatArray
from deepcolor.data.drawing.canvas import Points, Shape, ellipse, mixed, smooth
from deepcolor.data.drawing.lighting import solid
from deepcolor.data.drawing.person import Sitting

CROWNS = {"buzz": 1.06, "short": 1.17, "receding": 1.08}
"""How far the hair stands above the face's middle, in face heights; 1.2 where it is not said."""

HAIRLINES = {
    "parted": [(0.96, -0.30), (0.80, -0.62), (0.35, -0.86), (-0.45, -0.60), (-0.95, -0.20)],
    "long": [(0.99, 0.1), (0.86, -0.42), (0.35, -0.88), (-0.72, -0.50), (-0.99, 0.1)],
    "bob": [(0.98, 0.0), (0.88, -0.42), (0.4, -0.46), (-0.3, -0.45), (-0.86, -0.42), (-0.98, 0.0)],
    "receding": [
        (0.98, -0.28),
        (0.86, -0.62),
        (0.55, -0.93),
        (0, -0.80),
        (-0.55, -0.93),
        (-0.86, -0.62),
        (-0.98, -0.28),
    ],
}
SHORT_HAIRLINE = [
    (1.0, -0.05),
    (0.93, -0.30),
    (0.80, -0.62),
    (0.45, -0.79),
    (-0.1, -0.76),
    (-0.5, -0.78),
    (-0.80, -0.62),
]
SHORT_HAIRLINE += [(-0.93, -0.30), (-1.0, -0.05)]

RAGGED = {"buzz": 0.0, "bob": 0.010, "curly": 0.006}


def paint_hair_behind(sitting: Sitting) -> None:
    """What falls behind the neck, or stands out beyond the skull."""
    person = sitting.person
    if person.style in {"long", "bob"}:
        bottom = 1.75 if person.style == "long" else 0.98
        right = [(0, -1.22), (0.92, -1.0), (1.20, -0.2), (1.26, 0.5), (1.18, bottom)]
        fall = smooth([*right, *[(-u, v) for u, v in right[:0:-1]]])
        _paint_strands(sitting, sitting.canvas.polygon(sitting.on_face(fall), soft=0.0015), wave=0.004)
    elif person.style == "bun":
        knot = ellipse(sitting.x, sitting.y - 1.28 * person.tall, 0.085, 0.075)
        _paint_strands(sitting, sitting.canvas.polygon(knot, soft=0.0015), wave=0.002)
    elif person.style == "curly":
        _paint_curls(sitting, sitting.canvas.polygon(_mop(sitting)), relief=0.010)


def paint_hair_in_front(sitting: Sitting) -> None:
    """The hair on the skull, down to the hairline, and the shadow it throws on the forehead."""
    canvas, rng, style = sitting.canvas, sitting.rng, sitting.person.style
    top = CROWNS.get(style, 1.2)
    left = [(-1.03, -0.02), (-1.06, -0.55), (-0.78, 0.17 - top), (0, -top)]
    crown = smooth([*left, *[(-u, v) for u, v in left[2::-1]]], closed=False)
    line = np.array(HAIRLINES.get(style, SHORT_HAIRLINE))
    if style in {"parted", "long"} and rng.random() < 0.5:
        line = line[::-1] * (-1, 1)
    hairline = sitting.on_face(smooth(line, closed=False))
    ragged = RAGGED.get(style, 0.007)
    hairline[1:-1] += rng.uniform(-ragged, ragged, (len(hairline) - 2, 2)) * (0.3, 1.0)
    outline = np.vstack([sitting.on_face(crown), hairline])
    shadow = canvas.polygon(np.add(outline, (0, 0.012)), soft=0.010)
    canvas.shade(shadow, (0.66, 0.52, 0.48), opacity=0.55)
    if style == "curly":
        _paint_curls(sitting, canvas.polygon(outline, soft=0.004), relief=0.008)
    elif style == "buzz":
        _paint_strands(sitting, canvas.polygon(outline, soft=0.004), wave=0.0)
    else:
        _paint_strands(sitting, canvas.polygon(outline, soft=0.0015), wave=0.0025)


def _paint_strands(sitting: Sitting, shape: Shape, *, wave: float) -> None:
    """Combed hair: strands that fan out from above the crown, and a band of light across them."""
    canvas, person = sitting.canvas, sitting.person
    x, y = canvas.grid(shape)
    fan = np.arctan2(x - sitting.x, y - sitting.y + 1.9 * person.tall)
    across = np.clip((fan + 0.6) / 1.2, 0, 1)
    strands = 0.7 * _profile(sitting.rng, across, 150) + 0.3 * _profile(sitting.rng, across, 30)
    dark, pale = person.hair * np.float32(0.66), np.clip(person.hair * 1.35 + 0.025, 0, 1)
    albedo = mixed(dark, pale, np.clip(0.45 + 0.38 * strands, 0, 1))
    solid(canvas, shape, albedo, light=sitting.light, gloss=0.10, shine=2, bump=wave * strands, depth=0.55)
    away = (y - sitting.y + 0.78 * person.tall) / (0.13 * person.tall) + 0.5 * strands
    aside = (x - sitting.x - 0.35 * sitting.light.x * person.broad) / (0.75 * person.broad)
    canvas.over(shape.times(0.34 * np.exp(-(away**2) - aside**2)), np.clip(person.hair * 1.5 + 0.16, 0, 1))


def _paint_curls(sitting: Sitting, shape: Shape, *, relief: float) -> None:
    canvas, hair = sitting.canvas, sitting.person.hair
    grains = canvas.noise(sitting.rng, shape, 0.022)
    dark, pale = hair * np.float32(0.7), np.clip(hair * 1.25 + 0.03, 0, 1)
    albedo = mixed(dark, pale, np.clip(0.45 + 0.5 * grains, 0, 1))
    solid(canvas, shape, albedo, light=sitting.light, gloss=0.04, bump=relief * grains, depth=0.5)


def _mop(sitting: Sitting) -> Points:
    """A lumpy outline from ear to ear over the skull."""
    rng = sitting.rng
    t = np.linspace(0.80 * np.pi, 2.20 * np.pi, 48)
    lumps = 1.32 * (1 + 0.03 * np.sin(t * 15 + rng.uniform(0, 6)) + rng.uniform(-0.03, 0.03, 48))
    return sitting.on_face(smooth(np.stack([lumps * np.cos(t), 0.86 * lumps * np.sin(t) - 0.22], axis=1), steps=3))


def _profile(rng: np.random.Generator, across: FloatArray, count: int) -> FloatArray:
    """Random heights, -1 to 1, of so many strands side by side."""
    return np.interp(across * count, np.arange(count + 1), rng.uniform(-1, 1, count + 1)).astype(np.float32)
