"""The processes of this machine, as /proc shows them, and one that need not import anything to start."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deepcolor.printable import environment_of_child
from deepcolor.tracking import writer

WAIT_S = 300
"""Longest wait for what must come; only a failing test ever waits that long."""


def descendants(pid: int) -> list[int]:
    """The processes below another one, including their children."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


launch_writer = writer._launch
"""How the product starts that process: with nothing imported yet."""


class Forked:
    """A process forked from the tests' server, handled like a `Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("deepcolor", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class ForkedWriter:
    """The process that writes to MLflow, forked from the tests' server, which has imported it; like a `Popen`."""

    def __init__(self, pipe: Connection) -> None:
        self._process = multiprocessing.get_context("forkserver").Process(
            target=_serve, args=(pipe, environment_of_child()), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.is_alive():
            raise subprocess.TimeoutExpired("writer", timeout or 0.0)

    def kill(self) -> None:
        self._process.kill()


def _serve(pipe: Connection, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    writer.serve(os.dup(pipe.fileno()))
