"""Bring MLflow's runs up to date with what the workspace holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.tracking.rebuild import Rebuilt


def sync_studies(
    workspace: Workspace, uri: str, *, study: str | None = None, reporter: Reporter = SILENT
) -> tuple[dict[str, Rebuilt], dict[str, str]]:
    """Rebuild the runs of one study, or of all that no driver is at work on.

    Returns:
        What was done for each study; and the reason for each that was left out.
    Raises:
        StudyError: The one study asked for does not exist, or a driver is at work on it.
        TrackingError: The store cannot be reached, or refuses a record.
    """
    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.study.storage import StudyStorage, owned
    from deepcolor.search.upkeep.replay import replay
    from deepcolor.tracking.rebuild import rebuild

    storage = StudyStorage(workspace)
    done: dict[str, Rebuilt] = {}
    skipped: dict[str, str] = {}
    artifact_root = workspace.artifacts if uri == workspace.mlflow_uri else None
    for name in [study] if study is not None else storage.names():
        try:
            stored = storage.load(name)
            report = ReportFolder(workspace.report(name))
            with owned(workspace, name, on_wait=reporter.note):
                records = replay(workspace, stored, report=report)
                done[name] = rebuild(records, tracking_uri=uri, artifact_root=artifact_root)
        except StudyError as error:
            if study is not None:
                raise
            skipped[name] = str(error)
            continue
        reporter.note(f"{name}: {done[name].sentence}")
    return done, skipped
