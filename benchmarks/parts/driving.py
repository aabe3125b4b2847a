"""deepcolor's driver with SQLite and real segments, and nothing beside: no tracking, no report, nothing shown."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from deepcolor.config.load import sweep_of
from deepcolor.config.schema import Sweep
from deepcolor.execution.executor import Executor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.plugins import Code, keep
from deepcolor.search.driver.loop import Driver, Places
from deepcolor.search.recording import Projection
from deepcolor.search.rules.summary import Report, Snapshot, Summary, Watcher
from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage, owned
from deepcolor.tracking.records import Provenance, StudyRecord, Tracker, TrialRecord
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths
from deepcolor.workspace import Workspace


class Nobody:
    """Who is told, and tells nobody: a tracker, a watcher and a report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put_study(self, study: StudyRecord) -> None: ...

    def put_trial(self, trial: TrialRecord) -> None: ...

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002  # the protocol's names, here and below
        return True

    def close(self) -> None: ...

    def update(self, snapshot: Snapshot) -> None: ...

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None: ...

    def prepare(self) -> None: ...

    def write(self, study: StoredStudy, summary: Summary) -> None: ...


def driver_of(
    workspace: Workspace,
    sweep: Sweep,
    *,
    executor: Executor,
    tracker: Tracker,
    watcher: Watcher,
    report: Report,
    data_digest: str = "0" * 32,
) -> Driver:
    """Return the driver of a sweep that needs no data set.

    Args:
        workspace: Where its study is, or is made.
        sweep: What it searches.
        executor: Runs the segments.
        tracker: Is shown every trial.
        watcher: Is shown the study as a whole.
        report: Is written at the end.
        data_digest: Of what its stage brings itself.
    """
    study = StudyStorage(workspace).open(sweep, lambda: sweep)
    provenance = Provenance(data_digest=data_digest, data_folder="none", config_digest=sweep.digest())
    return Driver(
        study,
        executor=executor,
        tracker=tracker,
        watcher=watcher,
        projection=Projection(study, provenance, "deepcolor sweep FILE", workspace.trajectories, report.folder),
        places=Places(
            store=workspace.trajectories,
            cache=workspace.root,
            stop_file=workspace.study(sweep.study) / "stop",
            device="cpu",
            code=workspace.code,
        ),
        report=report,
        parent_of=lambda _: None,
    )


def drive(sweep: dict[str, Any], folder: Path) -> list[EpochMetrics]:
    """Run a sweep in a workspace of its own, one segment at a time; return its epochs in the order they were trained.

    Args:
        sweep: As in a sweep file, of a stage that brings its own data.
        folder: Of the workspace; trajectories that are there are not trained again.
    """
    workspace = Workspace.at(folder).create()
    parsed = sweep_of(json.loads(json.dumps(sweep)), (), code=workspace.code)
    keep(Code(parsed.code, workspace.code))
    with owned(workspace, parsed.study), closing(SerialExecutor()) as executor:
        nobody, digest = Nobody(folder / "report"), parsed.stage_class.data_digest(parsed.data, root=workspace.root)
        driver_of(
            workspace,
            parsed,
            executor=executor,
            tracker=nobody,
            watcher=nobody,
            report=nobody,
            data_digest=digest,
        ).run()
        study = StudyStorage(workspace).load(parsed.study)
        places = {trial.place.trajectory for trial in study.trials() if trial.place is not None}
    rows = [row for place in places for row in read_history(TrajectoryPaths(workspace.trajectories, place))]
    return sorted(rows, key=lambda row: (row.time_ms, row.epoch))
