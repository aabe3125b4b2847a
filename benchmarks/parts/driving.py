"""deepcolor's driver with SQLite and real segments, and nothing beside: no tracking, no report, nothing shown."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from deepcolor.config.load import sweep_of
from deepcolor.execution.serial import SerialExecutor
from deepcolor.plugins import Code, keep
from deepcolor.search.driver.loop import Driver, Places
from deepcolor.search.recording import Projection
from deepcolor.search.rules.summary import Snapshot, Summary
from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage, owned
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths
from deepcolor.workspace import Workspace


class _Nobody:
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
        study, nobody = StudyStorage(workspace).open(parsed, lambda: parsed), _Nobody(folder / "report")
        digest = parsed.stage_class.data_digest(parsed.data, root=workspace.root)
        provenance = Provenance(data_digest=digest, data_folder="", config_digest=parsed.digest())
        Driver(
            study,
            executor=executor,
            tracker=nobody,
            watcher=nobody,
            projection=Projection(study, provenance, "", workspace.trajectories, nobody.folder),
            places=Places(
                store=workspace.trajectories,
                cache=workspace.root,
                stop_file=workspace.study(parsed.study) / "stop",
                device="cpu",
                code=workspace.code,
            ),
            report=nobody,
            parent_of=lambda _: None,
        ).run()
        places = {trial.place.trajectory for trial in study.trials() if trial.place is not None}
    rows = [row for place in places for row in read_history(TrajectoryPaths(workspace.trajectories, place))]
    return sorted(rows, key=lambda row: (row.time_ms, row.epoch))
