"""What the machine refuses, told in the user's words: the one place that knows the operating system's errors.

The system names its limits by number (ENOSPC, EMFILE, ...). Libraries wrap these errors, or repeat only their text; so
an error's causes are searched too, and each is recognised by its number if it has one, else by its text.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepcolor.counting import counted
from deepcolor.errors import UserError
from deepcolor.scratch import name_what_is_left_behind

Kind = Literal["files", "processes", "memory", "space", "shared memory", "rights", "device"]

_BY_NUMBER: dict[int, Kind] = {
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
    errno.ENOSPC: "space",
    errno.EDQUOT: "space",
    errno.EFBIG: "space",
    errno.EACCES: "rights",
    errno.EPERM: "rights",
    errno.EROFS: "rights",
    errno.EIO: "device",
    errno.ESTALE: "device",
}
_BY_TEXT: tuple[tuple[str, Kind], ...] = (
    ("too many open files", "files"),
    ("can't start new thread", "processes"),
    ("resource temporarily unavailable", "processes"),
    ("pthread_create failed", "processes"),
    ("cannot allocate memory", "memory"),
    ("can't allocate memory", "memory"),
    ("not enough memory", "memory"),
    ("failed to map segment", "memory"),
    ("bad_alloc", "memory"),
    ("no space left on device", "space"),
    ("database or disk is full", "space"),
    ("disk quota exceeded", "space"),
    ("file too large", "space"),
    ("readonly database", "rights"),
    ("read-only file system", "rights"),
    ("permission denied", "rights"),
    ("disk i/o error", "device"),
    ("input/output error", "device"),
)
_BY_SQLITE: dict[int, Kind] = {
    sqlite3.SQLITE_FULL: "space",
    sqlite3.SQLITE_NOMEM: "memory",
    sqlite3.SQLITE_READONLY: "rights",
    sqlite3.SQLITE_IOERR: "device",
    sqlite3.SQLITE_PERM: "rights",
}
_SHARED_MEMORY_MODULES = (
    "multiprocessing/synchronize.py",
    "multiprocessing/heap.py",
    "multiprocessing/shared_memory.py",
)
_MOST_CAUSES = 50
_OPEN_FILES = 4096
"""Open files that are enough for every command on any machine."""
_FILES, _FILES_A_WORKER = 64, 24
_THREADS, _THREADS_A_WORKER = 32, 12
"""Seen in a sweep, rounded up: its driver with the process that writes to MLflow, and each worker with its nanny."""
_ADDRESS_SPACE_BYTES = 5 * 2**30
"""torch's libraries alone take 3.5 GiB of address space in each process; little of that is memory."""
_SEMAPHORES = 8
_NAMES: dict[Kind, str] = {"files": "ulimit -n", "processes": "ulimit -u", "memory": "ulimit -v, in KiB"}


class LimitError(UserError):
    """This shell, or this machine, allows too little."""


@dataclass(frozen=True)
class Refusal:
    """What was refused, and what the system said."""

    kind: Kind
    said: str
    """In the system's words."""
    path: str | None = None

    @property
    def advice(self) -> str:
        """What to do next."""
        return _WORDS[self.kind][1]

    def __str__(self) -> str:
        """One line: rule, what happened, and what to do next."""
        rule, advice = _WORDS[self.kind]
        where = self.path or ("/dev/shm" if self.kind == "shared memory" else None)  # noqa: S108  # named, not used
        told = [part for part in (where, _bound(self.kind)) if part]
        return f"{rule}; got {self.said}{' (' + '; '.join(told) + ')' if told else ''}. {advice}"


_WORDS: dict[Kind, tuple[str, str]] = {
    "files": (
        "open files: this process must be allowed more of them",
        "Raise the limit (ulimit -n 4096), or use fewer --workers.",
    ),
    "processes": (
        "processes: this user must be allowed to start more processes and threads",
        "Raise the limit (ulimit -u), end other programs, or use fewer --workers.",
    ),
    "memory": (
        "memory: there must be enough free memory",
        "Close other programs, use fewer --workers, or raise the limit (ulimit -v), then run the same command again.",
    ),
    "space": ("disk: there must be space left to write", "Free disk space, then run the same command again."),
    "shared memory": (
        "shared memory: there must be space left in it",
        "Enlarge it (mount -o remount,size=1G /dev/shm; docker run --shm-size 1g), or remove files from it.",
    ),
    "rights": (
        "file: this user must have access to it",
        "Fix its permissions or those of its folder, or choose another place, then run the same command again.",
    ),
    "device": ("disk: must work without errors", "Check the disk or the network, then run the same command again."),
}


def refusal(error: BaseException) -> Refusal | None:
    """Return what the machine refused if that is what caused an error, however a library has wrapped it."""
    for cause in _causes(error):
        kind = _kind(cause)
        if kind is not None:
            return Refusal(kind, _said(cause), _path(cause))
    return None


def text_of(error: BaseException) -> str:
    """Return an error's message, even if asking for the message raises."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001  # an exception that cannot be shown must still be reported
        return f"no message: asking for it raised {type(fault).__name__}"


def hits_all(error: BaseException) -> bool:
    """Whether an error with one file would recur with every other, because the process itself is at its limits."""
    found = refusal(error)
    return found is not None and found.kind in {"files", "processes", "shared memory"}


def allow_open_files() -> None:
    """Raise the limit on open files, for this process and those it starts, as far as it may: it often starts lower."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def check_room(*, workers: int) -> None:
    """Make sure that this process may start this many worker processes, before half of them have started.

    A limit that is hit midway shows up as whatever the libraries make of it, in several processes at once.

    Raises:
        LimitError: A limit of this shell, or the space for semaphores, is too low.
    """
    try:
        import resource
    except ImportError:
        return
    allow_open_files()
    files = _FILES + _FILES_A_WORKER * workers
    _check("files", resource.getrlimit(resource.RLIMIT_NOFILE)[0], files, 0, workers=workers)
    _check("memory", resource.getrlimit(resource.RLIMIT_AS)[0], _ADDRESS_SPACE_BYTES, 0, workers=workers)
    if os.geteuid() != 0 and hasattr(resource, "RLIMIT_NPROC"):  # The superuser is not bound by it.
        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if most != resource.RLIM_INFINITY:
            _check("processes", most, _THREADS + _THREADS_A_WORKER * workers, threads_of_user(), workers=workers)
    try:
        name_what_is_left_behind()
        held = [multiprocessing.get_context("spawn").Lock() for _ in range(_SEMAPHORES)]
        del held
    except OSError as error:
        raise LimitError(str(refusal(error) or error)) from error


def threads_of_user() -> int:
    """How many threads this user's processes have, which is what the system counts; 0 where it does not say."""
    me, count = os.geteuid(), 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It may have ended by now.
            if folder.stat().st_uid == me:
                count += sum(1 for _ in (folder / "task").iterdir())
    return count


def _check(kind: Kind, most: int, needed: int, used: int, *, workers: int) -> None:
    import resource

    if most == resource.RLIM_INFINITY or used + needed <= most:
        return
    rule, advice = _WORDS[kind]
    unit = 1024 if kind == "memory" else 1
    in_use = f", {used} in use" if used else ""
    raise LimitError(
        f"{rule}; got {most // unit}{in_use} ({_NAMES[kind]}), but {counted(workers, 'worker')} and the driver "
        f"need about {needed // unit}. {advice}"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it comes from, the nearest first."""
    queue, seen = [error], set[int]()
    while queue and len(seen) < _MOST_CAUSES:
        each = queue.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        context = None if each.__suppress_context__ else each.__context__
        held = [each.__cause__, context, getattr(each, "orig", None), *getattr(each, "exceptions", ()), *each.args]
        queue += [cause for cause in held if isinstance(cause, BaseException)]


def _kind(error: BaseException) -> Kind | None:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        kind = _BY_NUMBER[error.errno]
        return "shared memory" if kind == "space" and _is_of_shared_memory(error) else kind
    if isinstance(error, sqlite3.Error):
        known = _BY_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if known is not None:
            return known
    if isinstance(error, OSError) and error.errno is not None:
        return None
    text = text_of(error).lower()
    if "cuda" in text:
        return None  # A GPU's memory is not the machine's.
    return next((kind for sign, kind in _BY_TEXT if sign in text), None)


def _is_of_shared_memory(error: OSError) -> bool:
    """Whether it was raised where processes share memory and semaphores: these have names, but their errors do not
    say them.
    """
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.replace("\\", "/").endswith(_SHARED_MEMORY_MODULES):
            return True
        trace = trace.tb_next
    return False


def _said(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else text_of(error)
    return " ".join(text.split()) or type(error).__name__


def _path(error: BaseException) -> str | None:
    name = getattr(error, "filename", None)
    return None if name is None or isinstance(name, int) else str(name)


def _bound(kind: Kind) -> str | None:
    """Say what this process is allowed, if that is limited."""
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return None
    bounds = {
        "files": (resource.RLIMIT_NOFILE, "ulimit -n", 1),
        "processes": (getattr(resource, "RLIMIT_NPROC", -1), "ulimit -u", 1),
        "memory": (resource.RLIMIT_AS, "ulimit -v", 1024),
        "space": (resource.RLIMIT_FSIZE, "ulimit -f", 1024),
    }
    if kind not in bounds:
        return None
    which, name, unit = bounds[kind]
    most = resource.getrlimit(which)[0] if which >= 0 else resource.RLIM_INFINITY
    return None if most == resource.RLIM_INFINITY else f"{name} allows {most // unit}"
