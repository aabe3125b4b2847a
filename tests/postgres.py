"""A real PostgreSQL for the tests: one server that all of them share, and others that can be stopped and restarted.

A server is set up once for all test processes, with Optuna's tables in a template; a test's database is a copy of it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepcolor.search.study.server import server_of
from deepcolor.search.study.storage import StudyStorage
from deepcolor.workspace import Workspace
from tests.needs import POSTGRESQL
from tests.shared import shared

USER, PASSWORD = "ann", "correct horse"
TEMPLATE = "template_studies"
_HBA = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
_QUICK = (
    "-c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=16MB -c listen_addresses=127.0.0.1"
)


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None where it is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return None
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "")]
    return found[-1].parent if found[-1].is_file() else None


def needed() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test where there are none, except in CI."""
    found = programs()
    if found is None:
        POSTGRESQL.lacking()
    return found


@dataclass
class Postgres:
    """A server on a socket, and on a port, of its own."""

    programs: Path
    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """The URL of a database through the socket, where nobody is asked for a password."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}&port={self.port}"

    def by_port(self, database: str, *, user: str = USER, password: str | None = None) -> str:
        """The URL of a database through the port, where a password is asked for."""
        secret = "" if password is None else f":{password}"
        return f"postgresql+psycopg://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        log = self.folder / "log"
        options = f"{_QUICK} -p {self.port} -k {self.folder}"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-l", str(log), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-s", "-m", mode, "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def end_with(self, pid: int) -> None:
        """Let the server end, and its folder be removed, when a process ends, in whatever way."""
        stop = f"{self.programs}/pg_ctl -D {self.data} -s -m immediate stop"
        line = f"while [ -d /proc/{pid} ]; do sleep 0.5; done; {stop}; rm -rf {self.folder}"
        out = subprocess.DEVNULL
        subprocess.Popen(
            ["/bin/sh", "-c", line],
            stdin=out,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            **_as_its_user(),
        )

    def execute(self, statement: str, *, database: str = "postgres") -> list[Any]:
        """Execute a statement as the server's owner, outside of a transaction."""
        import psycopg

        address = f"host={self.folder} port={self.port} user=postgres dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, *, bare: bool = False) -> str:
        """Make a database with Optuna's tables, or a bare one, and return its name."""
        name = f"studies_{uuid.uuid4().hex[:12]}"
        template = "template1" if bare else TEMPLATE
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def new_url(self, *, bare: bool = False) -> str:
        return self.url(self.new_database(bare=bare))

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.programs / program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            check=False,
            **_as_its_user(),
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


def shared_postgres(factory: pytest.TempPathFactory, programs: Path) -> Postgres:
    """Return the server that all test processes share; nobody may stop it."""

    def make(folder: Path) -> None:
        server = _new(programs)
        server._run("initdb", "-D", str(server.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        (server.data / "pg_hba.conf").write_text(_HBA)
        server.start()
        server.end_with(_session())
        server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        server.execute(f"CREATE DATABASE {TEMPLATE} OWNER {USER}")
        template = Workspace.at(folder / "workspace", storage=server.url(TEMPLATE, user=USER))
        storage = StudyStorage(template)
        storage._storage.engine.dispose()
        kept = server_of(template)
        assert kept is not None
        kept.make_table()
        kept._engine.dispose()  # Nobody may be connected to a template.
        (folder / "server").write_text(f"{server.folder}\n{server.port}\n")

    where, port = (shared(factory, "postgres", make) / "server").read_text().split()
    return Postgres(programs, Path(where), int(port))


def own_postgres(like: Postgres) -> Postgres:
    """Return a server of one's own, started, with the same templates; it ends with the tests."""
    server = _new(like.programs)
    like.execute("CHECKPOINT")
    words = ["-h", str(like.folder), "-p", str(like.port), "-U", "postgres", "-D", str(server.data), "-c", "fast", "-N"]
    server._run("pg_basebackup", *words)
    server.start()
    server.end_with(_session())
    return server


def _new(programs: Path) -> Postgres:
    # Not below pytest's folder: its owner alone may look in there, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="dc-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Postgres(programs, folder, int(free.getsockname()[1]))


def _as_its_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if getpass.getuser() == "root" else {}


def _session() -> int:
    """The process whose end is the end of all tests."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def kill_backends(server: Postgres, database: str, *, but: int = 0) -> None:
    """Cut the connections to a database, as a broken network or an administrator does; all but that of one session."""
    those = f"datname = '{database}' AND pid <> {but}"
    server.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {those}")
