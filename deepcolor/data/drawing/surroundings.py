"""What a portrait has around the head: background, shoulders, clothes, and the camera's own tilt."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deepcolor.color import FloatArray
from deepcolor.data.drawing.canvas import Canvas, Points, Shape, ellipse, mixed, smooth, varied
from deepcolor.data.drawing.lighting import solid
from deepcolor.data.drawing.person import Sitting

FABRICS = {
    "shirt": ((0.93, 0.93, 0.94), (0.70, 0.80, 0.92)),
    "t-shirt": ((0.66, 0.16, 0.15), (0.88, 0.60, 0.18), (0.72, 0.20, 0.30)),
    "v-neck": ((0.13, 0.30, 0.28), (0.20, 0.22, 0.40), (0.35, 0.14, 0.22)),
    "hoodie": ((0.55, 0.56, 0.58), (0.36, 0.38, 0.42)),
    "striped": ((0.92, 0.91, 0.88),),
}
"""Each cut comes in its own colours, so that the cut tells the colour."""

NECKLINES = {"v-neck": 0.19, "shirt": 0.13, "hoodie": 0.05}
"""How deep the neckline is, in canvas heights; 0.075 where it is not said."""


def paint_background(sitting: Sitting) -> None:
    """A studio wall (cool), foliage out of focus (green), or a room's wall (warm): the texture says which."""
    canvas = sitting.canvas
    whole = Shape(0, 0, np.ones((canvas.side, canvas.side), np.float32))
    paint = (_paint_studio, _paint_foliage, _paint_room)[sitting.rng.integers(3)]
    paint(sitting, whole)
    x, y = canvas.grid(whole)
    canvas.rgb *= 1 - 0.5 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)


def paint_shoulders(sitting: Sitting) -> None:
    """Neck, shadow of the chin, shoulders and what they wear."""
    canvas, person = sitting.canvas, sitting.person
    x, chin = sitting.x, sitting.y + person.tall
    neck = person.broad * (0.60 + 0.16 * person.jaw)
    right = [(neck, chin - 0.16), (neck * 0.95, chin + 0.06), (neck * 1.9, chin + 0.15)]
    throat = [(x + u, v) for u, v in right] + [(x, chin + 0.25)] + [(x - u, v) for u, v in right[::-1]]
    skin = person.skin * np.float32(0.93)
    solid(canvas, canvas.polygon(smooth(throat)), skin, light=sitting.light, gloss=0.05, shine=2, depth=0.6)
    shadow = canvas.blob(x - 0.02 * np.sign(sitting.light.x), chin, neck * 0.95, 0.045)
    canvas.shade(shadow, (0.62, 0.46, 0.42), opacity=0.75)
    cut = _Cut(x=x, top=chin + 0.085, neck=neck, dip=NECKLINES.get(person.clothes, 0.075))
    _paint_garment(sitting, cut)


def tilt_camera(canvas: Canvas, *, degrees: float, zoom: float, x: float, y: float) -> None:
    """Hold the camera a little askew and nearer; the zoom hides the corners this would leave empty."""
    middle = canvas.side / 2
    warp = cv2.getRotationMatrix2D((middle, middle), degrees, zoom)
    warp[:, 2] += np.array([x, y]) * canvas.side
    size = (canvas.side, canvas.side)
    for plane in canvas.rgb:
        plane[:] = cv2.warpAffine(plane, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class _Cut:
    """Measures of a garment, in canvas widths."""

    x: float
    top: float
    """Where it meets the neck."""
    neck: float
    """Half width of the neck."""
    dip: float
    """Depth of the neckline."""


def _paint_studio(sitting: Sitting, whole: Shape) -> None:
    canvas, rng = sitting.canvas, sitting.rng
    x, y = canvas.grid(whole)
    glow = np.exp(-(((x - 0.5 - 0.3 * sitting.light.x) ** 2 + (y - 0.4) ** 2) / 0.18))
    canvas.rgb[:] = mixed(varied(rng, (0.28, 0.38, 0.52), 0.12), varied(rng, (0.60, 0.70, 0.80), 0.05), glow)


def _paint_foliage(sitting: Sitting, whole: Shape) -> None:
    canvas, rng = sitting.canvas, sitting.rng
    leaves = np.clip(0.5 + 0.35 * canvas.noise(rng, whole, 0.16) + 0.25 * canvas.noise(rng, whole, 0.07), 0, 1)
    canvas.rgb[:] = mixed(varied(rng, (0.13, 0.24, 0.11), 0.1), varied(rng, (0.55, 0.68, 0.32), 0.06), leaves)
    for _ in range(7):
        radius = rng.uniform(0.03, 0.08)
        disc = canvas.polygon(ellipse(rng.uniform(0, 1), rng.uniform(0, 0.8), radius, radius, count=24), soft=0.008)
        canvas.over(disc, (0.80, 0.86, 0.52), opacity=rng.uniform(0.12, 0.4))


def _paint_room(sitting: Sitting, whole: Shape) -> None:
    canvas, rng = sitting.canvas, sitting.rng
    x, y = canvas.grid(whole)
    fall = 0.55 * y + 0.25 * (x * np.sign(sitting.light.x) + 0.5) + 0.05 * canvas.noise(rng, whole, 0.2)
    near, far = varied(rng, (0.88, 0.80, 0.69), 0.04), varied(rng, (0.60, 0.47, 0.36), 0.08)
    canvas.rgb[:] = mixed(near, far, np.clip(fall, 0, 1))
    left = rng.choice([-0.02, 0.72]) + rng.uniform(-0.04, 0.04)
    frame = np.array([(left, 0.06), (left + 0.3, 0.06), (left + 0.3, 0.4), (left, 0.4)])
    canvas.over(canvas.polygon(frame, soft=0.012), varied(rng, (0.50, 0.36, 0.24), 0.1), opacity=0.75)


def _paint_garment(sitting: Sitting, cut: _Cut) -> None:
    canvas, rng, clothes = sitting.canvas, sitting.rng, sitting.person.clothes
    shape = canvas.polygon(_garment_outline(cut, wide=rng.uniform(0.38, 0.45), pointed=clothes in {"v-neck", "shirt"}))
    colour = varied(rng, FABRICS[clothes][rng.integers(len(FABRICS[clothes]))], 0.05)
    albedo = colour
    if clothes == "striped":
        x, y = canvas.grid(shape)
        stripes = np.clip(np.sin((y + 0.12 * (x - 0.5) ** 2) * 150) * 3, 0, 1)
        albedo = mixed(colour, (0.16, 0.22, 0.42), stripes)
    folds = 0.006 * canvas.noise(rng, shape, 0.09)
    solid(canvas, shape, albedo, light=sitting.light, gloss=0.03, shine=2, bump=folds, depth=0.45)
    if clothes == "shirt":
        _paint_collar(sitting, cut, colour)
    else:
        _paint_rim(sitting, cut, colour)


def _garment_outline(cut: _Cut, *, wide: float, pointed: bool) -> Points:
    neck, top, dip = cut.neck, cut.top, cut.dip
    shoulder = [(wide + 0.08, 1.3), (wide, top + 0.16), (wide * 0.8, top + 0.075), (neck * 1.15, top - 0.02)]
    inner = [(neck * 0.9, top)] if pointed else [(neck * 0.9, top), (neck * 0.5, top + dip * 0.8)]
    right = shoulder + inner
    both = [(cut.x - u, v) for u, v in right] + [(cut.x, top + dip)] + [(cut.x + u, v) for u, v in right[::-1]]
    return smooth(both, steps=6)


def _paint_collar(sitting: Sitting, cut: _Cut, colour: FloatArray) -> None:
    canvas, neck, top, dip = sitting.canvas, cut.neck, cut.top, cut.dip
    for side in (-1, 1):
        local = [(0.0, dip), (neck * 0.95, -0.035), (neck * 1.5, 0.03), (neck * 0.75, dip * 0.95)]
        flap = np.array([(cut.x + side * u, top + v) for u, v in local])
        canvas.shade(canvas.polygon(np.add(flap, (0, 0.012)), soft=0.006), (0.7, 0.7, 0.74), opacity=0.7)
        solid(canvas, canvas.polygon(flap), np.clip(colour * 1.04, 0, 1), light=sitting.light, gloss=0.0, depth=0.3)


def _paint_rim(sitting: Sitting, cut: _Cut, colour: FloatArray) -> None:
    clothes = sitting.person.clothes
    t = np.linspace(-1, 1, 15)
    sag = cut.dip * (1 - np.abs(t) if clothes == "v-neck" else 1 - t * t)
    edge = np.stack([cut.x + t * cut.neck * 0.98, cut.top + sag], axis=1)
    rim = sitting.canvas.stroke(edge, width=0.035 if clothes == "hoodie" else 0.018)
    solid(sitting.canvas, rim, colour * np.float32(0.88), light=sitting.light, gloss=0.0)
