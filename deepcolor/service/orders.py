"""How a process learns what it is to run: by its standard input, since a database's password may be part of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from deepcolor.app.how import Cluster
from deepcolor.app.supply import Slots
from deepcolor.atomic import process_place
from deepcolor.errors import ExecutorError
from deepcolor.scratch import outside, started
from deepcolor.service.record import Process


@dataclass(frozen=True)
class Order:
    """What one process runs, and with what."""

    submission: str
    root: Path
    storage: str | None
    """The database of the studies, where one was named for the service."""
    tracking_uri: str
    device: str
    part: Slots
    slots: tuple[int, ...]
    """Their numbers."""
    cluster: Cluster | None
    allow_code: bool

    def as_bytes(self) -> bytes:
        """The order as a process is given it."""
        return json.dumps(asdict(self), default=str).encode()

    @classmethod
    def read(cls, content: bytes) -> Order:
        """Read what `as_bytes` has made."""
        found: dict[str, Any] = json.loads(content)
        part, cluster = found["part"], found["cluster"]
        if cluster is not None:
            files = {name: cluster[name] and Path(cluster[name]) for name in ("ca", "cert", "key")}
            cluster = Cluster(cluster["address"], **files)
        return cls(
            **{
                **found,
                "root": Path(found["root"]),
                "part": Slots(**{**part, "devices": tuple(part["devices"])}),
                "slots": tuple(found["slots"]),
                "cluster": cluster,
            }
        )


class Child(Protocol):
    """A process that was started from here; a `Popen` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Return its exit code, and forget it, if it has ended."""


def launch(order: Order, *, log: Path, identity: str) -> tuple[Child, Process]:
    """Start the process that carries out an order, which outlives this one.

    Args:
        order: What it runs.
        log: What it says is added to this file.
        identity: This host's name, for people.
    Raises:
        ExecutorError: The system starts no more processes.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        child = _launch(order.as_bytes(), log)
    except OSError as error:
        raise ExecutorError(
            f"service: must be able to start a process; got {error.strerror or error}. See ulimit -u and free memory."
        ) from error
    return child, process_of(child.pid, host=identity)


def process_of(pid: int, *, host: str) -> Process:
    """Say which process has a number now."""
    return Process(process_place(), host, pid, started(pid))


def is_alive(process: Process) -> bool | None:
    """Whether a process is there still; None where it cannot be seen from here."""
    if process.place != process_place():
        return None
    return process.start != 0 and started(process.pid) == process.start


def _launch(content: bytes, log: Path) -> Child:
    with log.open("ab") as said:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "deepcolor.service.child"],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            cwd=os.sep,
            env=outside(os.environ),  # It may outlive the service.
            # A group of its own: Ctrl-C in the service's terminal comes to the service alone.
            start_new_session=True,
        )
    assert child.stdin is not None
    with child.stdin as pipe:
        pipe.write(content)
    return child
