"""A study's lock in the hands of its one driver, where a database server keeps it: what is written while the server is
away, and how the lock is taken again.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.printable import without_secrets

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from deepcolor.search.study.server import Server

T = TypeVar("T")

BEAT_S = 5.0
"""A driver says so often that it lives, and which trials it is training."""
_AGAIN_S = 0.5
"""A database that is away is tried again so often."""
_GOODBYE_S = 2.0
_AWAY = frozenset({"57P01", "57P02", "57P03", "53300", "40001", "40P01"})
"""Shut down, crashed, starting up, too many clients; and two that ask to be tried again."""
_REFUSING = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
)

_PUT = """
INSERT INTO deepcolor_drivers (study, token, host, pid, since) VALUES (:study, :token, :host, :pid, :since)
ON CONFLICT (study) DO UPDATE SET token = excluded.token, host = excluded.host, pid = excluded.pid,
    since = excluded.since, beat = now(), running = '[]'"""
_BEAT = "UPDATE deepcolor_drivers SET beat = now(), running = :running WHERE study = :study AND token = :token"
_REMOVE = "DELETE FROM deepcolor_drivers WHERE study = :study AND token = :token"
_TOKEN = "SELECT token FROM deepcolor_drivers WHERE study = :study"  # noqa: S105  # of a driver, and no secret


class _Busy(Exception):  # nothing is wrong: it is tried again
    """A lock is held for a moment by somebody who will let it go."""


class Held:
    """A study's lock in the hands of its one driver, taken again where it is lost with its connection."""

    def __init__(self, server: Server, study: str, *, wait_s: float, say: Callable[[str], None]) -> None:
        """See `Server.driving`."""
        self._server = server
        self._study = study
        self._wait_s = wait_s
        self._say = say
        self._token = uuid.uuid4().hex
        self._running = "[]"
        self._mutex = threading.RLock()
        self._connection: Connection | None = None
        self._backend = 0
        """The server's process behind the connection."""
        self._lines: SimpleQueue[str] = SimpleQueue()
        """What is to be said, by the thread that drives."""
        self._away_since: float | None = None
        self._lost: StudyError | WorkspaceError | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._beating = threading.Thread(target=self._beat, name="deepcolor-heartbeat", daemon=True)

    def take(self) -> None:
        """Take the lock, and write down who has it.

        Raises:
            StudyError: Somebody else has it; the message names them.
        """
        from sqlalchemy.exc import SQLAlchemyError

        self._server.make_table()
        try:
            self._connection = self._locked()
            _do(self._connection, _PUT, study=self._study, token=self._token, **this_process())
        except SQLAlchemyError as error:
            raise self._server.refused(error) from error
        self._beating.start()

    def release(self) -> None:
        """Let it go; a database that is away has let it go by itself."""
        self._ended.set()
        self._wake.set()
        if self._beating.is_alive():
            self._beating.join(_GOODBYE_S)
        if not self._mutex.acquire(timeout=_GOODBYE_S):
            return  # A network that is cut holds its connection; the process's end closes it.
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):
                    _do(connection, _REMOVE, study=self._study, token=self._token)
                with suppress(Exception):
                    connection.close()
        finally:
            self._mutex.release()

    def say(self, running: Collection[int]) -> None:
        """Let readers know which trials are being trained; nobody waits for that."""
        self._running = json.dumps(sorted(running))
        self._wake.set()

    def fence(self, connection: Connection) -> None:
        """Let a transaction write only while this is the study's driver; another one waits until it has ended.

        Raises:
            StudyError: Another driver has taken the study meanwhile.
        """
        if ask(connection, f"{_TOKEN} FOR SHARE", study=self._study) != self._token:
            raise self._lose()

    def persist(self, act: Callable[[bool], T]) -> T:
        """Do something with the database, again and again while it is away.

        Args:
            act: Does it; given whether this is another try after one of which nobody knows whether it was committed.
        Raises:
            StudyError: Another driver has taken the study meanwhile.
            WorkspaceError: The database has been away for longer than one waits for it.
        """
        again, began = False, time.monotonic()
        while True:
            self.tell()
            try:
                if again:
                    self._restore()
                done = act(again)
            except Exception as error:
                if not is_away(error):
                    raise
                if not again:
                    began = time.monotonic()
                self._notice_away(error)
                if time.monotonic() - began >= self._wait_s:
                    self._lost = self._gone(error)
                    raise self._lost from error
                again = True
                time.sleep(min(_AGAIN_S, self._wait_s))
            else:
                if again:
                    self._notice_back()
                    self.tell()
                return done

    def _gone(self, error: BaseException) -> WorkspaceError:
        return WorkspaceError(
            f"studies database: {self._server.shown} must answer; got nothing for {self._wait_s:g} s "
            f"({reason_of(error)}). Start it, then run the same command again: it continues where it stopped."
        )

    def _locked(self) -> Connection:
        """Open a connection that holds the lock.

        Raises:
            StudyError: Somebody else has it.
            _Busy: Trainings are being removed.
        """
        connection = self._server.connect()
        try:
            self._lock(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _lock(self, connection: Connection) -> None:
        server = self._server
        if not ask(connection, "SELECT pg_try_advisory_lock_shared(:key)", key=server.key_of("store")):
            raise _Busy("trainings are being removed")
        if not server.tries(connection, server.key_of("study", self._study)):
            raise server.driven(connection, self._study)
        self._backend = int(ask(connection, "SELECT pg_backend_pid()"))

    def _restore(self) -> None:
        """Take the lock again where its connection is lost, and make sure that nobody has had it meanwhile.

        Raises:
            StudyError: Somebody has.
            _Busy: Not yet.
        """
        with self._mutex:
            if self._answers():
                return
            before, self._connection = self._backend, None
            try:
                connection = self._locked()
            except StudyError:
                with self._server.asked() as asked:
                    record, holder = self._server.record(asked, self._study), self._server.holder(asked, self._study)
                    if record is None or record.token != self._token:
                        raise self._lose() from None
                    if holder == before:  # Ours: the server has not noticed yet that nobody is there any more.
                        ask(asked, "SELECT pg_terminate_backend(:pid)", pid=before)
                raise _Busy("the lock is held for a moment") from None
            if ask(connection, _TOKEN, study=self._study) != self._token:
                connection.close()
                raise self._lose()
            self._connection = connection

    def _answers(self) -> bool:
        return self._connection is not None and answers(self._connection)

    def _lose(self) -> StudyError:
        lost = StudyError(
            f"study: {self._study!r} must have one driver; got another one that took it while the database was away. "
            "Nothing more is written from here. Wait for the other one, or stop it there with Ctrl-C."
        )
        self._lost = lost
        return lost

    def tell(self) -> None:
        """Say what has become of the database, in the thread that drives.

        Raises:
            StudyError: Another driver has taken the study meanwhile.
            WorkspaceError: The database has been away for longer than one waits for it.
        """
        with suppress(Empty):
            while True:
                self._say(self._lines.get_nowait())
        if self._lost is not None:
            raise self._lost

    def _notice_away(self, error: BaseException) -> None:
        with self._mutex:
            if self._away_since is None:
                self._away_since = time.monotonic()
                self._lines.put(
                    f"the studies database does not answer ({reason_of(error)}); what is being trained goes on, and "
                    f"waits for it for up to {self._wait_s:g} s"
                )

    def _notice_back(self) -> None:
        with self._mutex:
            if self._away_since is not None:
                away_s, self._away_since = time.monotonic() - self._away_since, None
                self._lines.put(f"the studies database is back after {away_s:.0f} s; nothing is lost")

    # --- in a thread

    def _beat(self) -> None:
        """Say that this driver lives, and what it trains; take its lock again when the connection is lost."""
        while not self._ended.is_set():
            self._wake.wait(BEAT_S)
            self._wake.clear()
            if self._ended.is_set() or self._lost is not None:
                return
            try:
                self._say_alive()
            except StudyError:
                return
            except Exception as error:  # noqa: BLE001  # it is tried again; what writes finds out by itself
                self._notice_away(error)
                self._ended.wait(_AGAIN_S)
                self._wake.set()

    def _say_alive(self) -> None:
        with self._mutex:
            if self._ended.is_set():
                return
            if self._connection is None or self._away_since is not None:
                self._restore()
                self._notice_back()
            assert self._connection is not None
            try:
                said = _do(self._connection, _BEAT, study=self._study, token=self._token, running=self._running)
            except Exception:
                self._answers()
                raise
            if said == 0:
                raise self._lose()


def this_process() -> dict[str, Any]:
    """Say who we are, for whoever we keep waiting."""
    return {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def already_driven(study: str, by: str) -> StudyError:
    """The refusal of a second driver.

    Args:
        study: Its name.
        by: Who the first one is: " on HOST by process PID since WHEN"; empty where that is not known.
    """
    return StudyError(f"study: {study!r} is already being run{by}. Wait for it, or stop it there with Ctrl-C.")


def is_away(error: BaseException) -> bool:
    """Whether something failed because the database was away, or asks to be tried again."""
    from sqlalchemy.exc import DBAPIError, OperationalError

    if isinstance(error, _Busy):
        return True
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        cause = cause.__cause__
    if cause is None:
        return False
    state = getattr(cause.orig, "sqlstate", None)
    if state is not None:
        return state in _AWAY or state.startswith("08")
    said = reason_of(cause)
    return cause.connection_invalidated or (
        isinstance(cause, OperationalError) and not any(sign in said for sign in _REFUSING)
    )


def reason_of(error: BaseException) -> str:
    """What a database said, in one line and without secrets."""
    cause: BaseException = error
    while getattr(cause, "orig", None) is None and cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines() or [type(cause).__name__]
    # Of several addresses that were tried, the first says it.
    said = next((line for line in lines if line.strip() and "Multiple connection attempts" not in line), lines[0])
    said = " ".join(said.removeprefix("- ").split())
    for prefix in ("connection failed: ", "connection is bad: "):
        said = said.removeprefix(prefix)
    return without_secrets(said).rstrip(".")


def answers(connection: Connection) -> bool:
    """Whether a connection is alive; one that is not is closed, and holds nothing any more."""
    if connection.closed or connection.invalidated:
        return False
    try:
        ask(connection, "SELECT 1")
    except Exception:  # noqa: BLE001  # whatever it is
        with suppress(Exception):
            connection.close()
        return False
    return True


def ask(connection: Connection, statement: str, **values: Any) -> Any:
    """Return the first value of a statement's first row."""
    from sqlalchemy import text

    return connection.execute(text(statement), values).scalar()


def _do(connection: Connection, statement: str, **values: Any) -> int:
    from sqlalchemy import text

    return connection.execute(text(statement), values).rowcount
