from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deepcolor.cli import console
from deepcolor.cli.data import app
from deepcolor.errors import DataError
from tests.data.photos import fruit, save


@pytest.fixture(autouse=True)
def _plain_console() -> Iterator[None]:
    """Options of one command line must not reach into the next test."""
    yield
    console.settings = console.Settings()


def run(*arguments: object) -> Result:
    console.settings = console.Settings()
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_drawn_pictures_are_prepared_and_listed(tmp_path: Path) -> None:
    """Draw, prepare, list: each command says what there is and what comes next."""
    drawn = run("draw", "fruit", tmp_path / "fruit", "--count", 12, "--size", 64)
    assert "12 pictures" in drawn.stdout
    assert "next: deepcolor data prepare" in drawn.stdout
    prepared = run("prepare", tmp_path / "fruit", "--name", "fruit", "--workspace", tmp_path)
    assert prepared.exit_code == 0
    assert "12 pictures usable, 0 rejected" in prepared.stdout
    assert "10 train, 1 val, 1 test" in prepared.stdout
    assert "deepcolor sweep" in prepared.stdout
    assert "fruit" in run("list", "--workspace", tmp_path).stdout


def test_prepare_answers_a_script_in_json(pictures: Path, tmp_path: Path) -> None:
    """One JSON object on stdout: counts, reasons, groups and the digest."""
    (pictures / "cut.jpg").write_bytes(save(pictures / "whole.jpg", fruit(40)).read_bytes()[:900])
    facts = json.loads(run("prepare", pictures, "--name", "f", "--workspace", tmp_path, "--json").stdout)
    assert facts["pictures"] == 13
    assert facts["rejected"] == [{"path": "cut.jpg", "reason": "a truncated file"}]
    assert sum(facts["split_sizes"].values()) == 13
    assert len(facts["digest"]) == 32
    assert json.loads(run("list", "--workspace", tmp_path, "--json").stdout)[0]["name"] == "f"


def test_rejected_files_are_shown_by_reason(pictures: Path, tmp_path: Path) -> None:
    """A table says how many files were left out for which reason, with some of their names."""
    for number in range(5):
        (pictures / f"broken{number}.jpg").write_bytes(b"\xff\xd8")
    shown = run("prepare", pictures, "--name", "f", "--workspace", tmp_path).stdout
    assert "a truncated file" in shown
    assert "broken0.jpg, broken1.jpg, broken2.jpg, ..." in " ".join(shown.split())


@pytest.mark.parametrize(
    ("split", "message"), [("80/20", "three numbers"), ("a/b/c", "three numbers"), ("90/10/0", "above 0")]
)
def test_a_split_is_three_shares(split: str, message: str, pictures: Path, tmp_path: Path) -> None:
    """Anything but three positive shares of a whole is refused before a picture is read."""
    failed = run("prepare", pictures, "--name", "f", "--workspace", tmp_path, "--split", split)
    assert isinstance(failed.exception, DataError)
    assert message in str(failed.exception)


def test_show_writes_the_figure_and_the_channels(pictures: Path, tmp_path: Path) -> None:
    """A picture becomes a figure, a folder becomes three folders; both, neither, or an unknown suffix are refused."""
    picture = pictures / "one" / "01.png"
    assert run("show", picture, "-o", tmp_path / "deep" / "lab.png").exit_code == 0
    assert (tmp_path / "deep" / "lab.png").stat().st_size > 10_000
    assert "12 pictures" in run("show", "--channels", pictures, "-o", tmp_path / "channels").stdout
    assert len(list((tmp_path / "channels" / "a").rglob("*.png"))) == 12
    for wrong in ((), (picture, "--channels", pictures), (picture, "-o", tmp_path / "lab.xyz")):
        assert isinstance(run("show", *wrong).exception, DataError)


@pytest.mark.parametrize("command", ["prepare", "show", "draw", "list"])
def test_every_command_shows_examples(command: str) -> None:
    """The help of each command ends in lines that can be copied."""
    shown = run(command, "--help").stdout
    assert "Examples" in shown
    assert f"deepcolor data {command}" in shown
