"""Read files that we did not just write: ordinary files of a stated size, and nothing else.

In place of a file there may be a folder, a named pipe that nobody writes to, a device without an end, a loop of links,
or more than fits into memory. Here each of these is an error at once, never a wait.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from deepcolor.errors import UserError

_CHUNK_BYTES = 2**20
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""Opening a named pipe waits for a writer, opening a terminal may take it over; with these neither happens."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotPlainError(UserError, OSError):
    """A path leads to something other than an ordinary file, or to one that is too large.

    It is an `OSError` too, with its `strerror` in a few words ("a folder"), so that code that reports unreadable files
    reports this one in the same way.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"file: must be an ordinary file; got {reason} ({path}). Replace or remove it.")
        self.path = Path(path)
        self.strerror = reason

    def __reduce__(self) -> tuple[type[NotPlainError], tuple[Path, str]]:
        # Pictures are read in child processes, and their errors are pickled.
        return NotPlainError, (self.path, str(self.strerror))


def read_plain(path: Path | str, *, most_bytes: int) -> bytes:
    """Return the content of an ordinary file; links to one are followed.

    Args:
        path: The file.
        most_bytes: More than this is refused, and never held in memory.
    Raises:
        NotPlainError: It is not an ordinary file, the links lead in a circle, or it is larger.
        FileNotFoundError: There is nothing.
        OSError: It cannot be read.
    """
    with open_plain(path, most_bytes=most_bytes) as file:
        parts, left = [], most_bytes + 1  # One more than allowed: a file may grow, and some say 0 and hold a lot.
        while left > 0 and (part := file.read(min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
    if left <= 0:
        raise NotPlainError(path, _too_large(most_bytes))
    return b"".join(parts)


def open_plain(path: Path | str, *, most_bytes: int | None = None) -> BufferedReader:
    """Open an ordinary file for reading, for callers that read it in parts.

    Args:
        path: The file; links to one are followed.
        most_bytes: A file that is larger now is refused; None: any size.
    Raises:
        NotPlainError: It is not an ordinary file, the links lead in a circle, or it is larger.
        FileNotFoundError: There is nothing.
        OSError: It cannot be read.
    """
    check_plain(path, most_bytes=most_bytes)  # Before it is opened: opening a device may already do something.
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        _check(path, os.fstat(descriptor), most_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_plain(path: Path | str, *, most_bytes: int | None = None) -> int:
    """Make sure that a path leads to an ordinary file, for callers that hand it on to a library.

    Returns:
        Its size in bytes.
    Raises:
        NotPlainError: It is not an ordinary file, the links lead in a circle, or it is larger than `most_bytes`.
        FileNotFoundError: There is nothing.
        OSError: It cannot be examined.
    """
    try:
        found = Path(path).stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotPlainError(path, "links that lead in a circle") from error
        raise
    _check(path, found, most_bytes)
    return found.st_size


def _check(path: Path | str, found: os.stat_result, most_bytes: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotPlainError(path, next((name for is_it, name in _KINDS if is_it(found.st_mode)), "something else"))
    if most_bytes is not None and found.st_size > most_bytes:
        raise NotPlainError(path, f"{found.st_size:,} bytes, more than the {most_bytes:,} allowed")


def _too_large(most_bytes: int) -> str:
    return f"more than the {most_bytes:,} bytes allowed"
