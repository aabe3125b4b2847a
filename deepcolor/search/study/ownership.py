"""Who is at work in a workspace: one driver per study, and nobody while trainings are being removed.

Whoever needs trainings to stay (a driver, a promotion) shares the store with others who do; whoever removes some holds
it exclusively. All locks are the operating system's, so those of a dead process are free at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from deepcolor.atomic import write_atomically
from deepcolor.errors import StudyError
from deepcolor.plainfile import read_plain
from deepcolor.workspace import Workspace

_LOCK, _OWNER_FILE = ".driver.lock", "driver.json"
_STORE_LOCK = ".store.lock"
_LOOK_EVERY_S = 0.2
_GLANCE_S = 0.2
"""A reader that checks whether the lock is held holds it itself, for microseconds."""


def is_owned(workspace: Workspace, name: str) -> bool:
    """Say whether a driver is at work on a study. Nothing is created, and nobody is kept waiting."""
    try:
        descriptor = os.open(workspace.study(name) / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def owned(
    workspace: Workspace,
    name: str,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Own a study while driving it, and keep all trainings where they are.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
        on_wait: Told once what is being waited for, if trainings are just being removed.
        between: Called repeatedly while waiting; an exception from it ends the wait.
    Raises:
        StudyError: Another driver owns the study; the message names it.
    """
    # In this order: whoever holds the store alone sees that there is a driver, even if its study does not exist yet.
    with shared_store(workspace, on_wait=on_wait, between=between), driver_lock(workspace, name):
        yield


@contextmanager
def shared_store(
    workspace: Workspace,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Keep all trainings where they are; waits while some are being removed. Any number of processes may share.

    Args:
        workspace: Whose trainings are needed.
        on_wait: Told once what is being waited for.
        between: Called repeatedly while waiting; an exception from it ends the wait.
    """
    with _store_lock(workspace) as descriptor:
        told = False
        while not _locked(descriptor, fcntl.LOCK_SH):
            if not told:
                on_wait(f"waiting until trainings have been removed{_owner(workspace.studies / _STORE_LOCK)}")
            told = True
            time.sleep(_LOOK_EVERY_S)
            between()
        yield


@contextmanager
def sole_store(workspace: Workspace) -> Iterator[None]:
    """Hold the trainings exclusively, to remove some; whoever needs them waits.

    Raises:
        StudyError: Somebody is working with them; the message names the driver, if it is one.
    """
    with _store_lock(workspace) as descriptor:
        if not _locked(descriptor, fcntl.LOCK_EX):
            _refuse_driven(workspace)
            raise StudyError(
                f"workspace: nothing may use its trainings while some are removed; got a promotion, a starting sweep "
                f"or another clean-up at work ({workspace.root}). Wait until it has ended, then run this again."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, _this_process())
        yield


@contextmanager
def driver_lock(workspace: Workspace, name: str, *, named: bool = True) -> Iterator[None]:
    """Hold the lock that says that a study has its one driver.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
        named: Whether to write down who holds it.
    Raises:
        StudyError: Another driver owns the study; the message names it.
        WorkspaceError: The workspace cannot be written to.
    """
    folder = workspace.create().study(name)
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / _LOCK), folder / _OWNER_FILE
    try:
        lock.acquire(timeout=_GLANCE_S, poll_interval=_GLANCE_S / 10)
    except Timeout:
        raise StudyError(
            f"study: {name!r} is already being run{_owner(owner)}. Wait for it, or stop it there with Ctrl-C."
        ) from None
    try:
        if named:
            write_atomically(owner, _this_process())
        yield
    finally:
        with suppress(OSError):  # The folder may have become read-only meanwhile; only the lock matters.
            owner.unlink(missing_ok=True)
            _remove_bare(folder)
        lock.release()


def _remove_bare(folder: Path) -> None:
    """Remove a study's folder that holds nothing but its lock: its sweep was refused before there was a study.

    Whoever waits for the lock meanwhile sees that its file is gone, and makes it anew.
    """
    if [path.name for path in folder.iterdir()] == [_LOCK]:
        (folder / _LOCK).unlink()
        folder.rmdir()


@contextmanager
def _store_lock(workspace: Workspace) -> Iterator[int]:
    descriptor = os.open(workspace.create().studies / _STORE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_driven(workspace: Workspace) -> None:
    """Raise StudyError for the first study that has a driver."""
    for owner in sorted(workspace.studies.glob(f"*/{_OWNER_FILE}")):
        with driver_lock(workspace, owner.parent.name):
            pass


def _this_process() -> bytes:
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return json.dumps({"host": platform.node(), "pid": os.getpid(), "since": since}).encode()


def _owner(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        owner = json.loads(read_plain(path, most_bytes=2**16))
        return f" on {owner['host']} by process {owner['pid']} since {owner['since']}"
    return ""
