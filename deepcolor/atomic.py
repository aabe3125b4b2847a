"""Write a file, or a folder, so that a reader sees all of it or nothing, whatever happens in between."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

TEMPORARY_PREFIX = ".tmp-"
"""What a process that was killed leaves behind starts with this; readers pass over it, and it may be deleted."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what is there; after a crash the file is the old one or the new one.

    Args:
        path: The file; missing parent folders are made.
        content: All of the file.
    Raises:
        OSError: The disk is full or the folder is read-only; what was at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    try:
        _write_through(temporary, content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `files`; it appears whole, or, if it is there already, is replaced as a whole.

    Args:
        folder: The folder; missing parents are made.
        files: Content by plain file name.
    Raises:
        OSError: The disk is full or the parent is read-only; what was at `folder` is untouched.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(folder)
    try:
        temporary.mkdir()
        for name, content in files.items():
            _write_through(temporary / name, content)
        _sync_folder(temporary)
        _move_into_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(folder.parent)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move_into_place(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # A folder cannot be renamed onto one that is not empty, so the older one steps aside first.
        aside = _temporary_beside(folder)
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def _temporary_beside(path: Path) -> Path:
    return path.parent / f"{TEMPORARY_PREFIX}{path.name}-{token_hex(4)}"


def _sync_folder(folder: Path) -> None:
    """Make a rename inside of `folder` survive a power cut; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
