"""The stack's PostgreSQL: set up once, with the roles and databases of `databases.sql`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from native.part import check_free, last_words
from native.settings import HERE, Settings, StackError

OWNER = "postgres"
"""The role that owns the server, and the user of the machine that it runs as where root starts it."""
_WHO_MAY_CONNECT = "host all all all scram-sha-256\n"
"""From wherever `BIND` lets them: everybody is asked for a password."""


class Database:
    """A PostgreSQL server, which outlives who has started it."""

    name = "database"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.state / "database"
        self.log = settings.state / "logs" / "database.log"

    @property
    def at(self) -> str:
        return f" at {self._settings.reached_at}:{self._settings['DATABASE_PORT']}"

    @property
    def pid(self) -> int | None:
        if not self._is_set_up or self._run("pg_ctl", "status", "-D", str(self._data), check=False).returncode:
            return None
        return int((self._data / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def answers(self) -> bool:
        return self._run("pg_isready", *self._place, "-t", "3", "-q", check=False).returncode == 0

    def start(self) -> None:
        """Start the server, wait for it, and make what is missing in it."""
        check_free(self._settings, "DATABASE_PORT")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self._is_set_up:
            self._set_up()
        self.log.touch()
        _give(self.log)
        # Nobody connects by a socket: everybody is asked for a password.
        options = f"-p {self._settings['DATABASE_PORT']} -k '' -c listen_addresses={self._settings['BIND']}"
        self._run("pg_ctl", "start", "-D", str(self._data), "-w", "-s", "-l", str(self.log), "-o", options)
        self._execute(HERE / "databases.sql")

    def stop(self) -> None:
        """Stop the server; those who are connected are cut off."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-w", "-s", "-m", "fast")

    @property
    def _is_set_up(self) -> bool:
        return self._data.is_dir()

    @property
    def _place(self) -> tuple[str, ...]:
        return ("-h", self._settings.reached_at, "-p", self._settings["DATABASE_PORT"])

    def _set_up(self) -> None:
        fresh = self._data.with_name("database.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as password:
            password.write(self._settings.secret("database-owner"))
            password.flush()
            _give(fresh, Path(password.name))
            words = ["-D", str(fresh), "-U", OWNER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
            self._run("initdb", *words, "--pwfile", password.name)
        (fresh / "pg_hba.conf").write_text(_WHO_MAY_CONNECT, encoding="utf-8")
        fresh.rename(self._data)

    def _execute(self, script: Path) -> None:
        secret = {"PGPASSWORD": self._settings.secret("database-owner"), "SECRETS": str(self._settings.secrets)}
        words = ["-X", "-q", *self._place, "-U", OWNER, "-d", "postgres", "-f", str(script)]
        self._run("psql", *words, environment=secret, as_owner=False)

    def _run(
        self,
        program: str,
        *words: str,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        as_owner: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        user = {"user": OWNER, "group": OWNER, "extra_groups": []} if as_owner and os.geteuid() == 0 else {}
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:  # The server keeps what it is given open.
            done: subprocess.CompletedProcess[str] = subprocess.run(
                [_programs() / program, *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
                env=os.environ | (environment or {}),
                cwd="/",
                check=False,
                **user,  # type: ignore[call-overload]
            )
            said.seek(0)
            text = " ".join(said.read().split())
        if check and done.returncode:
            reason = text or last_words(self.log)
            raise StackError(f"database: {program} must succeed; got exit code {done.returncode}: {reason}")
        return done


def _programs() -> Path:
    """The folder of PostgreSQL's programs, the newest where there are several."""
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda file: _number(file.parent.parent.name))
    found = there[-1] if there else Path(shutil.which("pg_ctl") or "")
    if not found.is_file():
        raise StackError("database: PostgreSQL must be installed; got no pg_ctl. Debian: apt install postgresql")
    if os.geteuid() == 0:
        _owner()
    return found.resolve().parent


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _owner() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(OWNER)
    except KeyError as error:
        raise StackError(f"database: root must start it as another user; got no user {OWNER}. Create it.") from error


def _give(*files: Path) -> None:
    """Let the server's user own files; needed where root starts it."""
    if os.geteuid() == 0:
        for file in files:
            shutil.chown(file, _owner().pw_uid, _owner().pw_gid)
