from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from deepcolor.cli import console
from deepcolor.cli.colorize import colorize, plan
from deepcolor.errors import DataError
from tests.registry.world import World, draw_photos


@pytest.fixture(autouse=True)
def fresh_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "settings", console.Settings())


def run(*arguments: object) -> Result:
    """Run the command as the command line would."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(colorize)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_folders_keep_their_form_and_unreadable_pictures_are_reported(colorizer_folder: Path, tmp_path: Path) -> None:
    """Every readable picture is written as PNG where it was below its folder; the others are listed, exit code 1."""
    draw_photos(tmp_path / "in" / "deep", count=2)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8 not much")
    (tmp_path / "in" / "notes.txt").write_text("x")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--model", colorizer_folder, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*.png")) == [
        "out/deep/000.png",
        "out/deep/001.png",
    ]
    assert [Path(item["picture"]).name for item in said["unreadable"]] == ["broken.jpg"]
    assert len(said["written"]) == 2
    assert "broken.jpg" in result.stderr


def test_depth_opacity_and_size_are_kept(colorizer_folder: Path, tmp_path: Path) -> None:
    """A 16-bit grey picture stays 16-bit, opacity stays, and the size is the picture's own."""
    deep = np.linspace(20000, 40000, 30 * 90).reshape(30, 90).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGBA", (33, 21), (90, 120, 80, 77)).save(tmp_path / "clear.png")
    out = tmp_path / "out"
    assert run(tmp_path / "deep.png", tmp_path / "clear.png", "-o", out, "-m", colorizer_folder).exit_code == 0
    assert (out / "deep.png").read_bytes()[24] == 16, "bit depth in the PNG header"
    with Image.open(out / "clear.png") as clear:
        assert (clear.mode, clear.size) == ("RGBA", (33, 21))
        assert clear.getpixel((0, 0))[3] == 77  # type: ignore[index]  # RGBA gives a tuple


def test_nothing_is_overwritten_unless_asked(colorizer_folder: Path, tmp_path: Path) -> None:
    """A result that is there already is left alone and named; --overwrite replaces it."""
    draw_photos(tmp_path / "in", count=1)
    (tmp_path / "out").mkdir()
    there = tmp_path / "out" / "000.png"
    there.write_text("mine")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder)
    assert result.exit_code == 0
    assert there.read_text() == "mine"
    assert "000.png" in result.stderr
    assert run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder, "--overwrite").exit_code == 0
    assert there.read_bytes()[:4] == b"\x89PNG"


def test_without_a_transfer_model_the_colorizer_is_used(world: World, tmp_path: Path) -> None:
    """The default falls back, and says so."""
    world.promote(0)
    draw_photos(tmp_path / "in", count=1)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--workspace", world.root)
    assert result.exit_code == 0
    assert "using colorizer@champion" in result.stderr


def test_pictures_that_differ_in_their_suffix_alone_both_get_a_result(tmp_path: Path) -> None:
    """Names that would fall together keep their suffix."""
    for name in ("a.jpg", "a.bmp", "b.jpg"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    outputs = {job.picture.name: job.output.name for job in plan([tmp_path], tmp_path / "out")}
    assert outputs == {"a.jpg": "a.jpg.png", "a.bmp": "a.bmp.png", "b.jpg": "b.png"}


def test_results_are_no_input(tmp_path: Path) -> None:
    """With the results below the pictures' own folder, a second run does not colour the first one's results."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "out" / "a.png")
    assert [job.picture.name for job in plan([tmp_path], tmp_path / "out")] == ["a.jpg"]


def test_a_picture_is_never_replaced_by_its_result(tmp_path: Path) -> None:
    """Writing into the picture's own folder under its own name is refused before anything is read."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="must not replace its picture"):
        plan([tmp_path / "a.png"], tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    """A path that is not there, and a folder without pictures, are the user's mistakes."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="does not exist"):
        plan([tmp_path / "nope"], tmp_path / "out")
    with pytest.raises(DataError, match="got none"):
        plan([tmp_path / "empty"], tmp_path / "out")
