"""How the workspace's SQLite databases are kept and named: with a write-ahead log while they are in use, as a single
file afterwards; read from a private copy where nothing can be written.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
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


def use_write_ahead_log(engine: Engine, *, owner: object) -> None:
    """Let readers and the writer work at the same time, and commit without waiting for the disk each time.

    With synchronous=NORMAL every commit survives a crash of the process; a power cut may lose the last few, which the
    next start repeats.

    Args:
        engine: A database in a file; it may be given more than once.
        owner: When it is collected, or the process ends, the engine's connections are closed. The last connection to
            close merges the log: the database is then a single file, which can be copied by itself.
    """
    from sqlalchemy import event

    if not event.contains(engine, "connect", _configure):
        event.listen(engine, "connect", _configure)
        engine.dispose()
    weakref.finalize(owner, engine.dispose)


def keep_write_ahead_log(database: Path) -> None:
    """Let every later connection have a write-ahead log, where the engines cannot be told of it: they wait for the disk
    at each commit, but readers and the writer still go on beside each other.
    """
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(database)) as connection,
    ):  # Locked: in use already.
        connection.execute("PRAGMA journal_mode=WAL")


def _configure(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
