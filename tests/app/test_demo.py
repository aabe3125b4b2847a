from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from deepcolor.app.demo import run_demo
from deepcolor.app.how import How
from deepcolor.workspace import Workspace
from tests.cli.conftest import mlflow_database  # noqa: F401  # a fixture
from tests.reporting import Heard
from tests.search.conftest import no_pictures  # noqa: F401  # a fixture

_SMALL = """
pipeline: demo
sweeps:
  - {study: one, stage: regressor, data: &faces {name: drawn-faces, size_px: 64, augment: &none {random_crop: null,
     random_horizontal_flip: null, random_vertical_flip: null, random_rotation: null, random_adjust_sharpness: null}},
     model: {feature_maps: 1}, training: {epochs: 1}, search: {space: {lr: [1.0e-3]}}}
  - {study: two, stage: colorizer, data: *faces, model: {feature_maps: 1}, training: {epochs: 1},
     search: {space: {lr: [1.0e-3]}}}
  - {study: three, stage: transfer, data: {name: drawn-fruit, size_px: 64, augment: *none},
     init: {init_from: "study:two"}, training: {epochs: 1}, search: {space: {lr: [1.0e-3]}}}
"""


def test_the_demo_runs_the_file_in_its_workspace(
    tmp_path: Path,
    mlflow_database: None,  # noqa: F811
    no_pictures: None,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What its user has made of the file is run on the pictures it draws; it ends with pictures that no model has seen,
    coloured, and prints nothing.
    """
    workspace = Workspace.at(tmp_path)
    workspace.experiments.mkdir()
    file = workspace.experiments / "demo.yaml"
    file.write_text(_SMALL)
    done = run_demo(How(workspace, workspace.mlflow_uri, "serial", device="cpu", reporter=Heard()), pictures=60)
    assert (done.file, file.read_text()) == (file, _SMALL)
    assert [result.sweep.study for result in done.results] == ["one", "two", "three"]
    with Image.open(done.overview) as overview:
        assert overview.format == "PNG"
    coloured = sorted(path.name for path in (done.overview.parent / "coloured" / "transfer-1").iterdir())
    assert coloured == [f"{index}-{kind}.png" for index in range(6) for kind in ("coloured", "grey")]
    assert capfd.readouterr() == ("", "")
