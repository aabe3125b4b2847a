"""Delete the runs of a study as MLflow does: they can be restored until `mlflow gc` removes them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from deepcolor.sqlite import sqlite_file
from deepcolor.tracking import layout, store

_REMEDY = "Check {option}, and that the server is running, then run the same command again."


@dataclass(frozen=True)
class StudyRunIds:
    """The runs of a study."""

    going: tuple[str, ...]
    """Those that no registered version came from, the parent last."""
    kept: tuple[str, ...]
    """Those that one did, and their parent."""


def runs_of(tracking_uri: str, study_id: str, *, registered: Collection[str]) -> StudyRunIds:
    """Return the runs of a study that MLflow holds and has not deleted.

    Args:
        tracking_uri: The MLflow store; an SQLite database that does not exist holds none.
        study_id: Of the study.
        registered: Ids of the runs that registered versions came from.
    Raises:
        TrackingError: The store cannot be read.
    """
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        return StudyRunIds((), ())
    client = store.open_client(tracking_uri)
    with store.asking(tracking_uri, remedy=_REMEDY):
        runs = [
            run
            for _, experiment in store.experiments(client)
            for run in store.find_runs(client, experiment.experiment_id, layout.study_filter(study_id))
        ]
    parents = {run.info.run_id for run in runs if layout.TRIAL not in run.data.tags}
    needed = {run.info.run_id for run in runs if run.info.run_id in registered or layout.REGISTERED_AS in run.data.tags}
    kept = needed | (parents if needed else set())
    order = sorted((run.info.run_id for run in runs), key=lambda run_id: run_id in parents)
    return StudyRunIds(tuple(i for i in order if i not in kept), tuple(i for i in order if i in kept))


def delete_runs(tracking_uri: str, runs: StudyRunIds, *, on_progress: Callable[[int, int], None]) -> None:
    """Delete the runs that go; those that are deleted already stay so.

    Raises:
        TrackingError: The store does not answer, or refuses. What was deleted by then stays deleted.
    """
    if not runs.going:
        return
    client = store.open_client(tracking_uri)
    with store.asking(tracking_uri, remedy=_REMEDY):
        for done, run_id in enumerate(runs.going):
            on_progress(done, len(runs.going))
            client.delete_run(run_id)
    on_progress(len(runs.going), len(runs.going))
