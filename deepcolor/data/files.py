"""Write below the workspace or where the user asked, and say in the user's words when that is not possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcolor.atomic import write_atomically
from deepcolor.errors import WorkspaceError

MOST_PICTURE_BYTES = 2**31
"""A larger file is taken for no picture, and not read into memory."""


def save(path: Path, content: bytes) -> None:
    """Write a file in one step, creating its folder.

    Raises:
        WorkspaceError: The folder cannot be written to, or the disk is full.
    """
    with writing(path):
        write_atomically(path, content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into the line the user sees."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"file: must be writable; got {error.strerror or error} ({path}). "
            "Free space, fix permissions, or choose another folder."
        ) from error
