"""Vegetables: each kind has the form, the texture and the colours it has in nature."""

from __future__ import annotations

import numpy as np

from deepcolor.data.drawing.canvas import Pose, mirrored, mixed, ribbon, smooth
from deepcolor.data.drawing.table import Scene, body, leaf, stalk, star


def tomato(scene: Scene, pose: Pose) -> None:
    """A broad, smooth, glossy body with a green star."""
    rng = scene.rng
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 1 - 0.012 * np.cos(t * rng.integers(5, 8)) - 0.05 * np.exp(-(((t - 1.5 * np.pi) / 0.5) ** 2))
    outline = np.stack([0.95 * radius * np.cos(t), 0.80 * radius * np.sin(t)], axis=1)
    shape, u, v = body(scene, pose, outline)
    share = np.clip((-v - 0.45) * 0.7 + 0.25 * scene.noise(shape, 0.15), 0, 0.6)
    albedo = mixed(scene.tint((0.86, 0.15, 0.09)), (0.90, 0.48, 0.16), share)
    dimple = np.exp(-((u / 0.34) ** 2 + ((v + 0.62) / 0.16) ** 2))
    scene.paint(shape, albedo, gloss=0.8, shine=6, bump=-0.08 * pose.scale * dimple)
    crown = pose.at(0, -0.62, scale=1)
    calyx = scene.canvas.polygon(crown.place(star(rng, count=5, outer=0.6, inner=0.1, squash=0.42)))
    scene.canvas.shade(calyx, (0.5, 0.3, 0.3), opacity=0.4)
    scene.paint(calyx, scene.tint((0.28, 0.48, 0.15), 0.06), gloss=0.12)
    stalk(scene, pose, [(0, -0.62), (0.02, -0.8), (0.1, -0.92)], width=0.09, colour=(0.38, 0.52, 0.20))


def carrot(scene: Scene, pose: Pose) -> None:
    """A ringed root that tapers, with feathery leaves."""
    rng = scene.rng
    for angle in rng.uniform(-0.55, 0.55, 6):
        frond = pose.at(0, -0.72, scale=1, angle=angle - np.pi / 2)
        leaf(scene, frond, length=rng.uniform(0.4, 0.62), width=0.17, colour=(0.33, 0.56, 0.16))
    t = np.linspace(0, 1, 24)
    spine = np.stack([0.06 * np.sin(t * 3 + rng.uniform(0, 6)), -0.75 + 1.85 * t], axis=1)
    half = 0.30 * (1 - t) ** 0.55 * np.minimum(1, (t + 0.03) / 0.1) ** 0.5 + 0.012
    shape, u, v = body(scene, pose, ribbon(spine, half), lying=True)
    rings = np.clip(np.sin(v * 38 + 3.5 * scene.noise(shape, 0.05)) - 0.55, 0, 1)
    rings *= np.clip(1.4 - np.abs(u) * 3, 0.2, 1)
    albedo = mixed(scene.tint((0.95, 0.50, 0.12)), (0.74, 0.33, 0.08), np.clip(rings * 1.3, 0, 1))
    albedo = mixed(albedo, (0.55, 0.50, 0.16), np.clip((-v - 0.62) * 6, 0, 0.6))
    scene.paint(shape, albedo, gloss=0.26, shine=3, bump=-0.012 * pose.scale * rings)


def cucumber(scene: Scene, pose: Pose) -> None:
    """A long dark body with pale stripes and small warts."""
    rng = scene.rng
    t = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 32))
    spine = np.stack([-1.2 + 2.4 * t, rng.uniform(-0.22, 0.22) * np.sin(np.pi * t)], axis=1)
    half = 0.29 * (1 - np.abs(2 * t - 1) ** 9) ** 0.5 + 0.02
    shape, u, v = body(scene, pose, ribbon(spine, half), lying=True)
    stripes = 0.5 + 0.5 * np.sin(v * 26 + 0.8 * scene.noise(shape, 0.1))
    paler = 0.35 + 0.4 * np.clip(u, -0.2, 1)
    share = np.clip(stripes * paler + 0.15 * scene.noise(shape, 0.06), 0, 0.8)
    albedo = mixed(scene.tint((0.15, 0.36, 0.11)), (0.55, 0.68, 0.28), share)
    warts = np.clip(scene.noise(shape, 0.03) - 0.35, 0, 1)
    scene.paint(shape, albedo, gloss=0.42, shine=4, bump=0.022 * pose.scale * warts)


def broccoli(scene: Scene, pose: Pose) -> None:
    """A pale stem under a dark, grainy crown of many heads."""
    rng = scene.rng
    stem = smooth([(-0.2, 0.05), (0.2, 0.05), (0.19, 0.5), (0.25, 0.92), (0, 0.97), (-0.25, 0.92), (-0.19, 0.5)])
    shape, _, _ = body(scene, pose, stem)
    scene.paint(shape, scene.tint((0.66, 0.77, 0.42)), gloss=0.08)
    for side in (-1, 1):
        branch = smooth([(0.1 * side, 0.45), (0.3 * side, 0.2), (0.45 * side, 0.05)], closed=False)
        arm = scene.canvas.polygon(pose.place(ribbon(branch, np.full(len(branch), 0.085))))
        scene.paint(arm, scene.tint((0.58, 0.71, 0.36)), gloss=0.05)
    heads = [(0, -0.05, 0.34), (-0.58, -0.02, 0.3), (0.58, -0.02, 0.3), (-0.36, -0.38, 0.36), (0.36, -0.38, 0.36)]
    for x, y, radius in [*heads, (0, -0.6, 0.36), (0, -0.25, 0.36), (-0.3, 0.1, 0.24), (0.3, 0.1, 0.24)]:
        _floret(scene, pose.at(x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05), scale=radius))


def _floret(scene: Scene, pose: Pose) -> None:
    rng = scene.rng
    t = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    radius = 1 + 0.07 * np.sin(t * 9 + rng.uniform(0, 6)) + rng.uniform(-0.05, 0.05, 36)
    shape = scene.canvas.polygon(pose.place(np.stack([radius * np.cos(t), radius * np.sin(t) * 0.92], axis=1)))
    grains = scene.noise(shape, 0.016)
    share = np.clip(0.45 + 0.5 * grains, 0, 1)
    albedo = mixed((0.16, 0.30, 0.10), scene.tint((0.36, 0.55, 0.20), 0.05), share)
    scene.paint(shape, albedo, gloss=0.03, bump=0.006 * grains)


def aubergine(scene: Scene, pose: Pose) -> None:
    """A dark, polished body that widens below a green cap."""
    rng = scene.rng
    outline = mirrored([(0, -0.8), (0.26, -0.76), (0.4, -0.4), (0.58, 0.1), (0.66, 0.5), (0.48, 0.88), (0, 1.02)])
    shape, _, v = body(scene, pose, outline)
    albedo = mixed(scene.tint((0.30, 0.12, 0.33)), (0.20, 0.07, 0.22), np.clip(0.5 + 0.5 * v, 0, 1))
    scene.paint(shape, albedo, gloss=0.85, shine=5)
    crown = pose.at(0, -0.76, scale=1)
    cap = scene.canvas.polygon(crown.place(star(rng, count=5, outer=0.5, inner=0.27, squash=0.62)))
    scene.paint(cap, scene.tint((0.40, 0.53, 0.20), 0.05), gloss=0.12)
    stalk(scene, pose, [(0, -0.8), (0.03, -1.0), (0.12, -1.18)], width=0.17, colour=(0.45, 0.52, 0.22))


def corn(scene: Scene, pose: Pose) -> None:
    """Rows of kernels between green husks."""
    t = np.linspace(0, 1, 24)
    spine = np.stack([np.zeros(24), -1.08 + 2.0 * t], axis=1)
    half = 0.34 * np.minimum(1, (t + 0.015) / 0.35) ** 0.55
    shape, u, v = body(scene, pose, ribbon(spine, half), lying=True)
    around = np.arcsin(np.clip(u / 0.345, -0.98, 0.98))
    column = around / 0.37
    row = v / 0.125 + 0.5 * (np.floor(column) % 2)
    kernel = np.clip(1 - 2.6 * ((column - np.floor(column) - 0.5) ** 2 + (row - np.floor(row) - 0.5) ** 2), 0, 1)
    albedo = mixed((0.80, 0.50, 0.10), scene.tint((0.98, 0.82, 0.27)), np.clip(kernel * 1.5, 0, 1))
    scene.paint(shape, albedo, gloss=0.4, shine=3, bump=0.035 * pose.scale * kernel)
    for side in (-1, 1):
        outer = [(0.05, 1.05), (0.44, 0.75), (0.52, 0.1), (0.62, -0.35)]
        husk = smooth([(side * x, y) for x, y in (*outer, (0.3, 0.15), (0.1, 0.6))])
        blade = scene.canvas.polygon(pose.place(husk))
        bu, bv = pose.local(*scene.canvas.grid(blade))
        ribs = 0.5 + 0.5 * np.sin((bu - 0.25 * bv * side) * 60)
        albedo = mixed(scene.tint((0.55, 0.70, 0.26)), (0.70, 0.80, 0.42), ribs)
        scene.paint(blade, albedo, gloss=0.1, depth=0.6)


def pepper(scene: Scene, pose: Pose) -> None:
    """Three glossy lobes: dark green, bright red, or light yellow."""
    rng = scene.rng
    colour = ((0.16, 0.42, 0.10), (0.80, 0.10, 0.07), (0.97, 0.74, 0.12))[rng.integers(3)]
    upper = [(0, -0.66), (0.35, -0.78), (0.74, -0.66), (0.84, -0.2), (0.74, 0.35)]
    outline = mirrored([*upper, (0.6, 0.8), (0.36, 0.92), (0.18, 0.8), (0, 0.9)])
    shape, u, v = body(scene, pose, outline)
    width = 0.85 - 0.25 * np.clip(v, 0, 1)
    lobes = np.abs(np.cos(np.clip(u / width, -1, 1) * 1.5 * np.pi)) ** 0.6
    scene.paint(shape, scene.tint(colour), gloss=0.75, shine=5, bump=0.07 * pose.scale * lobes)
    scene.shade_spot(pose.at(0, -0.68, scale=1), 0.2, 0.06, colour=(0.4, 0.4, 0.3), opacity=0.7)
    stalk(scene, pose, [(0, -0.62), (0.02, -0.85), (0.16, -1.05)], width=0.15, colour=(0.36, 0.55, 0.20))
