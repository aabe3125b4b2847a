"""Where a database's artifacts are: MLflow keeps absolute locations, and a workspace may be moved or copied.

Artifacts are kept next to their database. A database that names another place has been moved or is a copy: its
locations are changed to where it is now, all in one transaction, so that a copy never reads from or writes into its
original.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from deepcolor.sqlite import private_copy
from deepcolor.tracking import layout

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Everywhere MLflow keeps the location of artifacts."""
_ARTIFACTS, _DEFAULT, _DEFAULT_ID = "artifacts", "Default", "0"
_LOCK_WAIT_S = 120


def artifacts_beside(database: Path) -> Path:
    """Where the artifacts of an SQLite database are: in `artifacts`, next to it."""
    return database.absolute().parent / _ARTIFACTS


def bring_home(database: Path, *, artifacts: Path) -> bool:
    """Make a database name the place where its artifacts are; the caller holds the lock for opening it.

    Args:
        database: The file, with MLflow's tables in it.
        artifacts: The folder that holds a folder for each experiment.
    Returns:
        Whether the database had been moved.
    """
    with closing(sqlite3.connect(database, timeout=_LOCK_WAIT_S, isolation_level=None)) as connection:
        if not _moves(connection, artifacts):
            return False
        connection.execute("BEGIN IMMEDIATE")
        moves = _moves(connection, artifacts)
        for table, column in _present(connection):
            _rewrite(connection, table, column, moves)
        connection.execute("COMMIT")
    return True


def local_path(location: str | None) -> Path | None:
    """Return the path that a location means to MLflow; None if it is not on this machine."""
    if location is None:
        return None
    if location.startswith("file:"):
        place = urlsplit(location)
        return Path(url2pathname(place.path)) if place.netloc in {"", "localhost"} else None
    return Path(location) if location.startswith("/") else None


def put_default(database: Path, *, artifacts: Path) -> None:
    """Let a database that has just been set up say that its own experiment has its artifacts among the others'.

    Args:
        database: The file; nothing is changed where it says so already.
        artifacts: The folder that holds a folder for each experiment.
    """
    location = f"{artifacts.as_uri()}/{_DEFAULT_ID}"
    with closing(sqlite3.connect(database, timeout=_LOCK_WAIT_S)) as connection, connection:
        if _COLUMNS[0] in _present(connection):
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE name = ? AND artifact_location <> ?",
                (location, _DEFAULT, location),
            )


_copies: dict[Path, _Copy] = {}


class _Copy:
    """A copy of a database that can only be read, as it was at one moment."""

    def __init__(self, database: Path, state: tuple[object, ...]) -> None:
        self.state = state
        self.path = private_copy(database, owner=self)


def readable_copy(database: Path) -> Path:
    """Return a copy of a database that can only be read, with the locations corrected; copied again if it has changed.

    Raises:
        OSError: It cannot be read.
    """
    state = tuple(_state_of(database.with_name(database.name + suffix)) for suffix in ("", "-wal"))
    known = _copies.get(database)
    if known is None or known.state != state:
        known = _copies[database] = _Copy(database, state)
        bring_home(known.path, artifacts=artifacts_beside(database))
    return known.path


def _state_of(file: Path) -> tuple[int, int] | None:
    return (stat.st_mtime_ns, stat.st_size) if file.exists() and (stat := file.stat()) else None


def _moves(connection: sqlite3.Connection, artifacts: Path) -> dict[Path, Path]:
    """Return the old and new place of artifacts that are recorded elsewhere than next to this file."""
    moves: dict[Path, Path] = {}
    if ("experiments", "artifact_location") not in _present(connection):
        return moves
    for name, location in connection.execute("SELECT name, artifact_location FROM experiments"):
        path = local_path(location)
        # Artifacts put elsewhere on purpose stay there; another name of the same folder is not a move.
        folder = _DEFAULT_ID if name == _DEFAULT else layout.stage_in(name)
        if path is None or (path.parent.name, path.name) != (_ARTIFACTS, folder):
            continue
        if path.parent != artifacts and path.parent.resolve() != artifacts.resolve():
            moves[path.parent] = artifacts
    return moves


def _present(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The columns with locations that this release of MLflow has."""
    known = connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table'"
    ).fetchall()
    return [each for each in _COLUMNS if each in known]


def _rewrite(connection: sqlite3.Connection, table: str, column: str, moves: Mapping[Path, Path]) -> None:
    rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()  # noqa: S608  # names of `_COLUMNS`
    connection.executemany(
        f"UPDATE {table} SET {column} = ? WHERE rowid = ?",  # noqa: S608  # names of `_COLUMNS`
        [(moved, row) for row, location in rows for moved in _moved(location, moves)],
    )


def _moved(location: str | None, moves: Mapping[Path, Path]) -> Iterator[str]:
    """Yield the new location of what is in a moved folder; nothing for the rest."""
    path = local_path(location)
    if path is None or location is None:
        return
    for old, new in moves.items():
        if path.is_relative_to(old):
            now = new / path.relative_to(old)
            yield now.as_uri() if location.startswith("file:") else str(now)
            return
