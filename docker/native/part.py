"""A part of the stack that is one command: how it is started, known again, and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from answers import answers

from native.settings import Settings, StackError

_LOOK_EVERY_S = 0.1
_OURS = ("PG", "MLFLOW_", "DEEPCOLOR_", "DASK_")
"""Beginnings of variables that a part gets from the stack alone: no worker inherits a password from who starts it."""


class Part(Protocol):
    """One part of the stack."""

    @property
    def name(self) -> str: ...

    @property
    def at(self) -> str:
        """Where it is, for people: ` at ADDRESS`; empty where nobody needs to know."""

    @property
    def log(self) -> Path: ...

    @property
    def pid(self) -> int | None:
        """Its process; None where it does not run."""

    def answers(self) -> bool: ...

    def start(self) -> None:
        """Start it, without waiting until it answers; raise StackError where it cannot be."""

    def stop(self) -> None: ...


class Process:
    """A part that is a process of this machine, in a session of its own, and outlives who has started it."""

    def __init__(
        self,
        name: str,
        *,
        settings: Settings,
        command: Sequence[str],
        environment: Mapping[str, str],
        page: str,
        text: str = "",
        port: str = "",
        patience_s: float = 20.0,
    ) -> None:
        """Start nothing.

        Args:
            name: Of the part.
            settings: Of the stack.
            command: What runs.
            environment: What it is told beside this process's environment; may hold passwords.
            page: Answers as soon as the part is well.
            text: What the page holds then, with `{pid}` in the place of the process.
            port: The setting that names its port.
            patience_s: Between being asked to end and being killed.
        """
        self.name = name
        self.log = settings.state / "logs" / f"{name}.log"
        self._settings = settings
        self._command = command
        self._environment = environment
        self._page, self._text = page, text
        self._port = port
        self._patience_s = patience_s
        self._record = settings.state / "run" / f"{name}.json"

    @property
    def at(self) -> str:
        return f" at {self._settings.reached_at}:{self._settings[self._port]}" if self._port else ""

    @property
    def pid(self) -> int | None:
        try:
            pid, born = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return int(pid) if born == _born(pid) else None

    def answers(self) -> bool:
        return answers(self._page, text=self._text.format(pid=self.pid))

    def start(self) -> None:
        if self._port:
            check_free(self._settings, self._port)
        for file in (self.log, self._record):
            file.parent.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited, "PYTHONUNBUFFERED": "1", **self._environment},
                cwd=self._settings.state,
                start_new_session=True,
            )
        self._record.write_text(json.dumps([process.pid, _born(process.pid)]), encoding="utf-8")

    def stop(self) -> None:
        """Ask it to end, and, when that takes too long, kill it with all that it has started."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + self._patience_s
            while self.pid is not None and time.monotonic() < deadline:
                time.sleep(_LOOK_EVERY_S)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # The session may outlive its leader.
        self._record.unlink(missing_ok=True)


def check_free(settings: Settings, key: str) -> None:
    """Raise StackError where somebody else listens on the port that a setting names."""
    family = socket.AF_INET6 if ":" in settings["BIND"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings["BIND"], settings.count(key)))
        except OSError as error:
            place = f"{settings['BIND']}:{settings[key]}"
            raise StackError(
                f"{key}: must be free to listen on; got {place} ({error.strerror}; {settings.file}). Choose another "
                "port, or end what listens there."
            ) from error


def last_words(log: Path) -> str:
    """The last line of a log, for an error."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"its last words: {lines[-1][:200]} ({log})" if lines else f"it has said nothing ({log})"


def _born(pid: int) -> str:
    """When a process started, by which it is told from a later one of the same number; empty where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
