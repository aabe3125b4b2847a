from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.workspace import Workspace
from tests.data.photos import fruit, save


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "workspace").create()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve different pictures in two nested folders."""
    folder = tmp_path / "pictures"
    for number in range(12):
        save(folder / ("one" if number % 2 else "two") / f"{number:02d}.png", fruit(number))
    return folder
