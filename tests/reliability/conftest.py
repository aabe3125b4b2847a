"""A workspace whose sweeps are driven for real and hurt for real; prepared once, copied for each test."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from deepcolor.config.schema import AugmentConfig, DataConfig
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.drawn import draw_set
from deepcolor.data.manifest import prepare
from deepcolor.search.study.storage import StoredTrial, StudyStorage
from deepcolor.workspace import Workspace
from tests.reliability.processes import Command, Faults, start, wait_until
from tests.shared import shared
from tests.tracking.building import new_store, template_database

FORMULA_GRID = """
study: {study}
stage: regressor
data: {{name: faces, size_px: 64, augment: {{random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}}}
search:
  space:
    lr: [1e-1, 1e-2]
    weight_decay: [0.0, 0.1]
    epochs: [2, 3]
"""
"""Eight points on four trajectories: 20 epochs asked for, 12 to be trained."""
POINTS, EPOCHS = 8, 12


@dataclass(frozen=True)
class Place:
    """A workspace, and what can be seen of it from outside."""

    root: Path

    @property
    def mlflow_uri(self) -> str:
        return Workspace.at(self.root).mlflow_uri

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text)
        return path

    def write_grid(self, study: str = "grid") -> str:
        """Write the formula's grid as a sweep file and return the file's name."""
        return self.write(f"{study}.yaml", FORMULA_GRID.format(study=study)).name

    def start(self, *words: str, faults: Faults | None = None) -> Command:
        return start(self.root, *words, faults=faults)

    def sweep(self, *words: str, study: str = "grid", faults: Faults | None = None) -> dict[str, Any]:
        """Run the sweep of a study to its end and return its summary."""
        text = self.start("sweep", f"{study}.yaml", "--json", *words, faults=faults).ends(0)
        return dict(json.loads(text.splitlines()[-1]))

    def trials(self, study: str = "grid") -> list[StoredTrial]:
        return StudyStorage(Workspace.at(self.root)).load(study).trials()

    def finished_trials(self) -> int:
        """How many trials Optuna's database holds as complete; read beside a running driver."""
        path = self.root / "studies" / "optuna.db"
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1) as database:
                return int(database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0])
        except sqlite3.Error:
            return 0

    def wait_for_trials(self, count: int) -> None:
        wait_until(lambda: self.finished_trials() >= count, f"{count} trials complete")

    def runs(self, uri: str | None = None) -> list[Run]:
        """All runs that MLflow holds, studies and trials."""
        client = MlflowClient(uri or self.mlflow_uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return list(client.search_runs(experiments, max_results=1000))

    def assert_whole(self, study: str = "grid", *, uri: str | None = None) -> None:
        """Every grid point is complete exactly once, and MLflow shows exactly that, with nothing left RUNNING."""
        trials = [trial for trial in self.trials(study) if trial.state != "failed"]
        assert [trial.state for trial in trials] == ["complete"] * POINTS
        points = Counter(json.dumps(trial.params, sort_keys=True) for trial in trials)
        assert len(points) == POINTS
        runs = [run for run in self.runs(uri) if run.data.tags["deepcolor.study"] == study]
        assert {run.info.status for run in runs} == {"FINISHED"}
        kinds = Counter(run.data.tags["deepcolor.kind"] for run in runs)
        assert kinds == {"study": 1, "trial": POINTS}
        by_trial = {int(run.data.tags["deepcolor.trial"]): run for run in runs if "deepcolor.trial" in run.data.tags}
        client = MlflowClient(uri or self.mlflow_uri)
        for trial in trials:
            run = by_trial[trial.number]
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "val/mse")]
            assert steps == list(range(1, int(str(trial.params["epochs"])) + 1))
            assert run.data.metrics["value"] == pytest.approx(trial.value)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with decoded drawn faces and two empty databases."""
    database = template_database(tmp_path_factory)
    return shared(tmp_path_factory, "reliability", lambda root: _make(root, database)) / "workspace"


def _make(root: Path, database: Path) -> None:
    draw_set("faces", root / "pictures", count=24, size_px=64, seed=3)
    workspace = Workspace.at(root / "workspace").create()
    manifest = prepare(root / "pictures", name="faces", workspace=workspace)
    augment = AugmentConfig(
        random_crop=None, random_vertical_flip=None, random_rotation=None, random_adjust_sharpness=None
    )
    ensure_cache(workspace, manifest, DataConfig(name="faces", size_px=64, augment=augment))
    new_store(database, workspace.root)
    workspace.optuna_db.touch()
    assert StudyStorage(workspace).names() == []


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    """A workspace of its own, with the sweep file `grid.yaml`."""
    shutil.copytree(template, tmp_path / "workspace")
    made = Place(tmp_path / "workspace")
    made.write_grid()
    return made
