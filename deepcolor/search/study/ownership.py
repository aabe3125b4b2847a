"""Who is at work in a workspace: one driver per study, and nobody while trainings are being removed.

Whoever needs trainings to stay (a driver, a promotion) shares the store with others who do; whoever removes some holds
it exclusively. All locks are the operating system's, so those of a dead process are free at once; where a database
server keeps the studies, the same locks are also held there, so that they hold across hosts (`server`).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from deepcolor.atomic import write_atomically
from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.mounts import NO_LOCKS, mount_of
from deepcolor.plainfile import read_plain
from deepcolor.search.study.held import already_driven, this_process
from deepcolor.search.study.server import server_of
from deepcolor.workspace import Workspace

_LOCK, _OWNER_FILE = ".driver.lock", "driver.json"
_STORE_LOCK = ".store.lock"
_LOOK_EVERY_S = 0.2
_GLANCE_S = 0.2
"""A reader that checks whether the lock is held holds it itself, for microseconds."""


def is_owned(workspace: Workspace, name: str) -> bool:
    """Say whether a driver is at work on a study. Nothing is created, and nobody is kept waiting."""
    server = server_of(workspace)
    if server is not None:
        return server.exists() and server.is_held(name)
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
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Own a study while driving it, and keep all trainings where they are.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
        on_wait: Told once what is being waited for, if trainings are just being removed.
        between: Called repeatedly while waiting; an exception from it ends the wait.
        say: Told in a line that a database server has gone away, and when it is back.
    Raises:
        StudyError: Another driver owns the study; the message names it.
    """
    # In this order: whoever holds the store alone sees that there is a driver, even if its study does not exist yet.
    with shared_store(workspace, on_wait=on_wait, between=between), driver_lock(workspace, name, say=say):
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
    server = server_of(workspace)
    with _store_lock(workspace) as descriptor, ExitStack() as also:
        told = False
        while not _locked(descriptor, fcntl.LOCK_SH, needed=server is None):
            if not told:
                on_wait(f"waiting until trainings have been removed{_owner(workspace.studies / _STORE_LOCK)}")
            told = True
            time.sleep(_LOOK_EVERY_S)
            between()
        if server is not None:
            elsewhere = "waiting until trainings have been removed, from another host"
            also.enter_context(server.sharing(between=between, on_wait=lambda: on_wait(elsewhere)))
        yield


@contextmanager
def sole_store(workspace: Workspace) -> Iterator[None]:
    """Hold the trainings exclusively, to remove some; whoever needs them waits.

    Raises:
        StudyError: Somebody is working with them; the message names the driver, if it is one.
    """
    server = server_of(workspace)
    with _store_lock(workspace) as descriptor, ExitStack() as also:
        got = _locked(descriptor, fcntl.LOCK_EX, needed=server is None)
        if not (got and (server is None or also.enter_context(server.alone()))):
            _refuse_driven(workspace)
            raise StudyError(
                f"workspace: nothing may use its trainings while some are removed; got a promotion, a starting sweep "
                f"or another clean-up at work ({workspace.root}). Wait until it has ended, then run this again."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, _this_process())
        yield


@contextmanager
def sole_server(workspace: Workspace) -> Iterator[None]:
    """Keep everybody who needs trainings of studies in another database from them, as `sole_store` does in its own.

    Raises:
        StudyError: Somebody is working with them.
    """
    server = server_of(workspace)
    assert server is not None, "a file is locked with its workspace"
    with server.alone() as got:
        if not got:
            raise StudyError(
                "workspace: nothing may use its trainings while some are removed; got somebody at work on studies in "
                f"{server.shown}. Wait until that has ended, then run this again."
            )
        yield


@contextmanager
def driver_lock(workspace: Workspace, name: str, *, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock that says that a study has its one driver.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
        say: Told when a database server has gone away, and when it is back.
    Raises:
        StudyError: Another driver owns the study; the message names it.
        WorkspaceError: The workspace cannot be written to.
    """
    server = server_of(workspace)
    with folder_lock(workspace, name, named=True), ExitStack() as also:
        if server is not None:
            also.enter_context(server.driving(name, wait_s=workspace.settings.storage_wait_s, say=say))
        yield


@contextmanager
def folder_lock(workspace: Workspace, name: str, *, named: bool = False) -> Iterator[None]:
    """Hold the lock of a study's folder: all there is where a file keeps the studies, and between the processes of a
    host everywhere.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
        named: Whether to write down who holds it.
    Raises:
        StudyError: Another process holds it; the message names it.
        WorkspaceError: The workspace cannot be written to, or its file system has no locks.
    """
    folder = workspace.create().study(name)
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / _LOCK), folder / _OWNER_FILE
    try:
        # Without the system's locks, files that exist would take their place, and stay when their process is killed.
        if _has_locks(folder, needed=not workspace.on_server):
            lock.acquire(timeout=_GLANCE_S, poll_interval=_GLANCE_S / 10)
    except Timeout:
        raise already_driven(name, _owner(owner)) from None
    try:
        if named:
            write_atomically(owner, _this_process())
        yield
    finally:
        with suppress(OSError):  # The folder may have become read-only meanwhile; only the lock matters.
            owner.unlink(missing_ok=True)
            _remove_bare(folder)
        lock.release()


@contextmanager
def undriven(workspace: Workspace, name: str) -> Iterator[None]:
    """Keep drivers from a study, on every host, without being one.

    Args:
        workspace: Holds the study, or will.
        name: Of the study.
    Raises:
        StudyError: Somebody is at work on it; the message names a driver.
        WorkspaceError: The workspace cannot be written to, or its file system has no locks.
    """
    server = server_of(workspace)
    with folder_lock(workspace, name), ExitStack() as also:
        if server is not None:
            also.enter_context(server.undriven(name))
        yield


def unkept_locks(workspace: Workspace) -> str | None:
    """Say what is known of a workspace's file system that lets locks hold on one host only; None if nothing is, or if
    a database server holds them.
    """
    if workspace.on_server:
        return None
    mount = mount_of(workspace.studies)
    if mount is None or not mount.is_network or mount.local_locks is None:
        return None
    return (
        f"{workspace.studies} is on {mount.kind}, mounted with {mount.local_locks}: its locks hold on this host only. "
        "Work in this workspace from one host at a time, mount it without that option, or keep the studies in "
        "PostgreSQL (docs/team.md)."
    )


def _has_locks(folder: Path, *, needed: bool) -> bool:
    """Whether the file system of a folder has locks.

    Raises:
        WorkspaceError: It has none, and they are needed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if needed:
            raise _without_locks(folder, error) from error
        return False
    finally:
        os.close(descriptor)
    return True


def _without_locks(folder: Path, error: OSError) -> WorkspaceError:
    mount = mount_of(folder)
    kind = f" ({mount.kind})" if mount else ""
    return WorkspaceError(
        f"workspace: its file system must have locks; got {error.strerror} ({folder}{kind}). Mount it with locks, "
        "choose another --workspace, or keep the studies in PostgreSQL (docs/team.md)."
    )


def forget_folder(workspace: Workspace, name: str) -> None:
    """Remove the folder of a study that has another one by now, if it holds nothing but its lock."""
    folder = workspace.study(name)
    with suppress(OSError):
        (folder / _OWNER_FILE).unlink(missing_ok=True)
        _remove_bare(folder)


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


def _locked(descriptor: int, kind: int, *, needed: bool = True) -> bool:
    """Take a lock if it is free.

    Args:
        descriptor: Of its file.
        kind: Shared or exclusive.
        needed: Whether there is no other one that says the same; else a file system without locks does no harm.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if needed:
            raise _without_locks(Path(f"/proc/self/fd/{descriptor}").resolve().parent, error) from error
    return True


def _refuse_driven(workspace: Workspace) -> None:
    """Raise StudyError for the first study that has a driver."""
    server = server_of(workspace)
    if server is not None:
        for name in sorted(record.study for record in server.drivers()):
            with server.undriven(name):
                pass
    for owner in sorted(workspace.studies.glob(f"*/{_OWNER_FILE}")):
        with driver_lock(workspace, owner.parent.name):
            pass


def _this_process() -> bytes:
    return json.dumps(this_process()).encode()


def _owner(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        owner = json.loads(read_plain(path, most_bytes=2**16))
        return f" on {owner['host']} by process {owner['pid']} since {owner['since']}"
    return ""
