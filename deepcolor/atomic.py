"""Write a file, or a folder, so that a reader sees all of it or nothing, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from secrets import token_hex

from deepcolor.scratch import started

TEMPORARY_PREFIX = ".tmp-"
"""What a killed process leaves behind starts with this; readers skip it, and it may be deleted."""
_OWNED = re.compile(r"\.tmp-.*-(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}", re.DOTALL)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_LONGEST = 40
"""Characters of a file's name that its temporary name repeats: the system allows 255 bytes in all."""


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path`, replacing what is there; after a crash the file is the old one or the new one.

    Args:
        path: The file; missing parent folders are created.
        content: All of the file.
        durable: Whether it has to survive a power cut from now on. False: until the system has written it by itself,
            which takes seconds, it may come out of one missing, empty or torn.
    Raises:
        OSError: The disk is full or the folder is read-only; what was at `path` is untouched.
    """
    temporary = temporary_beside(path)
    try:
        _write(temporary, content)
        if durable:
            _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def write_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `files`; it appears whole or, if it already exists, is replaced as a whole.

    Args:
        folder: The folder; missing parents are created.
        files: Content by file name, or by path below the folder.
    Raises:
        OSError: The disk is full or the parent is read-only; what was at `folder` is untouched.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    try:
        temporary.mkdir()
        for name, content in files.items():
            _write(temporary / name, content)
        for name in files:  # Once all are written: the disk is then waited for once, more or less.
            _sync(temporary / name)
        _sync_folder(temporary)
        _move_into_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(folder.parent)


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, _NEW, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _NEW, 0o666)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # of a descriptor
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # A folder cannot be renamed onto one that is not empty, so the older one steps aside first.
        aside = temporary_beside(folder)
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def remove_left_behind(folder: Path) -> None:
    """Remove what processes of this machine were writing into a folder when they were killed.

    What cannot be removed is left, and so is what a process that cannot be seen from here may still be writing.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            owner = _OWNED.fullmatch(entry.name)
            if owner and owner["place"] == process_place() and started(int(owner["pid"])) != int(owner["start"]):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a name next to a file or folder for what is not complete yet; it names this process, so that others can
    tell whether the writer is dead.
    """
    return path.parent / f"{TEMPORARY_PREFIX}{path.name[:_LONGEST]}-{_owner(os.getpid())}-{token_hex(4)}"


@cache
def _owner(pid: int) -> str:
    return f"{process_place()}-{pid}-{started(pid)}"


@cache
def process_place() -> str:
    """Return what tells processes that can be seen from here apart from those of other machines and containers."""
    seen = [platform.node()]
    with suppress(OSError):
        seen += [
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:8]


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
