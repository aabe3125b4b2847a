"""Studies driven for real (Optuna on SQLite, a driver, an executor), with a formula in place of a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.execution.executor import Executor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.report.writing import ReportFolder
from deepcolor.search.driver.loop import Driver, Places
from deepcolor.search.recording import Projection
from deepcolor.search.rules.summary import Snapshot, Summary
from deepcolor.search.study.storage import StoredTrial, StudyStorage, owned
from deepcolor.search.upkeep.replay import replay
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.workspace import Workspace
from tests.reporting import draw_nothing
from tests.search.trivial import trivial
from tests.shared import shared

on_both = pytest.mark.parametrize("bench", ["sqlite", "postgres"], indirect=True)
"""Of a test that holds whichever database keeps the studies."""


@dataclass
class Memory:
    """Remembers what it is shown: a tracker and a watcher in one."""

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    study: StudyRecord | None = None
    snapshots: list[Snapshot] = field(default_factory=list)

    def put_study(self, study: StudyRecord) -> None:
        self.study = study

    def put_trial(self, trial: TrialRecord) -> None:
        self.trials[trial.number] = trial

    def flush(self, timeout_s: float) -> bool:
        return timeout_s >= 0

    def close(self) -> None:
        pass

    def update(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)


@dataclass
class Bench:
    """Drives sweeps in one workspace."""

    workspace: Workspace
    memory: Memory

    def storage(self) -> StudyStorage:
        return StudyStorage(self.workspace)

    def driver(self, sweep: Sweep, executor: Executor, *, extend: bool = False, device: str = "auto") -> Driver:
        study = self.storage().open(sweep, lambda: sweep, extend=extend)
        folder = self.workspace.study(sweep.study)
        provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=sweep.digest())
        store = self.workspace.trajectories
        report = ReportFolder(self.workspace.report(sweep.study))
        return Driver(
            study,
            executor=executor,
            tracker=self.memory,
            watcher=self.memory,
            projection=Projection(study, provenance, "deepcolor sweep x.yaml", store, report.folder),
            places=Places(store, self.workspace.root / "cache", folder / "stop", device, code=self.workspace.code),
            report=report,
            parent_of=lambda setting: None,
            learn_from=[self.storage().load(name) for name in sweep.search.warm_start],
        )

    def replay(self, study: str) -> list[StudyRecord | TrialRecord]:
        """Every record of a study, as its driver would have put them."""
        report = ReportFolder(self.workspace.report(study))
        return list(replay(self.workspace, self.storage().load(study), report=report))

    def run(self, sweep: Sweep, executor: Executor | None = None, *, extend: bool = False) -> Summary:
        executor = executor or SerialExecutor(trivial)
        try:
            with owned(self.workspace, sweep.study):
                return self.driver(sweep, executor, extend=extend).run()
        finally:
            executor.close()


@pytest.fixture
def bench(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Bench:
    """A workspace with Optuna's database, empty, on SQLite unless a test asks for another (`on_both`); what is drawn of
    its studies is blank, unless `drawn` is asked for.
    """
    if getattr(request, "param", "sqlite") == "postgres":
        workspace = Workspace.at(tmp_path, storage=request.getfixturevalue("postgres").new_url()).create()
    else:
        workspace = Workspace.at(tmp_path).create()
        shutil.copy(optuna_template(tmp_path_factory), workspace.optuna_db)
    if "drawn" not in request.fixturenames:
        draw_nothing(monkeypatch.setattr)
    return Bench(workspace, Memory())


def optuna_template(factory: pytest.TempPathFactory) -> Path:
    """An empty database of Optuna's, set up once for all tests."""

    def make(folder: Path) -> None:
        workspace = Workspace.at(folder).create()
        workspace.optuna_db.touch()
        assert StudyStorage(workspace).names() == []

    return Workspace.at(shared(factory, "optuna", make)).optuna_db


@pytest.fixture
def drawn() -> None:
    """Ask for reports with their pictures."""


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no reports at all."""
    monkeypatch.setattr(ReportFolder, "write", lambda *_: None)
    monkeypatch.setattr(ReportFolder, "prepare", lambda _: None)


@pytest.fixture
def sweep_of() -> Callable[..., Sweep]:
    def make(space: dict[str, Any] | None = None, *, study: str = "s", **search: Any) -> Sweep:
        return Sweep.model_validate(
            {
                "study": study,
                "stage": "regressor",
                "data": {"name": "faces"},
                "training": {"epochs": 3},
                "search": {"sampler": "grid", "space": space or {"lr": [0.1, 0.01, 0.001]}, **search},
            }
        )

    return make
