"""The studies of a workspace: list, rename and delete them, and show MLflow what it has missed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter
from deepcolor.notebook import told
from deepcolor.study import Study, Where, named
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from deepcolor.app.delete import Deleting
    from deepcolor.app.rename import Renamed
    from deepcolor.app.sync import Synced


def list_studies(*, workspace: Where = ".", storage: str | None = None) -> pd.DataFrame:
    """List the studies, as `deepcolor studies` does: a row for each.

    Args:
        workspace: Where they are.
        storage: As for `sweep`.
    Returns:
        Name, stage and data set; how many trials are complete, pruned, running, waiting and failed; number and value of
        the best one.
    Raises:
        WorkspaceError: The database cannot be read.
    """
    import pandas as pd

    from deepcolor.app.studies import STATES
    from deepcolor.app.studies import list_studies as listed

    rows = []
    for study in listed(Workspace.at(Path(workspace), storage=storage)):
        best = study.best
        row = {**study.as_dict(), "best": best.value if best else None, "trial": best.number if best else None}
        rows.append(row)
    columns = ["study", "stage", "data", *STATES, "best", "trial"]
    return pd.DataFrame(rows, columns=columns).astype({"trial": "Int64"})


def rename(
    study: str | Study,
    new: str,
    *,
    workspace: Where = ".",
    storage: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Renamed:
    """Give a study another name, as `deepcolor rename` does: its former ones still find it.

    Args:
        study: The study, or its name.
        new: The name that it gets.
        workspace: Where the study is, where it is given by its name.
        storage: As for `sweep`, where it is given by its name.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        StudyError: There is no such study; somebody is at work on it; or the name is another study's, or once was.
        WorkspaceError: No study can have that name; or the database or the workspace cannot be written to.
    """
    from deepcolor.service.renaming import rename as rename_study

    name, place, uri = named(study, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    return rename_study(place, name, new, tracking_uri=uri, reporter=told(reporter))


def delete(
    study: str | Study,
    *,
    dry_run: bool = False,
    workspace: Where = ".",
    storage: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Deleting:
    """Delete a study, without asking: its trials, its runs in MLflow, and the files that nothing else needs.

    Nothing of a registered version goes. It is what `deepcolor delete --yes` does.

    Args:
        study: The study, or its name.
        dry_run: Only say what would be removed.
        workspace: Where the study is, where it is given by its name.
        storage: As for `sweep`, where it is given by its name.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Returns:
        What was removed, or would be.
    Raises:
        StudyError: There is no such study; somebody is at work in the workspace; or another study, or a registered
            version, was trained from it.
        TrackingError: The store cannot be reached. What was deleted by then stays deleted.
    """
    from deepcolor.app.delete import delete_study, plan_deletion

    name, place, uri = named(study, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    if dry_run:
        return plan_deletion(place, name, tracking_uri=uri)
    return delete_study(place, name, tracking_uri=uri, reporter=told(reporter))


def sync(
    study: str | Study | None = None,
    *,
    workspace: Where = ".",
    storage: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Synced:
    """Bring MLflow up to date, as `deepcolor sync` does: after an outage, or on another server.

    Args:
        study: The study, or its name; None: all of the workspace.
        workspace: Where the studies are, unless one is given as it is.
        storage: As for `sweep`, where none is given as it is.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        StudyError: There is no such study, or a driver is at work on it.
        TrackingError: The store cannot be reached, or refuses a record.
    """
    from deepcolor.app.sync import sync_studies

    if study is None:
        place = Workspace.at(Path(workspace), storage=storage)
        return sync_studies(place, place.store_uri(tracking_uri), reporter=told(reporter))
    name, place, uri = named(study, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    return sync_studies(place, uri, study=name, reporter=told(reporter))
