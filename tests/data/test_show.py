from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deepcolor.color import rgb_to_lab
from deepcolor.data.show import lab_figure, write_channels
from deepcolor.errors import DataError
from tests.data.photos import fruit, save


def test_the_figure_shows_the_five_panels(tmp_path: Path) -> None:
    """Original, L*a*b*, L*, a*, b* stand side by side, the channels with their true values."""
    rgb = fruit(0)
    figure = lab_figure(save(tmp_path / "lemon.png", rgb))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["original", "L*a*b* as RGB", "L*", "a*", "b*"]
    lightness, ab = rgb_to_lab(rgb)
    np.testing.assert_allclose(np.asarray(panels[2].images[0].get_array()), np.asarray(lightness))
    np.testing.assert_allclose(np.asarray(panels[3].images[0].get_array()), ab[..., 0])
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_channels_of_a_folder_are_written(pictures: Path, tmp_path: Path) -> None:
    """L, a and b hold one grey picture for every picture, in the same subfolders, with the values of the channel."""
    save(pictures / "same.png", fruit(20))
    save(pictures / "same.jpg", fruit(21))
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8")
    done = write_channels(pictures, tmp_path / "out")
    assert done.written == 14
    assert [file.path for file in done.skipped] == ["broken.jpg"]
    names = {path.relative_to(tmp_path / "out" / "L").as_posix() for path in (tmp_path / "out" / "L").rglob("*.png")}
    assert {"one/01.png", "same.png", "same.jpg.png"} <= names
    lightness, ab = rgb_to_lab(fruit(1))
    out = tmp_path / "out"
    written = {c: np.asarray(cv2.imread(str(out / c / "one" / "01.png"), cv2.IMREAD_UNCHANGED)) for c in "Lab"}
    np.testing.assert_allclose(written["L"], lightness * 2.55, atol=0.51)
    np.testing.assert_allclose(written["a"], ab[..., 0] + 128, atol=0.51)
    np.testing.assert_allclose(written["b"], ab[..., 1] + 128, atol=0.51)


def test_channels_are_not_written_among_the_pictures(pictures: Path, tmp_path: Path) -> None:
    """Output inside of the input would be read as input the next time; a folder without pictures is refused."""
    with pytest.raises(DataError, match="must not be written among"):
        write_channels(pictures, pictures / "channels")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="an empty folder"):
        write_channels(tmp_path / "nothing", tmp_path / "out")
