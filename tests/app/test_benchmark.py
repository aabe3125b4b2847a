from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deepcolor.app.benchmark import benchmark
from deepcolor.errors import UserError
from deepcolor.workspace import Workspace
from tests.cli.conftest import decoded  # noqa: F401  # a fixture
from tests.reporting import Heard


def test_a_prepared_data_set_is_timed(tmp_path: Path, decoded: Path) -> None:  # noqa: F811
    """Each stage on the device asked for, on all pictures of the set, with a note before each."""
    shutil.copytree(decoded, tmp_path, dirs_exist_ok=True)
    workspace, heard = Workspace.at(tmp_path), Heard()
    with pytest.raises(UserError, match="Leave one out"):
        benchmark(workspace, data="faces", pictures=30)
    said = benchmark(workspace, data="faces", size_px=64, feature_maps=1, device="cpu", most_s=0.0, reporter=heard)
    assert (said.data.name, said.pictures, said.drawn, said.model.feature_maps) == ("faces", 30, False, 1)
    assert [(time.stage, time.device) for time in said.times] == [
        (stage, "cpu") for stage in ("regressor", "colorizer", "transfer")
    ]
    assert all(time.images_per_s * time.median_s == pytest.approx(5 * 24 * 6) for time in said.times)
    assert [note.split()[0] for note in heard.notes] == ["30", "measuring", "measuring", "measuring"]
