"""Studies driven for real (Optuna on SQLite, a driver, an executor), with a formula in place of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.execution.executor import Executor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search import driver, replay
from deepcolor.search.driver import Driver, Places
from deepcolor.search.projection import Projection
from deepcolor.search.study import StoredTrial, StudyStorage, owned
from deepcolor.search.summary import Snapshot, Summary
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.workspace import Workspace
from tests.search.trivial import trivial


@dataclass
class Memory:
    """Keeps what it is shown: a tracker and a watcher in one."""

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
        return Driver(
            study,
            executor=executor,
            tracker=self.memory,
            watcher=self.memory,
            projection=Projection(study, provenance, "deepcolor sweep x.yaml", store, folder / "report"),
            places=Places(store, self.workspace.root / "cache", folder / "report", folder / "stop", device),
            parent_of=lambda setting: None,
            learn_from=[self.storage().load(name) for name in sweep.search.warm_start],
        )

    def run(self, sweep: Sweep, executor: Executor | None = None, *, extend: bool = False) -> Summary:
        executor = executor or SerialExecutor(trivial)
        try:
            with owned(self.workspace, sweep.study):
                return self.driver(sweep, executor, extend=extend).run()
        finally:
            executor.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Workspace.at(tmp_path).create(), Memory())


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no reports: drawing them takes most of the time of a start."""
    monkeypatch.setattr(driver, "write_report", lambda *_: None)
    monkeypatch.setattr(driver, "import_drawing", lambda: None)
    monkeypatch.setattr(replay, "write_report", lambda *_: None)


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
