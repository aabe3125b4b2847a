"""Temporary files that name their owner, so that what a killed process left is removed by the next one that starts.

A process that makes temporary files has one folder, `deepcolor-<pid>-<start>-<random>` in the folder for temporary
files, and holds a lock in it. The folder is removed when the process ends. After `kill -9` it stays until another
process of the same user makes a folder of its own: that one removes every folder whose owner is provably dead, and the
semaphores that carry its name.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

_NAME = re.compile(r"deepcolor-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}")
_LOCK, _VARIABLE = ".lock", "TMPDIR"
_SEMAPHORES = Path("/dev/shm")  # noqa: S108  # where Linux keeps them; not a temporary file
_AFTER_ALL_ELSE = -1000
_HALF_MADE_S = 60.0
"""A folder without a lock may be one that is just being made."""

_LONGEST_SOCKET_FOLDER = 80
"""The kernel allows 107 bytes for the path of a socket, and multiprocessing adds a name of its own."""

_folders: dict[tuple[int, Path | None], Path] = {}
"""By process, because a forked child makes its own, and by the root that was asked for."""


_before: dict[str, str | None] = {}
"""What `claim` has changed in the environment, as it was."""


def claim() -> None:
    """Keep all temporary files of this process, and of those it starts, in its folder, whatever library makes them.

    A process that may outlive this one, or that runs elsewhere, is started with `outside` instead. If the folder cannot
    be made (a full disk), nothing changes, and the error comes where a temporary file is needed.
    """
    with suppress(OSError):
        folder = str(process_folder())
        _before.setdefault(_VARIABLE, os.environ.get(_VARIABLE))
        tempfile.tempdir = folder
        os.environ[_VARIABLE] = folder


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose temporary files go where they went before `claim`.

    Once this process is dead, its folder is removed with all that is in it.
    """
    kept = {name: value for name, value in environment.items() if name not in _before}
    return kept | {name: value for name, value in _before.items() if value is not None}


def process_folder(root: Path | None = None) -> Path:
    """Return this process's folder, made by the first call; only this user can enter it.

    Args:
        root: Where to make it; None: where temporary files go.
    Raises:
        OSError: There is no space, or no folder for temporary files that can be written to.
    """
    key = os.getpid(), root
    if key not in _folders or not _folders[key].is_dir():
        where = root or Path(tempfile.gettempdir())
        remove_left_behind(where)
        _folders[key] = _make(where)
        atexit.register(_remove_own, key)
    return _folders[key]


def socket_folder() -> Path:
    """Return this process's folder for sockets: the same, unless its path is too long for one."""
    folder = process_folder()
    return folder if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER else process_folder(Path("/tmp"))  # noqa: S108


def name_what_is_left_behind() -> None:
    """Let the sockets and semaphores of multiprocessing carry this process's name, so that they can be removed if it
    is killed.

    Call it before the first of them is made. It replaces multiprocessing's own tracker, an extra process that is killed
    together with this one, and that fills the screen with tracebacks if it is killed first.
    """
    from multiprocessing import current_process, resource_tracker, synchronize, util

    # joblib, which scikit-learn imports, names semaphores after itself; so this is said before each pool.
    synchronize.SemLock._make_name = staticmethod(_semaphore_name)  # type: ignore[attr-defined]  # noqa: SLF001
    config: dict[str, str] = current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001
    folder = socket_folder()
    if config.get("tempdir") == str(folder):
        return
    config |= {"tempdir": str(folder), "semprefix": f"/{folder.name}"}
    util.Finalize(None, remove_semaphores, args=(folder,), exitpriority=_AFTER_ALL_ELSE)
    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001
    if tracker._fd is None:  # noqa: SLF001
        tracker._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)  # noqa: SLF001


def _semaphore_name() -> str:
    from multiprocessing import current_process

    prefix: str = current_process()._config["semprefix"]  # type: ignore[attr-defined]  # noqa: SLF001
    return f"{prefix}-{token_hex(4)}"


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Make a new folder below the process's own, and remove it afterwards; its name begins with `purpose`."""
    with tempfile.TemporaryDirectory(prefix=f"{purpose}-", dir=process_folder(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_left_behind(root: Path) -> None:
    """Remove what killed processes of this user left in a folder for temporary files, and nobody else's."""
    with suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and _is_left_behind(Path(entry.path)):
                _remove(Path(entry.path))


def _make(root: Path) -> Path:
    folder = root / f"deepcolor-{os.getpid()}-{started(os.getpid())}-{token_hex(4)}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # Where files cannot be locked, folders are never removed.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder  # The lock stays open until the process ends.


def _is_left_behind(folder: Path) -> bool:
    """Whether a folder's owner is dead beyond doubt."""
    name = _NAME.fullmatch(folder.name)
    status = folder.lstat()
    if name is None or status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return False
    if started(int(name["pid"])) == int(name["start"]):
        return False
    # Processes of another container or machine cannot be seen from here but may share the folder: they hold the lock.
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return time.time() - status.st_mtime > _HALF_MADE_S
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def remove_semaphores(folder: Path) -> None:
    """Remove the named semaphores that begin with the name of a folder."""
    for semaphore in _SEMAPHORES.glob(f"sem.{folder.name}-*"):
        with suppress(OSError):
            semaphore.unlink()


def _remove_own(key: tuple[int, Path | None]) -> None:
    folder = _folders.pop(key, None)
    if folder is not None and os.getpid() == key[0]:  # not a child that was forked
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    remove_semaphores(folder)  # First, as only the folder says whose they are.
    shutil.rmtree(folder, ignore_errors=True)


def started(pid: int) -> int:
    """Return when a process started, in the kernel's ticks since the machine started; 0 if it cannot be seen."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
