"""Move studies from one database to another, and bring a database up to this version of Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import WorkspaceError
from deepcolor.sqlite import sqlite_url
from deepcolor.workspace import Workspace

FROM, TO = "FROM", "TO"


@dataclass(frozen=True)
class Copied:
    """What became of the studies."""

    source: str
    """For people; without a password."""
    target: str
    copied: tuple[str, ...]
    there: tuple[str, ...]
    """Those that were there already, just as they are."""
    setting: str
    """What makes the target the workspace's database, as a line of its settings."""


@dataclass(frozen=True)
class Upgraded:
    """What became of a database."""

    storage: str
    """For people; without a password."""
    before: str
    """Its version, as Optuna counts them."""
    now: str
    backup: Path | None = None
    """A copy of the file as it was."""


def copy_studies(
    workspace: Workspace, source: str, target: str, *, names: Sequence[str] = (), reporter: Reporter = SILENT
) -> Copied:
    """Copy studies between two databases; their trainings stay where they are, in the workspace.

    Args:
        workspace: Of the studies.
        source: Where they are: a URL, or a file of SQLite.
        target: Where they are to be too.
        names: Which ones; empty: all.
        reporter: Is told of each study.
    Raises:
        StudyError: There is no such study; a driver is at work on it; or the target has another one of its name.
        WorkspaceError: A database cannot be used.
    """
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.study.used import note_use

    here, there = _at(workspace, source, option=FROM), _at(workspace, target, option=TO)
    if here.storage == there.storage:
        raise WorkspaceError(f"storage: TO must be another database than FROM; got {there.shown_storage} twice.")
    reading, writing = StudyStorage(here), StudyStorage(there)
    if not reading.exists():
        raise WorkspaceError(
            f"storage: FROM must be a database with studies; got {here.shown_storage}, which holds none. Correct it."
        )
    wanted = list(dict.fromkeys(names)) or reading.names()
    for name in wanted:
        reading.load(name)  # All of them must be there before any is copied.
    copied: list[str] = []
    with reporter.starting("storage copy") as steps:
        for name in wanted:
            steps.step(f"copying {name}")
            with ExitStack() as locks:
                _keep_drivers_from(locks, name, (here, there))
                if writing.take_over(reading, name):
                    copied.append(name)
                    reporter.note(f"{name}: copied")
    note_use(there)
    already = tuple(name for name in wanted if name not in copied)
    url = there.storage_to_keep if there.on_server else f"sqlite:///{there.optuna_db}"
    return Copied(here.shown_storage, there.shown_storage, tuple(copied), already, f"storage: {url}")


def upgrade_storage(workspace: Workspace) -> Upgraded:
    """Bring the database of a workspace's studies up to this version of Optuna; a file is copied first.

    Raises:
        StudyError: A driver is at work in it.
        WorkspaceError: There is none, or it cannot be used, or a later version of Optuna made it.
    """
    from deepcolor.search.study.database import database_of, upgrade
    from deepcolor.search.study.ownership import sole_store

    database = database_of(workspace)
    if not database.exists():
        raise WorkspaceError(
            f"storage: must be a database with studies; got {workspace.shown_storage}, which holds none. Name another."
        )
    with sole_store(workspace):
        before, now, backup = upgrade(database, file=None if workspace.on_server else workspace.optuna_db)
    return Upgraded(workspace.shown_storage, before, now, backup)


def _at(workspace: Workspace, named: str, *, option: str) -> Workspace:
    """The workspace with a database that is named by its URL, or is a file."""
    url = named if "://" in named else sqlite_url(Path(named).expanduser())
    place = replace(workspace, named_storage=url, storage_option=option)
    if not place.on_server and not place.optuna_db.parent.is_dir():
        raise WorkspaceError(
            f"storage: {option} must be a file in a folder that exists; got {place.optuna_db}. Correct it."
        )
    return place


def _keep_drivers_from(locks: ExitStack, name: str, places: Sequence[Workspace]) -> None:
    """Hold a study's locks wherever a driver of it would hold one, each of them once."""
    from deepcolor.search.study.ownership import folder_lock
    from deepcolor.search.study.server import server_of

    roots = {place.root for place in places}
    # A file that lies in another workspace is driven from there.
    files = [place.optuna_db for place in places if not place.on_server]
    roots |= {file.parent.parent for file in files if file.parent.name == "studies"}
    for root in sorted(roots):
        locks.enter_context(folder_lock(Workspace.at(root), name))
    for place in places:
        if (server := server_of(place)) is not None:
            locks.enter_context(server.undriven(name))
