"""Fruit: each kind has the form, the texture and the colours it has in nature."""

from __future__ import annotations

import numpy as np

from deepcolor.data.drawing.canvas import Pose, ellipse, mirrored, mixed, ribbon, smooth
from deepcolor.data.drawing.table import STALK, Scene, body, leaf, stalk, star


def apple(scene: Scene, pose: Pose) -> None:
    """Red with yellow streaks, or green, with a dimple, a stalk and now and then a leaf."""
    rng = scene.rng
    outline = mirrored(
        [(0, -0.78), (0.3, -0.88), (0.68, -0.76), (0.93, -0.35), (0.9, 0.15), (0.68, 0.66), (0.34, 0.9), (0, 0.84)]
    )
    shape, u, v = body(scene, pose, outline)
    around = u / (0.35 + np.sqrt(np.maximum(1 - v * v, 0.05)))
    streaks = np.sin(around * rng.uniform(22, 34) + 1.2 * scene.noise(shape, 0.06))
    if rng.random() < 0.68:
        share = np.clip(0.62 - 0.35 * v + 0.22 * streaks + 0.45 * scene.noise(shape, 0.16), 0, 1)
        albedo = mixed(scene.tint((0.93, 0.72, 0.32)), scene.tint((0.77, 0.11, 0.13)), share)
    else:
        share = np.clip(0.45 + 0.1 * streaks + 0.35 * scene.noise(shape, 0.2), 0, 1)
        albedo = mixed(scene.tint((0.80, 0.85, 0.40)), scene.tint((0.55, 0.73, 0.22)), share)
    dimple = np.exp(-((u / 0.3) ** 2 + ((v + 0.78) / 0.13) ** 2))
    scene.paint(shape, albedo, gloss=0.55, bump=-0.09 * pose.scale * dimple)
    scene.shade_spot(pose.at(0, -0.76, scale=1), 0.16, 0.05, colour=(0.5, 0.45, 0.3), opacity=0.8)
    stalk(scene, pose, [(0, -0.74), (0.02, -0.95), (0.1, -1.12)], width=0.07, colour=STALK)
    if rng.random() < 0.5:
        leaf(scene, pose.at(0.03, -0.9, scale=1, angle=-0.12), length=0.6, width=0.28)


def orange(scene: Scene, pose: Pose) -> None:
    """A ball with a pitted skin."""
    rng = scene.rng
    shape, _, _ = body(scene, pose, ellipse(0, 0, 0.93, 0.9))
    pits = scene.noise(shape, 0.021 * pose.scale / 0.39)
    share = 0.5 + 0.4 * scene.noise(shape, 0.2)
    albedo = mixed(scene.tint((0.97, 0.60, 0.09)), scene.tint((0.93, 0.45, 0.04)), share)
    scene.paint(shape, albedo, gloss=0.34, shine=3, bump=0.0055 * pits * pose.scale / 0.39)
    navel = pose.at(rng.uniform(-0.3, 0.3), rng.uniform(-0.6, -0.35), scale=0.12)
    scene.canvas.shade(scene.canvas.blob(navel.x, navel.y, navel.scale * 0.9, navel.scale * 0.7), (0.7, 0.6, 0.3))
    scar = scene.canvas.polygon(navel.place(star(rng, count=5, outer=0.75, inner=0.35, squash=0.8)))
    scene.paint(scar, scene.tint((0.42, 0.50, 0.20)), gloss=0.05)


def lemon(scene: Scene, pose: Pose) -> None:
    """An oval with a tip at each end and a fine-pored skin."""
    upper = [(-1.05, 0), (-0.93, -0.14), (-0.72, -0.36), (-0.3, -0.62), (0.2, -0.64), (0.66, -0.4), (0.9, -0.16)]
    lower = [(0.9, 0.17), (0.66, 0.4), (0.2, 0.64), (-0.3, 0.62), (-0.72, 0.36), (-0.93, 0.14)]
    outline = smooth([*upper, (1.08, -0.05), (1.07, 0.07), *lower])
    shape, u, _ = body(scene, pose, outline)
    pores = scene.noise(shape, 0.016 * pose.scale / 0.39)
    share = np.clip(np.abs(u) ** 3 * 0.5 + 0.2 * scene.noise(shape, 0.15), 0, 1)
    albedo = mixed(scene.tint((0.98, 0.87, 0.22)), scene.tint((0.84, 0.80, 0.20)), share)
    scene.paint(shape, albedo, gloss=0.36, shine=3, bump=0.0034 * pores * pose.scale / 0.39)


def banana(scene: Scene, pose: Pose) -> None:
    """A bent, edged body with brown ends."""
    rng = scene.rng
    t = np.linspace(0, 1, 24)
    bend = np.pi * (0.15 + 0.70 * t)
    spine = np.stack([-1.2 * np.cos(bend), 1.1 * np.sin(bend) - 0.6], axis=1)
    half = 0.27 * np.minimum(1, np.minimum((t + 0.06) / 0.3, (1.04 - t) / 0.2)) ** 0.6
    half[t > 0.93] = 0.075
    shape, u, v = body(scene, pose, ribbon(spine, half), lying=True)
    radius = np.hypot(u / 1.2, (v + 0.6) / 1.1)
    along = np.arctan2((v + 0.6) / 1.1, -u / 1.2) / np.pi
    green = np.clip((along - 0.66) / 0.2, 0, 1) * rng.uniform(0.1, 0.7)
    albedo = mixed(scene.tint((0.95, 0.79, 0.22)), (0.66, 0.72, 0.25), green)
    facet = np.clip(np.abs(((radius - 1) / 0.22) * 2 - 0.35), 0, 1)
    albedo *= (1 - 0.10 * np.exp(-(((radius - 1.045) / 0.018) ** 2))).astype(np.float32)
    freckles = np.clip(scene.noise(shape, 0.02) - rng.uniform(0.62, 0.95), 0, 1) * 2.5
    albedo = mixed(albedo, (0.42, 0.27, 0.12), np.clip(freckles, 0, 0.8))
    ends = np.clip((0.165 - along) / 0.03, 0, 1) + np.clip((along - 0.825) / 0.03, 0, 1)
    albedo = mixed(albedo, (0.36, 0.26, 0.15), np.clip(ends, 0, 1) * 0.9)
    scene.paint(shape, albedo, gloss=0.16, shine=3, bump=-0.01 * pose.scale * facet)


def strawberry(scene: Scene, pose: Pose) -> None:
    """A red heart, seeded, under a green calyx."""
    rng = scene.rng
    outline = mirrored([(0, -0.66), (0.45, -0.72), (0.78, -0.45), (0.76, -0.05), (0.5, 0.46), (0.2, 0.86), (0, 0.95)])
    shape, u, v = body(scene, pose, outline)
    share = np.clip((-v - 0.35) * 0.8 + 0.2 * scene.noise(shape, 0.12), 0, 0.75)
    albedo = mixed(scene.tint((0.83, 0.09, 0.12)), (0.95, 0.55, 0.42), share)
    row = np.floor((v + 1) / 0.21)
    across = u / (1.06 - 0.32 * np.abs(v)) + 0.11 * (row % 2)
    du = (across / 0.22 - np.floor(across / 0.22) - 0.5) * 0.22
    dv = ((v + 1) / 0.21 - row - 0.5) * 0.21
    seeds = np.exp(-((du / 0.024) ** 2 + (dv / 0.038) ** 2))
    pits = np.exp(-((du / 0.062) ** 2 + (dv / 0.075) ** 2))
    albedo = mixed(albedo, (0.93, 0.75, 0.36), np.clip(seeds * 1.1, 0, 1))
    relief = pose.scale * (0.022 * seeds - 0.045 * pits)
    scene.paint(shape, albedo, gloss=0.5, shine=3, bump=relief)
    crown = pose.at(0, -0.66, scale=1)
    calyx = scene.canvas.polygon(crown.place(star(rng, count=7, outer=0.56, inner=0.17, squash=0.55)))
    scene.paint(calyx, scene.tint((0.30, 0.52, 0.16), 0.06), gloss=0.15)
    stalk(scene, pose, [(0, -0.66), (0.05, -0.85), (0.16, -0.98)], width=0.07, colour=(0.42, 0.58, 0.22))


def pear(scene: Scene, pose: Pose) -> None:
    """Yellow-green, speckled, with a blush on one side."""
    rng = scene.rng
    outline = mirrored(
        [(0, -0.92), (0.22, -0.86), (0.34, -0.55), (0.46, -0.2), (0.72, 0.2), (0.74, 0.6), (0.46, 0.93), (0, 0.96)]
    )
    shape, u, v = body(scene, pose, outline)
    albedo = mixed(scene.tint((0.80, 0.78, 0.28)), (0.62, 0.70, 0.24), np.clip(0.4 - 0.5 * v, 0, 1))
    blush = np.clip(rng.choice([-1, 1]) * u - 0.15 + 0.3 * scene.noise(shape, 0.12), 0, 1) * rng.uniform(0, 1.1)
    albedo = mixed(albedo, (0.80, 0.38, 0.18), np.clip(blush, 0, 0.8))
    speckles = np.clip(scene.noise(shape, 0.013) - 0.62, 0, 1) * 1.6
    albedo = mixed(albedo, (0.50, 0.40, 0.16), np.clip(speckles, 0, 0.8))
    scene.paint(shape, albedo, gloss=0.3, shine=3)
    stalk(scene, pose, [(0, -0.9), (0.03, -1.05), (0.12, -1.2)], width=0.07, colour=STALK)


def plum(scene: Scene, pose: Pose) -> None:
    """Blue-violet under a pale bloom, with a crease."""
    shape, u, v = body(scene, pose, ellipse(0, 0, 0.78, 0.9))
    bloom = np.clip(0.42 + 0.5 * scene.noise(shape, 0.13) - 0.3 * v, 0, 1)
    albedo = mixed(scene.tint((0.34, 0.11, 0.26)), (0.50, 0.46, 0.64), bloom * 0.75)
    crease = np.exp(-(((u - 0.12 - 0.18 * (1 - v * v)) / 0.05) ** 2))
    scene.paint(shape, albedo, gloss=0.32, shine=3, bump=-0.02 * pose.scale * crease)
    stalk(scene, pose, [(0.1, -0.86), (0.12, -1.0), (0.18, -1.1)], width=0.055, colour=STALK)


def peach(scene: Scene, pose: Pose) -> None:
    """Yellow to rose, velvety, with a crease."""
    rng = scene.rng
    right = [(0, -0.8), (0.5, -0.82), (0.9, -0.3), (0.86, 0.3), (0.5, 0.78), (0.06, 0.96)]
    outline = smooth([*right, (-0.5, 0.78), (-0.86, 0.3), (-0.9, -0.3), (-0.5, -0.82)])
    shape, u, v = body(scene, pose, outline)
    side = rng.choice([-1, 1])
    share = np.clip(0.45 + 0.55 * side * u - 0.2 * v + 0.35 * scene.noise(shape, 0.14), 0, 1)
    albedo = mixed(scene.tint((0.97, 0.72, 0.38)), scene.tint((0.84, 0.30, 0.24)), share)
    crease = np.exp(-(((u - 0.15 * side * (1 - v * v)) / 0.06) ** 2)) * (v < 0.7)
    velvet = 0.0012 * scene.noise(shape, 0.01)
    scene.paint(shape, albedo, gloss=0.1, shine=2, bump=velvet - 0.03 * pose.scale * crease)
    leaf(scene, pose.at(0, -0.78, scale=1, angle=rng.uniform(-0.5, -0.1)), length=0.75, width=0.26)
