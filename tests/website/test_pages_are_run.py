"""The tutorial, and how a workspace is moved, done as their pages say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import deepcolor
from tests.running import run_commands
from tests.tracking.building import new_store, template_database
from website.blocks import Line, calls, lines, write_files

DOCS = Path(deepcolor.__file__).parent.parent / "docs"
SHELL = {"cp", "mkdir", "mv"}
QUICKER = {"--count 150": "--count 30", "--count 8": "--count 2"}
QUICKER_SWEEP = {
    "epochs: 9, batch_size: 8": "epochs: 3, batch_size: 32",
    "trials: 8": "trials: 3",
    "min_epochs: 3": "min_epochs: 1",
    "[4, 8]": "[1, 2]",
}
"""What is learnt does not matter here."""
SERVERS = ("http://", "postgresql", "rsync")
"""What needs a server or another machine is parsed only (test_commands_in_pages.py); it is run where there is one
(tests/search/test_server.py, tests/reliability/test_secrets.py).
"""


def replaced(text: str, words: dict[str, str]) -> str:
    """A text with some of its words replaced, each of which it must have."""
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    return text


def run(page: Path, *, folder: Path, quicker: dict[str, str]) -> dict[str, str]:
    """Run what a page has its reader run, in order, and return what each command said."""
    shown = lines(replaced(page.read_text(encoding="utf-8"), quicker))
    said: dict[str, str] = {}
    for ours, group in groupby((line for line in shown if runs(line)), lambda line: line.text.startswith("deepcolor")):
        if ours:
            said |= run_ours(group, folder=folder)
        else:
            for line in group:
                subprocess.run(shlex.split(line.text), cwd=folder, check=True)
    return said


def runs(line: Line) -> bool:
    """Whether a line is a command that can be run here; the others of a page are what commands answer."""
    if any(word in line.text for word in SERVERS):
        return False
    return line.text.startswith("deepcolor ") or line.text.split()[0] in SHELL


def run_ours(group: Iterable[Line], *, folder: Path) -> dict[str, str]:
    """Run lines that call deepcolor, all in one process."""
    asked = [line.text for line in group]
    done = run_commands([calls(text)[0] for text in asked], folder=folder, environment={"COLUMNS": "200"})
    for text, each in zip(asked, done, strict=True):
        assert each.code == 0, f"{text}: exit code {each.code}\n{each.out}\n{each.err}"
    return {text: each.out for text, each in zip(asked, done, strict=True)}


def test_the_tutorial_and_moving_it_elsewhere(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the tutorial works as it stands, and ends with coloured pictures of a champion that confirmation
    has chosen; its workspace moves as the page on that says, is sound there, and trains nothing again.
    """
    new_store(template_database(tmp_path_factory), old := tmp_path / "old")
    write_files(DOCS / "tutorial.md", old)
    sweep = old / "experiments" / "rates.yaml"
    sweep.write_text(replaced(sweep.read_text(encoding="utf-8"), QUICKER_SWEEP), encoding="utf-8")
    said = run(DOCS / "tutorial.md", folder=old, quicker=QUICKER)
    assert len(said) == 12
    confirmed = next(out for text, out in said.items() if "--extend" in text)
    assert "over 3 other seeds" in confirmed
    assert "colorizer@1" in said["deepcolor models"]
    assert (old / "report.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert len(list((old / "coloured").glob("*.png"))) == 2
    monkeypatch.chdir(old)
    (shown,) = re.findall(r"```python\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    exec(shown, found)
    assert found["coloured"].shape == (64, 64, 3)

    shutil.move(tmp_path / "old" / "my-colorizer", tmp_path / "left-behind")
    said = run(DOCS / "moving.md", folder=tmp_path, quicker={})
    assert "as prepared" in said["deepcolor doctor --workspace new"]
    assert "0 trained now" in said["deepcolor sweep rates-again.yaml --workspace new"]
    assert (tmp_path / "my-colorizer").is_dir()


@pytest.mark.parametrize("page", sorted(DOCS.glob("images/*")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(page: Path) -> None:
    """A picture of the documentation has less than 200 kB, can be opened, and is in a page."""
    assert page.stat().st_size < 200_000
    with Image.open(page) as picture:
        picture.verify()
    texts = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    assert any(f"images/{page.name})" in text.read_text(encoding="utf-8") for text in texts)
