from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepcolor.color import colourfulness, rgb_to_lab
from deepcolor.data.drawing import still_life
from deepcolor.data.drawing.canvas import Canvas, Pose
from deepcolor.data.drawing.lighting import Light
from deepcolor.data.drawing.table import Scene
from deepcolor.data.drawn import KINDS, DrawnKind, draw_face, draw_fruit, draw_set
from deepcolor.data.images import read_picture
from deepcolor.data.manifest import prepare
from deepcolor.errors import DataError
from deepcolor.workspace import Workspace


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind: DrawnKind, tmp_path: Path) -> None:
    """Drawing again, or fewer, gives the same files; another seed gives others."""
    first = draw_set(kind, tmp_path / "first", count=4, size_px=48, seed=1)
    second = draw_set(kind, tmp_path / "second", count=3, size_px=48, seed=1)
    other = draw_set(kind, tmp_path / "other", count=3, size_px=48, seed=2)
    for one, same, different in zip(first, second, other, strict=False):
        assert one.name == same.name
        assert one.read_bytes() == same.read_bytes()
        assert one.read_bytes() != different.read_bytes()
    assert read_picture(first[0]).rgb_HW3.shape == (48, 48, 3)


@pytest.mark.parametrize("size_px", [32, 100, 256])
def test_pictures_have_the_size_asked_for(size_px: int) -> None:
    """Any size is drawn, and shows the same thing."""
    for draw in (draw_face, draw_fruit):
        rgb = draw(np.random.default_rng(3), size_px)
        assert rgb.shape == (size_px, size_px, 3)
        assert rgb.dtype == np.uint8
        assert 5 < colourfulness(rgb) < 150


def test_fruit_lies_on_white() -> None:
    """The corners of the fruit pictures are white, as in the photos they stand for."""
    for number in range(20):
        rgb = draw_fruit(np.random.default_rng(number), 64)
        corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.min() > 235


HUES = {
    "orange": (40, 75),
    "tomato": (15, 50),
    "lemon": (80, 110),
    "cucumber": (110, 150),
    "aubergine": (290, 345),
    "carrot": (35, 80),
}


@pytest.mark.parametrize("name", HUES)
def test_kinds_have_their_natural_colours(name: str) -> None:
    """The mean hue of a kind, in degrees of the a*b* plane, is that of the kind, whatever the seed."""
    kind = next(kind for kind in still_life.KINDS if kind.name == name)
    low, high = HUES[name]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = Scene(canvas=Canvas(64), rng=rng, light=Light.drawn(rng))
        kind.paint(scene, Pose(0.5, 0.5, 0.38))
        _, ab = rgb_to_lab(scene.canvas.picture())
        a, b = ab[np.hypot(ab[..., 0], ab[..., 1]) > 12].mean(axis=0)
        assert low <= np.degrees(np.arctan2(b, a)) % 360 <= high


def test_faces_differ_in_skin_and_hair() -> None:
    """Faces from pale to dark are drawn: the lightness of the cheeks covers a wide range."""
    cheeks = []
    for number in range(24):
        lightness, _ = rgb_to_lab(draw_face(np.random.default_rng([5, number]), 64))
        cheeks.append(float(np.median(lightness[30:40, 26:38])))
    assert min(cheeks) < 40
    assert max(cheeks) > 65


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawn_set_can_be_prepared(kind: DrawnKind, tmp_path: Path) -> None:
    """Every drawn picture is usable, and hardly any two pass for copies of each other."""
    draw_set(kind, tmp_path / "set", count=40, size_px=64)
    manifest = prepare(tmp_path / "set", name="set", workspace=Workspace.at(tmp_path / "workspace"))
    assert len(manifest.files) == 40
    assert len(manifest.duplicate_groups) <= 1


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """Drawing again into the same folder is fine; into someone's photos it is not."""
    draw_set("fruit", tmp_path, count=2, size_px=32)
    draw_set("fruit", tmp_path, count=2, size_px=32)
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"holiday\.jpg"):
        draw_set("fruit", tmp_path, count=2, size_px=32)


@pytest.mark.parametrize(("option", "value"), [("count", 0), ("size_px", 8), ("seed", -1)])
def test_numbers_out_of_range_are_refused(option: str, value: int, tmp_path: Path) -> None:
    """Counts, sizes and seeds have limits, and the message gives them."""
    numbers = {"count": 1, "size_px": 64, "seed": 0} | {option: value}
    with pytest.raises(DataError, match="must be from"):
        draw_set("faces", tmp_path, count=numbers["count"], size_px=numbers["size_px"], seed=numbers["seed"])
