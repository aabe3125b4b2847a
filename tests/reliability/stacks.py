"""A team's stack, started by the script that a team starts it by, with everything in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.hosts import Host
from tests.reliability.processes import wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docker" / "stack.py"
_PORTS = ("DATABASE_PORT", "MLFLOW_PORT", "SCHEDULER_PORT", "SCHEDULER_HTTP_PORT", "SERVICE_PORT")
_EXPORT = re.compile(r"export (\w+)='?([^']*)'?")


@dataclass
class Stack:
    """A stack in a folder of its own; all of it is readable there by who runs PostgreSQL, too."""

    folder: Path
    ports: dict[str, int]
    host: Host | None = None
    """Where its processes run; None: on this machine itself."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.host.address if self.host else "127.0.0.1"

    @property
    def environment(self) -> dict[str, str]:
        """What tells the commands of deepcolor's where it is, as a user sources it."""
        lines = (self.folder / "secrets" / "client.env").read_text().splitlines()
        return dict(found.groups() for line in lines if (found := _EXPORT.fullmatch(line)))  # type: ignore[misc]

    @property
    def secrets(self) -> dict[str, str]:
        """Each password by the name of its file."""
        names = [file.name for file in (self.folder / "secrets").iterdir()]
        return {
            name: (self.folder / "secrets" / name).read_text().strip()
            for name in names
            if name.startswith(("database-", "mlflow-")) or name == "service-token"
        }

    def script(self, *words: str, code: int = 0) -> str:
        """Run the script, check its exit code, and return what it said."""
        file = self.folder / "said.txt"  # A pipe would stay open in what it has started.
        with file.open("wb") as said:
            process = self._popen([sys.executable, str(SCRIPT), *words, "--env", str(self.folder / "env")], said)
            got = process.wait()
        text = file.read_text()
        assert got == code, f"exit code {got}\n{text}"
        return text

    @property
    def owner(self) -> tuple[str, ...]:
        """How `psql` reaches the server as its owner, whose password is in `PGPASSWORD` of what `run` starts."""
        return ("-h", self.address, "-p", str(self.ports["DATABASE_PORT"]), "-U", "postgres", "-q")

    def run(self, *words: str | Path) -> None:
        """Run a command where the stack is; it must succeed."""
        secret = {"PGPASSWORD": self.secrets["database-owner"]}
        with (self.folder / "run.txt").open("wb") as said:
            process = self._popen([str(word) for word in words], said, variables=secret)
        assert process.wait() == 0, (self.folder / "run.txt").read_text()

    def pid(self, part: str) -> int:
        """The process of a part, as `status` says it."""
        process = self._popen([sys.executable, str(SCRIPT), "status", part, "--env", str(self.folder / "env")], -1)
        out, _ = process.communicate()
        return int(out.split()[2])

    def start(self, *words: str, log: str, host: Host | None = None, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command of deepcolor's in a process of its own; what it says goes to a file in the folder."""
        with (self.folder / log).open("ab") as said:
            process = self._popen(
                [sys.executable, "-m", "deepcolor", *words], said, host=host, variables=self.environment | variables
            )
        self.processes.append(process)
        return process

    def text(self, log: str) -> str:
        return (self.folder / log).read_text(errors="replace")

    def ends(self, process: subprocess.Popen[bytes], code: int, *, log: str) -> str:
        """Wait for a command's end, check its exit code, and return what it said."""
        wait_until(lambda: process.poll() is not None, f"the command ends\n{self.text(log)}")
        assert process.returncode == code, f"exit code {process.returncode}\n{self.text(log)}"
        return self.text(log)

    def call(self, function: Any) -> Any:
        """Call a function from where the stack is."""
        return self.host.call(function) if self.host else function()

    def _popen(
        self, command: Sequence[str], said: Any, *, host: Host | None = None, variables: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        where = host or self.host
        path = os.pathsep.join([str(ROOT), *sys.path])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MLFLOW_"))}
        return subprocess.Popen(
            [*(where.prefix if where else ()), *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **(variables or {})},
            cwd=self.folder / "workspace",
            start_new_session=True,
        )


@contextmanager
def stack_in(folder: Path, *, host: Host | None = None, workers: int) -> Iterator[Stack]:
    """Start a stack in a folder that holds a workspace; all of it ends with the block.

    Args:
        folder: Holds `workspace`.
        host: Where it runs.
        workers: Beside the other parts.
    """
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in _PORTS}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        ports = {name: int(each.getsockname()[1]) for name, each in sockets.items()}
    lines = [f"{name}={port}" for name, port in ports.items()]
    lines += [f"WORKERS={workers}", "MLFLOW_PROCESSES=1", "WORKER_SLOTS=1", "WORKER_THREADS=1"]
    lines += ["SECRETS=secrets", "STATE=state", "WORKSPACE=workspace"]
    if host is not None:
        lines += [f"BIND={host.address}", f"MLFLOW_ALLOWED_HOSTS={host.address}:*"]
    (folder / "env").write_text("\n".join(lines) + "\n")
    stack = Stack(folder, ports, host)
    try:
        stack.script("up")
        yield stack
    finally:
        for process in stack.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stack.script("down")
