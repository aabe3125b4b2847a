"""A database of PostgreSQL as the place of studies: connections, who drives which study, and what happens while it is
away.

A driver holds an advisory lock of the database for as long as it lives, on a connection of its own, so that the lock
holds across hosts and is gone with its driver. Beside it stands a record:

    deepcolor_drivers   study, token, host, pid, since, beat, running

The lock says that somebody drives a study; the token says who may write to it. A driver whose connection is lost takes
the lock again, and goes on if the token is still its own: then nobody has driven the study meanwhile. What is written
is checked for the token in the same transaction, so that a driver that was cut off for so long that another one took
its place writes nothing more (docs/decisions/0025).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.printable import shown_uri
from deepcolor.search.study.held import Held, already_driven, answers, ask, reason_of
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


_SILENT_S = 60.0
"""A driver that has said nothing for so long is named so to whoever it keeps waiting."""
_LOOK_EVERY_S = 0.2
_GLANCE_S = 0.5
"""A lock that is only looked after by a clean-up is free again within this time."""
_CONNECTION: Mapping[str, str] = {
    "application_name": "deepcolor",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""What a URL does not say otherwise: a network that has gone is noticed within a minute, not after two hours."""
_SESSION: Mapping[str, int] = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "idle_in_transaction_session_timeout": 60_000,
}
"""The same for the server, which else would keep the locks and the half-done writes of a host that has gone."""
_TABLE = """
CREATE TABLE IF NOT EXISTS deepcolor_drivers (
    study text PRIMARY KEY, token text NOT NULL, host text NOT NULL, pid bigint NOT NULL, since text NOT NULL,
    beat timestamptz NOT NULL DEFAULT now(), running text NOT NULL DEFAULT '[]')"""
_RECORD = """
SELECT study, token, host, pid, since, extract(epoch FROM now() - beat), running FROM deepcolor_drivers"""
_HOLDERS = """
SELECT pid, classid::bigint, objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = 'ExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass(frozen=True)
class Record:
    """Who drives a study, as written down."""

    study: str
    token: str
    host: str
    pid: int
    since: str
    silent_s: float
    """How long ago that driver last said that it lives."""
    running: frozenset[int]

    def __str__(self) -> str:
        text = f" on {self.host} by process {self.pid} since {self.since}"
        if self.silent_s >= _SILENT_S:
            text += f" (last heard of {self.silent_s:.0f} s ago: if that host is gone, the database lets go of it soon)"
        return text


_servers: dict[tuple[str, int], Server] = {}


def server_of(workspace: Workspace) -> Server | None:
    """Return the server that keeps a workspace's studies; None where a file does.

    Raises:
        WorkspaceError: There is no driver for it.
    """
    if not workspace.on_server:
        return None
    # Connections must not be used by two processes: one that was forked makes its own.
    key = workspace.storage, os.getpid()
    if key not in _servers:
        _servers[key] = Server(workspace.storage)
    return _servers[key]


class Server:
    """One database on a server; every method that asks it raises WorkspaceError where it does not answer."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Args:
            url: Of the database, as SQLAlchemy reads it.
        Raises:
            WorkspaceError: There is no driver for it.
        """
        if find_spec("psycopg") is None:
            raise WorkspaceError(
                f"storage: PostgreSQL needs the package psycopg; got an environment without it ({shown_uri(url)}). "
                "Install it with: pip install 'deepcolor[postgres]'"
            )
        self.url = url
        self.held: dict[str, Held] = {}
        """The studies that this process drives."""
        self._quiet: Connection | None = None
        self._quiet_users = 0

    @property
    def shown(self) -> str:
        """Its URL, without a password."""
        return shown_uri(self.url)

    @property
    def options(self) -> dict[str, str]:
        """How to connect, beside what the URL says."""
        from sqlalchemy import make_url

        named = make_url(self.url).query
        return {name: value for name, value in _CONNECTION.items() if name not in named}

    def exists(self) -> bool:
        """Whether studies have been kept there yet."""
        with self.asked() as connection:
            return self._has(connection, "studies")

    @contextmanager
    def asked(self) -> Iterator[Connection]:
        """Ask it something; the transaction is committed at the end."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def sole(self) -> Iterator[None]:
        """Be the only one who sets up tables; waits for others."""
        with self.quietly() as connection:
            with self._translated():
                ask(connection, "SELECT pg_advisory_lock(:key)", key=(key := self.key_of("tables")))
            try:
                yield
            finally:
                with suppress(Exception):  # A connection that is lost has let it go.
                    ask(connection, "SELECT pg_advisory_unlock(:key)", key=key)

    def refused(self, error: BaseException) -> WorkspaceError:
        """Say in one line why it does not answer, or does not do what it was asked."""
        reason, rule, advice = reason_of(error), "must answer", "Start it, or correct --storage."
        if "password" in reason or "authentication" in reason:
            advice = "Set PGPASSWORD, or add a line for it to ~/.pgpass."
        elif "does not exist" in reason:
            advice = "Create it (createdb, createuser), or correct --storage."
        elif "permission denied" in reason:
            advice = "Let this user write there (GRANT), or name another one in --storage."
        elif "read-only" in reason:
            rule = "must take what is written"
            advice = "Name the primary server in --storage where this is its standby, or end its being read-only."
        elif "No space left" in reason:
            rule, advice = "must have room", "Free disk space on its host, then run the same command again."
        return WorkspaceError(f"studies database: {self.shown} {rule}; got {reason}. {advice}")

    # --- who drives what

    def is_held(self, study: str) -> bool:
        """Whether a driver, on any host, is at work on a study."""
        with self.asked() as connection:
            return self.holder(connection, study) is not None

    def running(self, study: str) -> frozenset[int]:
        """Numbers of the trials that a living driver is training."""
        with self.asked() as connection:
            if self.holder(connection, study) is None:
                return frozenset()
            record = self.record(connection, study)
        return record.running if record else frozenset()

    def drivers(self) -> list[Record]:
        """All that are at work in this database."""
        with self.asked() as connection:
            held = self._held_keys(connection)
            return [one for one in self._records(connection) if self.key_of("study", one.study) in held]

    @contextmanager
    def driving(self, study: str, *, wait_s: float, say: Callable[[str], None]) -> Iterator[Held]:
        """Be a study's one driver.

        Args:
            study: Its name.
            wait_s: How long to wait for a database that has gone away.
            say: Told in a line when it has, and when it is back; in the thread that drives.
        Raises:
            StudyError: Somebody else drives it; the message names them.
        """
        held = Held(self, study, wait_s=wait_s, say=say)
        held.take()
        self.held[study] = held
        try:
            yield held
        finally:
            if self.held.get(study) is held:
                del self.held[study]
            held.release()

    @contextmanager
    def undriven(self, study: str) -> Iterator[None]:
        """Keep drivers from a study, without being one.

        Raises:
            StudyError: A driver is at work on it; the message names it.
        """
        with self.quietly() as connection:
            key = self.key_of("study", study)
            with self._translated():
                if not self.tries(connection, key):
                    raise self.driven(connection, study)
            try:
                yield
            finally:
                with suppress(Exception):
                    ask(connection, "SELECT pg_advisory_unlock(:key)", key=key)

    @contextmanager
    def sharing(self, *, between: Callable[[], None], on_wait: Callable[[], None]) -> Iterator[None]:
        """Keep all trainings where they are, with others who need that; waits while some are being removed."""
        with self.quietly() as connection:
            told, key = False, self.key_of("store")
            while not self._shares(connection, key):
                if not told:
                    on_wait()
                told = True
                time.sleep(_LOOK_EVERY_S)
                between()
            try:
                yield
            finally:
                with suppress(Exception):
                    ask(connection, "SELECT pg_advisory_unlock_shared(:key)", key=key)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the trainings exclusively; gives False where somebody needs them."""
        with self.quietly() as connection:
            with self._translated():
                got = self.tries(connection, key := self.key_of("store"))
            try:
                yield got
            finally:
                if got:
                    with suppress(Exception):
                        ask(connection, "SELECT pg_advisory_unlock(:key)", key=key)

    # --- for `Held`

    def connect(self) -> Connection:
        """Open a connection of its own, on which every statement is committed at once."""
        return self._apart.connect()

    def make_table(self) -> None:
        """Make the table of drivers, where it is missing."""
        with self.asked() as connection:
            if self._has(connection, "deepcolor_drivers"):
                return
        with self.sole(), self.asked() as connection:
            connection.exec_driver_sql(_TABLE)

    def _shares(self, connection: Connection, key: int) -> bool:
        with self._translated():
            return bool(ask(connection, "SELECT pg_try_advisory_lock_shared(:key)", key=key))

    def tries(self, connection: Connection, key: int) -> bool:
        """Take a lock exclusively, unless somebody else keeps it."""
        end = time.monotonic() + _GLANCE_S
        while not ask(connection, "SELECT pg_try_advisory_lock(:key)", key=key):
            if time.monotonic() >= end:
                return False
            time.sleep(_GLANCE_S / 10)
        return True

    def driven(self, connection: Connection, study: str) -> StudyError:
        """The refusal of a second driver; it names the first."""
        return already_driven(study, str(self.record(connection, study) or ""))

    def record(self, connection: Connection, study: str) -> Record | None:
        return next((one for one in self._records(connection) if one.study == study), None)

    def _records(self, connection: Connection) -> list[Record]:
        if not self._has(connection, "deepcolor_drivers"):
            return []
        rows = connection.exec_driver_sql(_RECORD).all()
        return [
            Record(study, token, host, pid, since, float(silent_s), frozenset(json.loads(running)))
            for study, token, host, pid, since, silent_s, running in rows
        ]

    def _held_keys(self, connection: Connection) -> dict[int, int]:
        """Every lock that is held exclusively in this database, and the server's process that holds it."""
        rows = connection.exec_driver_sql(_HOLDERS).all()
        return {_signed((high << 32) | low): pid for pid, high, low in rows}

    def holder(self, connection: Connection, study: str) -> int | None:
        return self._held_keys(connection).get(self.key_of("study", study))

    def _has(self, connection: Connection, table: str) -> bool:
        return bool(ask(connection, "SELECT to_regclass(:name) IS NOT NULL", name=table))

    @contextmanager
    def quietly(self) -> Iterator[Connection]:
        """Use the one connection that holds whatever is not held by a driver."""
        self._quiet_users += 1
        try:
            with self._translated():
                if self._quiet is None or not answers(self._quiet):
                    self._quiet = self.connect()  # One that was cut holds nothing any more.
            yield self._quiet
        finally:
            self._quiet_users -= 1
            if self._quiet_users == 0 and self._quiet is not None:
                connection, self._quiet = self._quiet, None
                with suppress(Exception):
                    connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            raise self.refused(error) from error

    def key_of(self, kind: str, name: str = "") -> int:
        """The number of a lock. Two schemas of one database hold different studies."""
        words = "\0".join(("deepcolor", self._schema, kind, name))
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big", signed=True)

    @cached_property
    def _schema(self) -> str:
        with self.asked() as connection:
            return str(ask(connection, "SELECT current_schema()"))

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine

        return watched(create_engine(self.url, pool_size=1, pool_pre_ping=True, connect_args=self.options))

    @cached_property
    def _apart(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=self.options)
        return watched(engine)


def watched(engine: Engine) -> Engine:
    """Let the server give up each session of an engine at whose other end nobody is any more."""
    from sqlalchemy import event

    event.listen(engine, "connect", _settle)
    return engine


def _settle(connection: Any, _: Any) -> None:
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in _SESSION.items()))
    connection.commit()  # Else it would be undone with the transaction that it began.


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
