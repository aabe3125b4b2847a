"""A workspace with the studies of a small pipeline, which all tests of reports share and none changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deepcolor.app.how import How
from deepcolor.app.pipeline import run_pipeline
from deepcolor.config.load import load_pipeline
from deepcolor.tracking import writer
from deepcolor.workspace import Workspace
from tests.cli.conftest import decoded  # noqa: F401  # a fixture
from tests.processes import ForkedWriter
from tests.reporting import draw_nothing
from tests.shared import shared
from tests.tracking.building import new_store, template_database

PIPELINE = """
pipeline: whole
sweeps:
  - study: painted
    stage: colorizer
    description: '<script>alert("told")</script> & <b>more</b>'
    data: &faces {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null,
                  random_rotation: null, random_adjust_sharpness: null, random_horizontal_flip: null}}
    model: {feature_maps: 1}
    training: {batch_size: 32}
    search:
      space: {lr: [1.0e-2, 1.0e-3, 1.0e-4, 1.0e-5, 1.0e-6], epochs: [1, 2], optimizer: [adam, sgd]}
      confirm: {top: 2, seeds: 2}
  - study: moved
    stage: transfer
    data: *faces
    init: {init_from: "study:painted"}
    training: {epochs: 1}
    search: {space: {lr: [1.0e-3]}, objective: [val/mse, parameters]}
"""
"""Of the searches, only the colorizer's has as many trials as importances need."""


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory, decoded: Path) -> Workspace:  # noqa: F811
    """The workspace; read in it, or copy it."""
    database = template_database(tmp_path_factory)

    def make(root: Path) -> None:
        shutil.copytree(decoded, root / "workspace")
        new_store(database, root / "workspace")
        workspace = Workspace.at(root / "workspace")
        file = workspace.root / "whole.yaml"
        file.write_text(PIPELINE)
        how = How(workspace, workspace.mlflow_uri, executor="serial", command="deepcolor pipeline whole.yaml")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "_launch", ForkedWriter)
            draw_nothing(patch.setattr, page=True)
            run_pipeline(load_pipeline(file), how, force=True)

    return Workspace.at(shared(tmp_path_factory, "reported", make) / "workspace")
