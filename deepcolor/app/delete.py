"""Delete a study: its trials, its runs, and what nothing else needs of its files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.upkeep.deletion import Deletion
    from deepcolor.tracking.removing import StudyRunIds


@dataclass(frozen=True)
class Deleting:
    """What deleting a study removes, or has removed."""

    files: Deletion
    runs: StudyRunIds
    versions: tuple[str, ...]
    """The registered versions that came from it."""
    asked: tuple[str, ...]
    """The MLflow stores that were asked what their registered versions need; the runs are in the first one."""

    def as_dict(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "study": self.files.study,
            "trials": self.files.trials,
            "runs": {"deleted": len(self.runs.going), "kept": len(self.runs.kept)},
            "trainings": {"removed": len(self.files.trajectories), "kept": dict(self.files.reasons)},
            "bytes": self.files.bytes,
            "versions": list(self.versions),
            "elsewhere": self.files.elsewhere,
        }


def plan_deletion(workspace: Workspace, study: str, *, tracking_uri: str) -> Deleting:
    """Say what deleting a study would remove; nothing is changed.

    Args:
        workspace: Where it is.
        study: Its name.
        tracking_uri: The MLflow store that holds its runs.
    Raises:
        StudyError: There is no such study; a driver is at work on it; or another study, or a registered version, was
            trained from it.
        TrackingError: The store cannot be read, so what its versions need cannot be known.
    """
    from deepcolor.app.gc import open_all
    from deepcolor.search.study.ownership import is_owned
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.study.used import all_used

    study = StudyStorage(workspace).load(study).name
    if is_owned(workspace, study):
        raise _running(study)
    storage, *others = open_all(all_used(workspace))
    return _found(workspace, study, storage, others, tracking_uri)


def delete_study(
    workspace: Workspace, study: str, *, tracking_uri: str, planned: Deleting | None = None, reporter: Reporter = SILENT
) -> Deleting:
    """Delete a study: its runs in MLflow, which can be restored there, its files, and at last its trials.

    Whatever interrupts it, the same call continues. Nothing of a registered version is removed.

    Args:
        workspace: Where it is.
        study: Its name.
        tracking_uri: The MLflow store that holds its runs.
        planned: What was agreed to; another study that has taken its name since is left alone.
        reporter: Is told how far it is.
    Returns:
        What was removed.
    Raises:
        StudyError: There is no such study; somebody is at work in the workspace; or another study, or a registered
            version, was trained from it.
        TrackingError: The store cannot be reached. What was deleted by then stays deleted.
    """
    from deepcolor.app.gc import open_all
    from deepcolor.search.study.ownership import sole_server, sole_store, undriven
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.study.used import all_used
    from deepcolor.search.upkeep.deletion import delete
    from deepcolor.tracking.removing import delete_runs

    study = StudyStorage(workspace).load(study).name  # Nothing is made in a workspace that has no such study.
    places = all_used(workspace)
    storage, *others = open_all(places)
    with ExitStack() as locks:
        for place in [place for place in places[1:] if place.on_server]:
            locks.enter_context(sole_server(place))
        locks.enter_context(sole_store(workspace))
        locks.enter_context(undriven(workspace, study))
        found = _found(workspace, study, storage, others, tracking_uri)
        if planned is not None and planned.files.started_ms != found.files.started_ms:
            raise StudyError(f"study: {study!r} must be the one that was agreed to; got a new one. Look at it again.")
        with reporter.progress("deleting runs", of="run") as update:
            delete_runs(tracking_uri, found.runs, on_progress=update)
        with reporter.progress("removing trainings", of="training") as update:
            delete(found.files, workspace, storage, on_progress=update)
    return found


def _found(
    workspace: Workspace, study: str, storage: StudyStorage, others: list[StudyStorage], tracking_uri: str
) -> Deleting:
    from deepcolor.registry.references import registered, trial_of
    from deepcolor.registry.versions import list_versions
    from deepcolor.search.upkeep.deletion import find_deletion
    from deepcolor.tracking.removing import StudyRunIds, runs_of

    stored = storage.load(study)
    names = stored.names
    asked = tuple(dict.fromkeys([tracking_uri, workspace.mlflow_uri]))
    known = {uri: list_versions(uri) for uri in asked}
    every = [version for versions in known.values() for version in versions]
    if began := sorted({v.ref for v in every if v.parent and (trial_of(v.parent) or ("",))[0] in names}):
        raise StudyError(
            f"study: {study!r} must not hold what a registered version was trained from; got {', '.join(began)}. "
            "Delete that version in MLflow first, or free space with: deepcolor gc"
        )
    files = find_deletion(workspace, storage, study, also=others, references=registered(asked))
    run_ids = {version.run_id for version in known[tracking_uri] if version.run_id}
    runs = StudyRunIds((), ()) if files.elsewhere else runs_of(tracking_uri, stored.study_id, registered=run_ids)
    versions = sorted({version.ref for version in every if version.study in names})
    return Deleting(files, runs, tuple(versions), asked)


def _running(study: str) -> StudyError:
    return StudyError(f"study: {study!r} must not be running; got a driver at work on it. Stop it, then delete it.")
