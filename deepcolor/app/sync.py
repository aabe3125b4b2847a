"""Bring MLflow's runs up to date with what the workspace holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deepcolor.app.naming import say_name
from deepcolor.app.reporter import SILENT, OnProgress, Reporter, counting
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.stored import StoredStudy
    from deepcolor.tracking.rebuild import Rebuilt


class Synced(NamedTuple):
    """What became of the runs."""

    studies: dict[str, Rebuilt]
    """What was done, by study."""
    skipped: dict[str, str]
    """Why a study was left out."""

    @property
    def total(self) -> Rebuilt:
        """What was done for all studies together."""
        from deepcolor.tracking.rebuild import Rebuilt

        return sum(self.studies.values(), start=Rebuilt())


def sync_studies(workspace: Workspace, uri: str, *, study: str | None = None, reporter: Reporter = SILENT) -> Synced:
    """Rebuild the runs of one study, or of all that no driver is at work on, and what MLflow shows of their models.

    Args:
        workspace: Where the studies are.
        uri: The MLflow store.
        study: The one asked for; None: all of them.
        reporter: Is told of each study, and warned in the end of those that were left out.
    Raises:
        StudyError: The one study asked for does not exist, or a driver is at work on it.
        TrackingError: The store cannot be reached, or refuses a record.
    """
    done: dict[str, Rebuilt] = {}
    skipped: dict[str, str] = {}
    with reporter.starting("sync") as steps:
        steps.step("loading libraries")
        from deepcolor.registry.logged import show_versions
        from deepcolor.registry.renaming import follow_name
        from deepcolor.search.study.storage import StudyStorage

        storage = StudyStorage(workspace)
        if study is not None:
            asked, study = study, storage.load(study).name
            say_name(asked, study, reporter.note)
        for name in [study] if study is not None else storage.names():
            steps.step(f"storing the runs of {name}")
            stored = storage.load(name)
            try:
                with counting(reporter, steps, f"storing the runs of {name}", of="run") as tell:
                    done[name] = _store_runs(workspace, uri, stored, reporter=reporter, tell=tell)
            except StudyError as error:
                if study is not None:
                    raise
                skipped[name] = str(error)
                continue
            reporter.note(f"{name}: {done[name].sentence}")
            if len(stored.names) > 1:
                follow_name(uri, study=name, former=stored.names, study_id=stored.study_id)
        steps.step("looking at the models")
        show_versions(uri, study=study)
    for reason in skipped.values():
        reporter.warn(reason)
    return Synced(done, skipped)


def sync_parent(workspace: Workspace, uri: str, *, study: str) -> None:
    """Bring the parent run of a study up to date, and with it the files of its report; its trials are left as they are.

    Raises:
        StudyError: There is no such study, or a driver is at work on it.
        TrackingError: The store cannot be reached, or refuses the record.
    """
    from deepcolor.search.study.storage import StudyStorage

    _store_runs(workspace, uri, StudyStorage(workspace).load(study), parent_alone=True)


def _store_runs(
    workspace: Workspace,
    uri: str,
    study: StoredStudy,
    *,
    parent_alone: bool = False,
    reporter: Reporter = SILENT,
    tell: OnProgress | None = None,
) -> Rebuilt:
    from itertools import islice

    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.study.storage import owned
    from deepcolor.search.upkeep.replay import replay
    from deepcolor.tracking.rebuild import rebuild

    report = ReportFolder(workspace.report(study.name), store=workspace.trajectories)
    with owned(workspace, study.name, on_wait=reporter.note):
        trials = study.trials()
        runs = 1 + sum(trial.place is not None for trial in trials)
        records = replay(workspace, study, report=report, trials=trials)
        return rebuild(
            islice(records, 1) if parent_alone else records,
            tracking_uri=uri,
            artifact_root=workspace.artifacts if uri == workspace.mlflow_uri else None,
            on_run=(lambda done: tell(done, runs)) if tell is not None else None,
        )
