"""How the workspace's SQLite databases are kept and named: with a write-ahead log while they are in use, as a single
file afterwards; without one on a network file system, where it does not work; read from a private copy where nothing
can be written.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepcolor.mounts import is_network
from deepcolor.settings import read_journal

if TYPE_CHECKING:
    from sqlalchemy import Engine


def sqlite_url(database: Path) -> str:
    """Return the URL of a database in a file, as SQLAlchemy writes and reads it, whatever its name holds."""
    from sqlalchemy import URL

    path = str(database.absolute())
    url = URL.create("sqlite", database=path).render_as_string(hide_password=False)
    # From a URL without a driver, MLflow makes the parent folder under its quoted name, next to the real one.
    return url if url.endswith(path) else url.replace("sqlite:", "sqlite+pysqlite:", 1)


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL, made absolute; None for another kind of URL, or a database in memory."""
    if not url.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        database = make_url(url).database
    except (ArgumentError, ValueError):
        return None
    return Path(database).absolute() if database and database != ":memory:" else None


def is_read_only(database: Path) -> bool:
    """Whether a database exists but cannot be written to: its file, or the folder in which SQLite keeps its log."""
    return database.exists() and not (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK | os.X_OK))


def read_only(database: Path, *, within_s: float = 5.0) -> sqlite3.Connection:
    """Open a database to read it; one that does not exist is not made.

    Args:
        database: The file.
        within_s: How long it is waited for while another process holds it.
    Raises:
        sqlite3.OperationalError: It cannot be opened.
    """
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=within_s)


def private_copy(database: Path, *, owner: object) -> Path:
    """Copy a database that can only be read to where it can be written: the libraries write even in order to read.

    Args:
        database: The file; what its write-ahead log holds is copied too.
        owner: When it is collected, or the process ends, the copy is removed.
    Raises:
        OSError: It cannot even be read.
    """
    folder = tempfile.TemporaryDirectory(prefix="deepcolor-read-", ignore_cleanup_errors=True)
    weakref.finalize(owner, folder.cleanup)
    copy = Path(folder.name) / database.name
    try:
        with (
            closing(read_only(database)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.OperationalError:
        # It has a log, or needs one, and none can be made next to it: so nobody is writing there now.
        for suffix in ("", "-wal"):
            part = database.with_name(database.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(part.name))
    return copy


def journal_of(database: Path) -> Literal["wal", "delete"]:
    """Return how a workspace's database keeps what is not committed yet: as its settings say, else with a write-ahead
    log wherever that works. The log's index is memory that processes share, which those on two hosts cannot.
    """
    named = read_journal(database.parent.parent)
    if named == "auto":
        return "delete" if is_network(database.parent) else "wal"
    return named


def keep_journal(engine: Engine, *, database: Path, owner: object) -> None:
    """Let readers and the writer work at the same time, and commit without waiting for the disk each time, where there
    can be a write-ahead log; elsewhere they wait for each other, and for the disk.

    With synchronous=NORMAL every commit survives a crash of the process; a power cut may lose the last few, which the
    next start repeats.

    Args:
        engine: Of the database; it may be given more than once.
        database: Its file.
        owner: When it is collected, or the process ends, the engine's connections are closed. The last connection to
            close merges the log: the database is then a single file, which can be copied by itself.
    """
    from sqlalchemy import event

    configure = _with_log if journal_of(database) == "wal" else _without_log
    if not event.contains(engine, "connect", configure):
        event.listen(engine, "connect", configure)
        engine.dispose()
    weakref.finalize(owner, engine.dispose)


def set_journal(database: Path) -> None:
    """Let every later connection keep its journal so, where the engines cannot be told of it: they wait for the disk at
    each commit, but where there is a write-ahead log readers and the writer still go on beside each other.
    """
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(database)) as connection,
    ):  # Locked: in use already.
        connection.execute(f"PRAGMA journal_mode={journal_of(database)}")


def _with_log(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _without_log(connection: Any, _: Any) -> None:
    # From one that was moved here from a local disk the log goes; while another process has it open, that one keeps it.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=DELETE")
