"""Give a study another name, under which everything that refers to it goes on."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepcolor.app.naming import say_name
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError, TrackingError, WorkspaceError
from deepcolor.printable import shown_uri
from deepcolor.workspace import Workspace, checked_name

if TYPE_CHECKING:
    from deepcolor.search.study.stored import StoredStudy
    from deepcolor.tracking.rebuild import Rebuilt


@dataclass(frozen=True)
class Renamed:
    """What has become of a study's name."""

    study: str
    """Its name now."""
    before: str
    """The one it had until now; where it was called so already, the one that was given for it."""
    names: tuple[str, ...]
    """All that it has had, the oldest first; it is found by each of them."""
    runs: Rebuilt | None
    """What was done of its runs; None where MLflow holds none, or does not answer."""

    def as_dict(self) -> dict[str, Any]:
        """The same as a JSON object."""
        runs = {"updated": self.runs.updated, "unchanged": self.runs.unchanged} if self.runs else None
        return {"study": self.study, "before": self.before, "names": list(self.names), "runs": runs}


def rename_study(
    workspace: Workspace, study: str, new: str, *, tracking_uri: str, reporter: Reporter = SILENT
) -> Renamed:
    """Give a study another name: in its database, its folder, its report, and in MLflow.

    Nothing that was trained changes, and what was written down under a former name still finds it. Whatever interrupts
    this, the same call continues, and whoever opens the study next moves the rest of its folder.

    Args:
        workspace: Where it is.
        study: Its name, or a former one.
        new: The name that it gets.
        tracking_uri: The MLflow store that holds its runs; where it does not answer, that is a warning.
        reporter: Is told how far it is.
    Returns:
        Its names, and what was done.
    Raises:
        StudyError: There is no such study; somebody is at work on it; or the name is another study's, or once was.
        WorkspaceError: No study can have that name; or the database or the workspace cannot be written to.
    """
    from deepcolor.search.study.storage import StudyStorage

    workspace.study(checked_name(new, kind="study"))
    storage = StudyStorage(workspace)
    stored = storage.load(study)
    before = stored.name
    if study == new == before:
        raise StudyError(f"study name: must be another one than now; got {new!r}, which it has. Choose another name.")
    _check_writable(workspace)
    if before != new:
        say_name(study, before, reporter.note)
        storage.refuse_taken(new, of=before)
    with reporter.starting("rename") as steps:
        steps.step(f"renaming {before}")
        stored = _renamed(workspace, before, new, reporter)
    runs = _store(workspace, stored, tracking_uri, reporter)
    return Renamed(new, before if before != new else study, stored.names, runs)


def _renamed(workspace: Workspace, before: str, new: str, reporter: Reporter) -> StoredStudy:
    """Rename it; what was called so already has its report drawn, if that was cut off."""
    from deepcolor.search.driver.refusals import writing_below
    from deepcolor.search.study.ownership import shared_store, undriven
    from deepcolor.search.study.storage import StudyStorage

    with (
        writing_below(workspace),
        shared_store(workspace, on_wait=reporter.note),  # A clean-up looks for what is needed by names, too.
        ExitStack() as locks,
    ):
        for name in dict.fromkeys((before, new)):
            locks.enter_context(undriven(workspace, name))
        storage = StudyStorage(workspace)
        stored = storage.rename(before, new) if before != new else storage.load(new)
        _draw_again(workspace, stored)
    return stored


def _check_writable(workspace: Workspace) -> None:
    """Refuse a database that can only be read: what reads it works on a copy.

    Raises:
        WorkspaceError: It is one.
    """
    from deepcolor.sqlite import is_read_only

    if not workspace.on_server and is_read_only(workspace.optuna_db):
        raise WorkspaceError(
            f"studies database: must be writable to rename a study; got one that can only be read "
            f"({workspace.optuna_db}). Fix its permissions, and those of its folder."
        )


def _draw_again(workspace: Workspace, study: StoredStudy) -> None:
    """Let a report that there is name the study as it is called now."""
    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.upkeep.replay import summary_of
    from deepcolor.training.checkpoint import read_history
    from deepcolor.training.trajectory import TrajectoryPaths

    report = ReportFolder(workspace.report(study.name), store=workspace.trajectories)
    if report.folder.is_dir():
        trials = study.trials()
        digests = {trial.place.trajectory for trial in trials if trial.place}
        histories = {digest: read_history(TrajectoryPaths(workspace.trajectories, digest)) for digest in digests}
        report.write(study, summary_of(study, trials, histories=histories))


def _store(workspace: Workspace, study: StoredStudy, tracking_uri: str, reporter: Reporter) -> Rebuilt | None:
    """Let MLflow follow, where it holds runs of the study: none are made where they were never asked for."""
    from deepcolor.app.sync import sync_studies
    from deepcolor.tracking.removing import runs_of

    name = study.name
    try:
        found = runs_of(tracking_uri, study.study_id, registered=())
        if not (found.going or found.kept):
            reporter.note(
                f"{name}: no runs of it in {shown_uri(tracking_uri)}; elsewhere: deepcolor sync {name} --to URI"
            )
            return None
        return sync_studies(workspace, tracking_uri, study=name, reporter=reporter).studies[name]
    except (StudyError, TrackingError) as error:
        reporter.warn(f"{name}: MLflow does not name it so yet. deepcolor sync {name} brings that there. {error}")
        return None
