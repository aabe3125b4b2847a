from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

import deepcolor
from deepcolor.app.colorize import find_jobs
from deepcolor.cli import console
from deepcolor.cli.colorize import colorize
from deepcolor.data import images
from deepcolor.data.decoding.bounds import Limits
from deepcolor.errors import ConfigError, DataError, ModelError, ShapeError, WorkspaceError
from deepcolor.inference import ColorModel
from tests.registry.world import World, draw_photos, make_model


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
        "out/deep/000.jpg.png",
        "out/deep/001.jpg.png",
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
    there = tmp_path / "out" / "000.jpg.png"
    there.write_text("mine")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder)
    assert result.exit_code == 0
    assert there.read_text() == "mine"
    assert "000.jpg.png" in result.stderr
    assert run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder, "--overwrite").exit_code == 0
    assert there.read_bytes()[:4] == b"\x89PNG"


def test_more_and_less_colour(colorizer_folder: Path, tmp_path: Path) -> None:
    """--saturation and --flip do what they do in Python; a factor out of range is refused before anything is read."""
    draw_photos(tmp_path / "in", count=1)
    photo, written = tmp_path / "in" / "000.jpg", tmp_path / "out" / "000.jpg.png"
    command = (photo, "-o", tmp_path / "out", "-m", colorizer_folder, "--overwrite")
    assert run(*command, "--saturation", "1.8", "--flip").exit_code == 0
    expected = deepcolor.colorize(photo, model=colorizer_folder, saturation=1.8, flip=True)
    np.testing.assert_array_equal(np.asarray(Image.open(written)), expected)
    refused = run(tmp_path / "none", "-o", tmp_path / "out", "--saturation", "30").exception
    assert isinstance(refused, ConfigError)
    assert str(refused).startswith("saturation: must be a number from 0 to 3; got 30.0.")


def test_the_one_champion_is_taken_and_of_several_one_must_be_named(world: World, tmp_path: Path) -> None:
    """Without --model there must be no doubt which model is meant; the same for `deepcolor.colorize`."""
    draw_photos(tmp_path / "in", count=1)
    here = ("-o", tmp_path / "out", "--workspace", world.root)
    with pytest.raises(ModelError, match="Promote a colorizer or a transfer first"):
        raise run(tmp_path / "in", *here).exception or AssertionError
    world.promote(1)
    result = run(tmp_path / "in", *here)
    assert result.exit_code == 0
    assert "colorizer@champion, the one champion that colours" in result.stderr
    world.promote(0, name="fruits", data="fruits", data_digest="f" * 32)
    known = r"colorizer@champion \(trained on faces\), colorizer-fruits@champion \(trained on fruits\)"
    with pytest.raises(ModelError, match=known):
        raise run(tmp_path / "in", *here, "--overwrite").exception or AssertionError
    with pytest.raises(ModelError, match=known):
        deepcolor.colorize(tmp_path / "in" / "000.jpg", workspace=world.root)
    assert run(tmp_path / "in", *here, "--overwrite", "-m", "colorizer-fruits@champion").exit_code == 0


def test_the_model_is_checked_whatever_there_is_to_do(tmp_path: Path) -> None:
    """A regressor, a model that does not exist and a folder without one are refused before any picture is looked for,
    and where all results are there already.
    """
    draw_photos(tmp_path / "in", count=1)
    make_model(tmp_path / "regressor", stage="regressor")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000.jpg.png").write_text("there already")
    for name, said in (
        (tmp_path / "regressor", "a regressor, which predicts one mean colour"),
        ("colorizer@champion", "Promote a trial first"),
        (tmp_path / "in", "must be a folder with model.json"),
    ):
        for pictures in (tmp_path / "in", tmp_path / "nowhere"):
            with pytest.raises(ModelError, match=said):
                raise run(pictures, "-o", tmp_path / "out", "-m", name, "-w", tmp_path).exception or AssertionError


def test_results_do_not_overwrite_each_other_and_are_found_again(colorizer_folder: Path, tmp_path: Path) -> None:
    """Twice the same name in two folders, and one name with three suffixes: as many results as pictures, named without
    regard to what else is there; the same command again writes none of them anew.
    """
    for name in ("s/I.jpg", "a/I.jpg", "s/a.jpg", "s/a.bmp", "s/a.jpg.webp", "s/deep/I.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (90, 120, len(name))).save(tmp_path / name)
    out = tmp_path / "out"
    command = (tmp_path / "s", tmp_path / "a", "-o", out, "-m", colorizer_folder, "--json")
    said = json.loads(run(*command).stdout)
    expected = ["a/I.jpg.png", "s/I.jpg.png", "s/a.bmp.png", "s/a.jpg.png", "s/a.jpg.webp.png", "s/deep/I.jpg.png"]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == expected
    assert len(said["written"]) == 6
    for name in ("s/a.bmp", "a/I.jpg"):
        (tmp_path / name).unlink()
    Image.new("RGB", (40, 40)).save(tmp_path / "a" / "K.jpg")
    again = json.loads(run(*command).stdout)
    assert [Path(item["output"]).relative_to(out).as_posix() for item in again["written"]] == ["a/K.jpg.png"]
    assert len(again["kept"]) == 4


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    """As much of the path as tells them apart; two files for which that cannot be done are refused, both named."""
    for name in ("x/a/I.jpg", "y/a/I.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    out = tmp_path / "out"
    jobs = find_jobs([tmp_path / "x" / "a", tmp_path / "y" / "a"], out)
    assert [job.output.relative_to(out).as_posix() for job in jobs] == ["x/a/I.jpg.png", "y/a/I.jpg.png"]
    with pytest.raises(DataError, match=r"I\.jpg\.png for both .*x/a/I\.jpg and .*y/a/I\.jpg"):
        find_jobs([tmp_path / "x" / "a" / "I.jpg", tmp_path / "y" / "a" / "I.jpg"], out)


def test_whatever_goes_wrong_with_one_picture_is_its_own(
    colorizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that raises anything, a name too long for its result, and a link in a circle: each is named, the rest
    is coloured, the exit code is 1.
    """
    draw_photos(tmp_path / "in", count=3)
    long = tmp_path / "in" / f"{'x' * 250}.jpg"
    (tmp_path / "in" / "000.jpg").rename(tmp_path / "in" / "odd.png")
    Image.new("RGB", (40, 40)).save(long)
    (tmp_path / "in" / "circle.jpg").symlink_to("circle.jpg")
    whole = images.decode_picture

    def raising(data: bytes, *, source: str, limits: Limits | None = None) -> images.Picture:
        if source.endswith("odd.png"):
            raise TypeError("a tag of a type that nobody thought of")
        return whole(data, source=source, limits=limits)

    monkeypatch.setattr(images, "decode_picture", raising)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert sorted(Path(item["picture"]).name for item in said["unreadable"]) == ["circle.jpg", "odd.png", long.name]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001.jpg.png", "002.jpg.png"]
    reasons = {Path(item["picture"]).name: item["reason"] for item in said["unreadable"]}
    assert "TypeError" in reasons["odd.png"]
    assert "File name too long" in reasons[long.name]


def test_a_list_of_pictures_keeps_its_order_around_one_that_fails(colorizer: ColorModel, tmp_path: Path) -> None:
    """In Python, too: the picture that cannot be coloured has its error in its place, with its name."""
    draw_photos(tmp_path / "in", count=2)
    paths = sorted((tmp_path / "in").iterdir())
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8")
    first, bad, odd, second = deepcolor.colorize(
        [paths[0], tmp_path / "bad.jpg", np.zeros((4, 5, 6, 7)), paths[1]], model=colorizer
    )
    assert isinstance(bad, DataError)
    assert "bad.jpg" in str(bad)
    assert isinstance(odd, ShapeError)
    for path, pixels in ((paths[0], first), (paths[1], second)):
        np.testing.assert_array_equal(pixels, deepcolor.colorize(path, model=colorizer))


def test_an_output_folder_that_cannot_be_written_ends_the_command(colorizer_folder: Path, tmp_path: Path) -> None:
    """What would go wrong with every picture is said once."""
    draw_photos(tmp_path / "in", count=2)
    (tmp_path / "out").write_text("a file")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "-m", colorizer_folder)
    assert isinstance(result.exception, WorkspaceError)


def test_results_are_no_input(tmp_path: Path) -> None:
    """With the results below the pictures' own folder, a second run does not colour the first one's results."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "out" / "a.png")
    assert [job.picture.name for job in find_jobs([tmp_path], tmp_path / "out")] == ["a.jpg"]


def test_a_picture_is_never_replaced_by_its_result(tmp_path: Path) -> None:
    """Writing into the picture's own folder under its own name is refused before anything is read."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="must not replace a picture"):
        find_jobs([tmp_path / "a.png"], tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    """A path that is not there, and a folder without pictures, are the user's mistakes."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="does not exist"):
        find_jobs([tmp_path / "nope"], tmp_path / "out")
    with pytest.raises(DataError, match="got none"):
        find_jobs([tmp_path / "empty"], tmp_path / "out")
