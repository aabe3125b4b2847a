"""One driver a study: the lock that says so, who holds it, and whether anybody does."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from deepcolor.atomic import write_atomically
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

_LOCK = ".driver.lock"
_GLANCE_S = 0.2
"""A reader that looks whether the lock is held holds it itself, for microseconds."""


def is_owned(workspace: Workspace, name: str) -> bool:
    """Say whether a driver is at work on a study. Nothing is created, and nobody is kept waiting."""
    import fcntl

    try:
        descriptor = os.open(workspace.study(name) / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def owned(workspace: Workspace, name: str) -> Iterator[None]:
    """Own a study while driving it. The lock is the operating system's, so a dead owner's is free at once.

    Raises:
        StudyError: Another driver owns the study; the message names it.
    """
    folder = workspace.study(name)
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / _LOCK), folder / "driver.json"
    try:
        lock.acquire(timeout=_GLANCE_S, poll_interval=_GLANCE_S / 10)
    except Timeout:
        raise StudyError(
            f"study: {name!r} is being driven already{_owner(owner)}. Wait for it, or stop it with Ctrl-C there."
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        write_atomically(owner, json.dumps({"host": platform.node(), "pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f" on {owner['host']} by process {owner['pid']} since {owner['since']}"
    except (OSError, ValueError, KeyError):
        return ""
