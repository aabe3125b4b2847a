"""What a face is known by: eyes and brows, nose, mouth, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepcolor.data.drawing.canvas import Points, ellipse, mixed, ribbon, smooth, within
from deepcolor.data.drawing.lighting import solid
from deepcolor.data.drawing.person import Sitting

FRAMES = (0.10, 0.09, 0.09)


def paint_eyes(sitting: Sitting) -> None:
    """Both eyes with lids, lashes and brows; the one that is turned away is narrower."""
    person = sitting.person
    for side in (-1, 1):
        eye = _Eye(
            side=side,
            x=sitting.ahead(0.75) + side * person.broad * 0.44,
            y=sitting.y - 0.155 * person.tall,
            half=0.046 * (1 - 0.10 * max(0.0, side * person.turn)),
            up=0.0185 - 0.003 * max(person.smile, 0),
        )
        _paint_ball(sitting, eye)
        _paint_lids(sitting, eye)
        _paint_brow(sitting, eye)


def paint_nose(sitting: Sitting) -> None:
    """A ridge in the light, a flank in shadow, wings and nostrils."""
    canvas, person, y = sitting.canvas, sitting.person, sitting.y
    h, w, x, bridge = person.tall, person.broad, sitting.ahead(1.4), sitting.ahead(0.95)
    lit = np.sign(sitting.light.x)
    near, far = (bridge - lit * 0.012, y - 0.22 * h), (bridge - lit * 0.030, y + 0.02 * h)
    tip = [(x - lit * 0.046, y + 0.26 * h), (x - lit * 0.02, y + 0.30 * h), (x - lit * 0.008, y + 0.05 * h)]
    canvas.shade(canvas.polygon(smooth([near, far, *tip]), soft=0.009), (0.72, 0.55, 0.50), opacity=0.6)
    glow = np.clip(person.skin * 1.15 + 0.08, 0, 1)
    ridge = np.array([(bridge + lit * 0.004, y - 0.15 * h), (x + lit * 0.004, y + 0.2 * h)])
    canvas.over(canvas.stroke(ridge, width=0.016, soft=0.008), glow, opacity=0.45)
    canvas.shade(canvas.blob(x, y + 0.345 * h, 0.22 * w, 0.022 * h), (0.66, 0.48, 0.44), opacity=0.7)
    canvas.over(canvas.blob(x + lit * 0.006, y + 0.24 * h, 0.016, 0.013), glow, opacity=0.5)
    for side in (-1, 1):
        edge = [(x + side * 0.030, y + 0.22 * h), (x + side * 0.043, y + 0.28 * h), (x + side * 0.034, y + 0.325 * h)]
        wing = canvas.stroke(smooth(edge, closed=False), width=0.007, soft=0.0035)
        canvas.shade(wing, (0.60, 0.42, 0.38), opacity=0.65)
        hole = ellipse(x + side * 0.018, y + 0.325 * h, 0.0105, 0.0055, angle=-side * 0.25, count=20)
        canvas.over(canvas.polygon(hole, soft=0.0018), person.skin * np.array([0.36, 0.24, 0.22]), opacity=0.85)


def paint_mouth(sitting: Sitting) -> None:
    """Two lips; a broad smile shows teeth."""
    canvas, person, light = sitting.canvas, sitting.person, sitting.light
    x, y = sitting.ahead(1.0), sitting.y + 0.565 * person.tall
    half, lift = 0.062 + 0.014 * max(person.smile, 0), 0.016 * person.smile
    full, gap = 0.011 + 0.009 * person.lips, 0.014 if person.smile > 0.72 else 0.0
    t = np.linspace(-1, 1, 21)
    line = np.stack([x + t * half, y - lift * t * t + 0.006 * person.smile], axis=1)
    bow = -full * (1 - t * t) ** 0.8 * (1 - 0.35 * np.exp(-((t / 0.16) ** 2)))
    swell = full * 1.35 * (1 - t * t) ** 0.75
    below = _moved(line, gap * (1 - t * t))
    pale, red = (person.skin * np.array(tint, np.float32) for tint in ((0.90, 0.66, 0.64), (0.92, 0.46, 0.48)))
    colour = np.clip(mixed(pale, red, person.lips), 0, 1)
    canvas.shade(canvas.blob(x, y + full * 1.35 + 0.012, half * 0.5, 0.006), (0.74, 0.58, 0.54), opacity=0.7)
    lower = canvas.polygon(np.vstack([below, _moved(below, swell)[::-1]]))
    upper = canvas.polygon(np.vstack([_moved(line, bow), line[::-1]]))
    solid(canvas, lower, colour, light=light, gloss=0.14 + 0.2 * person.lips, shine=3, depth=0.6)
    solid(canvas, upper, colour * np.float32(0.84), light=light, gloss=0.05, depth=0.6)
    if gap:
        canvas.over(canvas.polygon(np.vstack([line, below[::-1]])), (0.93, 0.91, 0.88))
        canvas.shade(canvas.stroke(line, width=0.005, soft=0.002), (0.6, 0.45, 0.42), opacity=0.6)
    else:
        seam = canvas.polygon(ribbon(line, 0.0028 * (1.15 - t * t)), soft=0.001)
        canvas.over(seam, colour * np.float32(0.38), opacity=0.85)
    for side in (-1, 1):
        corner = canvas.blob(x + side * (half + 0.008), y - lift + 0.004, 0.010, 0.009)
        canvas.shade(corner, (0.72, 0.55, 0.50), opacity=0.6)


def paint_glasses(sitting: Sitting) -> None:
    """Round dark frames, if the person wears any."""
    canvas, person = sitting.canvas, sitting.person
    if not person.glasses:
        return
    middle, y, apart = sitting.ahead(0.9), sitting.y - 0.14 * person.tall, person.broad * 0.46
    for side in (-1, 1):
        x = middle + side * apart
        rim = ellipse(x, y, 0.066, 0.050, count=48)
        rim = np.vstack([rim, rim[:1]])
        shadow = canvas.stroke(_moved(rim, 0.010), width=0.008, soft=0.004)
        canvas.shade(shadow, (0.7, 0.55, 0.5), opacity=0.5)
        canvas.over(canvas.polygon(rim), (0.85, 0.92, 1.0), opacity=0.08)
        canvas.over(canvas.stroke(rim, width=0.0085), FRAMES, opacity=0.95)
        temple = np.array([(x + side * 0.064, y - 0.012), (sitting.x + side * person.broad * 1.02, y - 0.016)])
        canvas.over(canvas.stroke(temple, width=0.009), FRAMES, opacity=0.95)
    bridge = [(middle - apart + 0.064, y - 0.008), (middle, y - 0.018), (middle + apart - 0.064, y - 0.008)]
    canvas.over(canvas.stroke(smooth(bridge, closed=False), width=0.008), FRAMES, opacity=0.95)


@dataclass(frozen=True)
class _Eye:
    side: int
    """-1 is on the left of the picture."""
    x: float
    y: float
    half: float
    """Half the width between its corners."""
    up: float
    """How far the upper lid is open."""

    def lids(self) -> Points:
        """From the left corner over the upper lid, and back below."""
        x, y, half = self.x, self.y, self.half
        above = [(x - half, y + 0.003), (x - half * 0.45, y - self.up * 0.9), (x + half * 0.35, y - self.up)]
        return smooth([*above, (x + half, y + 0.001), (x + half * 0.4, y + 0.0125), (x - half * 0.45, y + 0.0125)])


def _paint_ball(sitting: Sitting, eye: _Eye) -> None:
    canvas, person, y = sitting.canvas, sitting.person, eye.y
    white = canvas.polygon(eye.lids())
    canvas.over(white, (0.93, 0.915, 0.90))
    gaze = eye.x + 0.006 * person.turn
    discs = (
        (0.0195, person.iris * np.float32(0.75)),
        (0.0150, np.clip(person.iris * 1.25, 0, 1)),
        (0.0085, (0.04, 0.03, 0.03)),
    )
    for radius, colour in discs:
        canvas.over(within(canvas.polygon(ellipse(gaze, y - 0.002, radius, radius)), white), colour)
    shadow = within(canvas.blob(eye.x, y - eye.up, eye.half * 0.8, 0.007), white)
    canvas.shade(shadow, (0.55, 0.48, 0.48), opacity=0.8)
    glint = ellipse(gaze + 0.007 * np.sign(sitting.light.x), y - 0.009, 0.0045, 0.0045, count=16)
    canvas.over(canvas.polygon(glint), (1, 1, 1), opacity=0.95)


def _paint_lids(sitting: Sitting, eye: _Eye) -> None:
    canvas, lids = sitting.canvas, eye.lids()
    upper, lower = lids[: len(lids) // 2 + 1], lids[len(lids) // 2 + 2 :]
    thick = np.interp(np.linspace(0, 1, len(upper)), [0, 0.5, 1], [0.0013, 0.0037, 0.002])
    lashes = canvas.polygon(ribbon(upper, thick * (1.35 if sitting.person.lips > 0.45 else 1)))
    canvas.over(lashes, (0.10, 0.06, 0.05), opacity=0.9)
    canvas.shade(canvas.stroke(lower, width=0.004, soft=0.002), (0.65, 0.48, 0.44), opacity=0.8)
    crease = canvas.stroke(_moved(upper, -0.012), width=0.004, soft=0.0015)
    canvas.shade(crease, (0.66, 0.50, 0.45), opacity=0.75)


def _paint_brow(sitting: Sitting, eye: _Eye) -> None:
    person, across, y = sitting.person, eye.side * eye.half, eye.y - 0.046
    raised = 0.006 * float(sitting.rng.standard_normal())
    inner, top = (eye.x - across * 0.95, y), (eye.x - across * 0.1, y - 0.014 - raised)
    brow = smooth([inner, top, (eye.x + across * 1.15, y - raised)], closed=False)
    widths = np.interp(np.linspace(0, 1, len(brow)), [0, 0.3, 1], [0.0075, 0.0075, 0.002])
    shape = sitting.canvas.polygon(ribbon(brow, widths * (0.8 if person.lips > 0.45 else 1.25)), soft=0.0022)
    sitting.canvas.over(shape, mixed(person.hair, (0.16, 0.11, 0.09), 0.45), opacity=0.88)


def _moved(points: Points, down: Points | float) -> Points:
    return np.asarray(points + np.stack([np.zeros(len(points)), np.broadcast_to(down, len(points))], axis=1))
