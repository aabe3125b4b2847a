"""Where studies are kept: a file of SQLite, or a database of PostgreSQL; opened by one door for both."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import optuna
from optuna.storages import RDBStorage

from deepcolor.errors import WorkspaceError
from deepcolor.search.study.optuna_private import engine_of
from deepcolor.search.study.server import Server, server_of, watched
from deepcolor.sqlite import is_read_only, keep_journal, private_copy, set_journal, sqlite_url
from deepcolor.waiting import locked
from deepcolor.workspace import Workspace

LOCK_WAIT_S = 120
"""How long a writer waits for a file that another process holds."""


class Database(Protocol):
    """Keeps studies."""

    def exists(self) -> bool:
        """Whether studies have been kept there yet. Nothing is created."""

    def open(self, *, any_version: bool = False) -> RDBStorage:
        """Open it, and set it up where that has not been done.

        Args:
            any_version: Also where another version of Optuna has set it up, to bring it up to this one.
        Raises:
            WorkspaceError: It cannot be opened, or does not answer.
        """


def database_of(workspace: Workspace) -> Database:
    """Return what keeps a workspace's studies.

    Raises:
        WorkspaceError: It names none that they can be kept in.
    """
    server = server_of(workspace)
    return ServerDatabase(server) if server is not None else FileDatabase(workspace)


class FileDatabase:
    """A file of SQLite."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._file = workspace.optuna_db

    def exists(self) -> bool:
        return self._file.exists()

    def open(self, *, any_version: bool = False) -> RDBStorage:
        from sqlalchemy.exc import SQLAlchemyError

        quieten()
        try:
            if is_read_only(self._file):
                return self._opened(private_copy(self._file, owner=self), any_version=any_version)
            with self._creation_lock():
                return self._opened(self._file, any_version=any_version)
        except RuntimeError as error:
            raise _of_another_optuna(str(self._file)) from error
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", error))
            raise WorkspaceError(
                f"studies database: cannot be opened; {reason} ({self._file}). "
                "Fix the folder's permissions, or choose another --workspace."
            ) from error

    def _opened(self, file: Path, *, any_version: bool) -> RDBStorage:
        storage = RDBStorage(
            sqlite_url(file),
            engine_kwargs={"connect_args": {"timeout": LOCK_WAIT_S}},
            skip_compatibility_check=any_version,
        )
        if engine := engine_of(storage):
            keep_journal(engine, database=file, owner=storage)
        else:
            set_journal(file)
        return storage

    @contextmanager
    def _creation_lock(self) -> Iterator[None]:
        # Several processes that set the database up at once would each create its tables.
        self._workspace.create()
        until = "another process to open the studies database"
        with locked(self._workspace.studies / ".optuna.lock", until=until, timeout_s=LOCK_WAIT_S):
            yield


class ServerDatabase:
    """A database of PostgreSQL."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exists = False

    def exists(self) -> bool:
        self._exists = self._exists or self._server.exists()  # What is there stays.
        return self._exists

    def open(self, *, any_version: bool = False) -> RDBStorage:
        from sqlalchemy.exc import SQLAlchemyError

        quieten()
        try:
            if self.exists():
                return self._opened(made=True, any_version=any_version)
            with self._server.sole():
                return self._opened(made=False, any_version=any_version)
        except RuntimeError as error:
            raise _of_another_optuna(self._server.shown) from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise self._server.refused(error) from error

    def _opened(self, *, made: bool, any_version: bool) -> RDBStorage:
        # Optuna takes braces in a URL for places to fill in.
        url = self._server.url.replace("{", "{{").replace("}", "}}")
        kwargs = {"pool_pre_ping": True, "connect_args": self._server.options}
        storage = RDBStorage(url, engine_kwargs=kwargs, skip_compatibility_check=any_version, skip_table_creation=made)
        if engine := engine_of(storage):
            watched(engine).dispose()  # The one connection that there is has not been told.
        return storage


def upgrade(database: Database, *, file: Path | None) -> tuple[str, str, Path | None]:
    """Bring a database up to this version of Optuna.

    Args:
        database: Nobody may be working with it.
        file: Where that is one, its file, of which a copy is kept.
    Returns:
        Its version before, and now, and the copy if one was needed.
    Raises:
        WorkspaceError: A later version of Optuna has set it up; or it does not answer.
    """
    storage = database.open(any_version=True)
    before, now = storage.get_current_version(), storage.get_head_version()
    if before == now:
        return before, now, None
    if before not in storage.get_all_versions():
        raise WorkspaceError(
            f"studies database: must be of a version that Optuna {optuna.__version__} knows; got {before}, a later "
            "one. Install the version of Optuna that made it."
        )
    backup = None
    if file is not None:
        backup = file.with_name(f"{file.name}.{before}")
        with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(backup)) as new:
            old.backup(new)
    # Without a handler Optuna's migration sets up logging anew, and talks.
    logging.getLogger().addHandler(logging.NullHandler())
    storage.upgrade()
    return before, now, backup


def quieten() -> None:
    """Let nobody but deepcolor say what is wrong."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A second Ctrl-C raises in the middle of a query, and the pool prints the errors it meets while it cleans up.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def _of_another_optuna(shown: str) -> WorkspaceError:
    return WorkspaceError(
        f"studies database: must be of this version of Optuna, {optuna.__version__}; got one that another version has "
        f"set up ({shown}). Bring it up to this one with `deepcolor storage upgrade`, which cannot be undone; or use "
        f"the version that made it."
    )
