"""A decoded data set on a machine's own disk: copied there once, whichever process comes first, checked by digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from deepcolor.atomic import TEMPORARY_PREFIX, temporary_beside
from deepcolor.data.cache.index import INDEX_NAME, CacheIndex, read_index
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.plainfile import read_plain
from deepcolor.waiting import locked

DIGESTS_NAME = "copied.sha256"
"""Beside the copied arrays: a line each, as `sha256sum --check` reads them."""
_CHUNK_BYTES = 2**22
_MOST_LINES_BYTES = 2**20

_checked: set[Path] = set()
"""Copies that this process has compared with their digests."""


def ensure_copy(folder: Path, scratch: Path, *, say: Callable[[str], None]) -> Path:
    """Return the copy of a decoded data set, made if it is not there or not as it was; else the folder itself.

    The folder itself is returned where there is nothing to copy, as for a stage that trains on no pictures, and where
    it cannot be copied, as to a full disk: the pictures are then read from where they are.

    Args:
        folder: The decoded data set, or whatever else a stage trains on.
        scratch: A folder on this machine's own disk, which other users may use, too.
        say: Is told why there is no copy.
    Raises:
        CorruptFileError: The arrays in `folder` are not as they were written.
    """
    try:
        index = read_index(folder)
    except DataError:
        return folder
    try:
        home = _own_folder(scratch)
        copy = home / _name_of(folder)
        with locked(home / f"{copy.name}.lock", until="another process to copy the decoded pictures"):
            if not _is_good(copy, index):
                _copy(folder, copy, index)
        return copy
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        say(f"decoded pictures are read from {folder}; no copy in {scratch}: {reason}")
        return folder


def _own_folder(scratch: Path) -> Path:
    """Make this user's folder for copies: nobody else may have made it, or write to it."""
    home = scratch / f"deepcolor-{os.geteuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(0, f"{home} is not a folder of one's own")
    return home


def _name_of(folder: Path) -> str:
    """Name a copy by its index, which says more than the pictures' digest does, such as what they are called."""
    return _digest(folder / INDEX_NAME)[:32]


def _is_good(copy: Path, index: CacheIndex) -> bool:
    """Whether a copy holds what it should, to the last bit; asked once in a process."""
    try:
        if read_index(copy) != index:
            return False
    except (DataError, CorruptFileError):
        return False
    if copy not in _checked:
        digests = {**_noted(copy), **_known(index)}
        if any(digests.get(name) != _digest(copy / name) for name in index.files):
            return False
        _checked.add(copy)
    return True


def _copy(folder: Path, copy: Path, index: CacheIndex) -> None:
    for stale in copy.parent.glob(f"{TEMPORARY_PREFIX}{copy.name}*"):  # Nobody else copies: the lock says so.
        shutil.rmtree(stale, ignore_errors=True)
    shutil.rmtree(copy, ignore_errors=True)
    temporary = temporary_beside(copy)
    temporary.mkdir(mode=0o700)
    try:
        read = {name: _copy_file(folder / name, temporary / name) for name in index.files}
        for name, digest in _known(index).items():
            if read[name] != digest:
                raise CorruptFileError(
                    f"decoded data: files must be as they were written; got other content ({folder / name}). Remove "
                    "that folder and start the sweep again: it is built again from the photos."
                )
        if any(_digest(temporary / name) != digest for name, digest in read.items()):
            raise OSError(0, "what was written there came back changed")
        digests = "".join(f"{digest}  {name}\n" for name, digest in read.items())
        (temporary / DIGESTS_NAME).write_text(digests, encoding="utf-8")
        shutil.copyfile(folder / INDEX_NAME, temporary / INDEX_NAME)
        temporary.rename(copy)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _checked.add(copy)


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of what was read."""
    read = hashlib.sha256()
    with source.open("rb") as stream, target.open("wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            read.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return read.hexdigest()


def _digest(file: Path) -> str:
    with suppress(OSError), file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
    return ""


def _known(index: CacheIndex) -> Mapping[str, str]:
    """The digests that were noted when the arrays were written; none of a data set that an earlier version decoded."""
    return {name: file.sha256 for name, file in index.files.items() if file.sha256}


def _noted(copy: Path) -> Mapping[str, str]:
    """The digests that were noted when a copy was made."""
    try:
        lines = read_plain(copy / DIGESTS_NAME, most_bytes=_MOST_LINES_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
