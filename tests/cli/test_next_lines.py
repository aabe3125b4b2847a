"""The commands that a command ends with, for its reader to go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.cli.demo import _farewell
from deepcolor.cli.options import in_workspace
from deepcolor.cli.sweep import runs_link
from deepcolor.workspace import Workspace


def test_a_workspace_elsewhere_is_part_of_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines work where they are read: with the workspace's name, quoted, and without it where it would be found."""
    monkeypatch.delenv("DEEPCOLOR_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my demo").mkdir()
    assert in_workspace(tmp_path) == ""
    assert in_workspace(tmp_path / "my demo") == " --workspace 'my demo'"
    assert in_workspace(tmp_path.parent) == f" --workspace {tmp_path.parent}"
    monkeypatch.setenv("DEEPCOLOR_WORKSPACE", "my demo")
    assert in_workspace(tmp_path / "my demo") == ""
    assert in_workspace(tmp_path) == " --workspace ."


def test_the_last_lines_of_the_demo_work_in_its_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that the demo ends with holds its workspace, as does that of a sweep."""
    monkeypatch.delenv("DEEPCOLOR_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    paths = (Path("demo/overview.png"), Path("demo/demo.yaml"), Path("demo"))
    text = _farewell(*paths, "transfer@champion", wall_s=100.0)
    commands = [line.rpartition("deepcolor ")[2] for line in text.splitlines() if "deepcolor " in line]
    assert len(commands) == 4
    assert all(command.endswith("--workspace demo") for command in commands)
    link = runs_link("http://tracker:5000", "grid", Workspace.at(tmp_path / "demo"))
    assert link == "deepcolor ui grid --tracking-uri http://tracker:5000 --workspace demo"
