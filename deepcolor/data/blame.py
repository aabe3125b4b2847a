"""One picture's error is that picture's: named with it, and no reason to end the work on the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcolor.data.images import UnusablePictureError
from deepcolor.errors import DataError, DeepcolorError, WorkspaceError
from deepcolor.limits import hits_all

_OF_ITS_NAME = frozenset(
    {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ, errno.ELOOP}
)
"""What a file system says to one name: too long, with letters it does not take, or where something else is."""


@contextmanager
def blamed_on(picture: Path | str, *, out: Path | None = None) -> Iterator[None]:
    """Turn whatever is raised over one picture into an error of that picture.

    Args:
        picture: What to call it.
        out: The folder that results are written to, if any.
    Raises:
        UnusablePictureError: Anything went wrong that need not go wrong with other pictures.
        WorkspaceError: Nothing can be written to `out`, so every other picture would fail too.
        OSError: The process is at a limit of the machine, likewise.
    """
    try:
        yield
    except WorkspaceError as error:
        cause = error.__cause__
        if out is None or not isinstance(cause, OSError) or not _is_of_one_file(cause, out=out):
            raise
        raise UnusablePictureError(f"a result that cannot be written: {cause.strerror}", source=str(picture)) from error
    except DataError as error:
        if isinstance(error, UnusablePictureError) or not isinstance(error.__cause__, OSError):
            raise
        raise UnusablePictureError(_reason(error.__cause__), source=str(picture)) from error
    except DeepcolorError:
        raise
    except Exception as error:
        if hits_all(error):
            raise
        raise UnusablePictureError(_reason(error), source=str(picture)) from error


def _is_of_one_file(error: OSError, *, out: Path) -> bool:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return out.is_dir() and os.access(out, os.W_OK | os.X_OK)
    return error.errno in _OF_ITS_NAME and not (out.exists() and not out.is_dir())


def _reason(error: Exception) -> str:
    """Name the fault, in few words and the same for the same kind."""
    if isinstance(error, MemoryError):
        return "a picture that needs more memory than there is"
    if isinstance(error, OSError):
        return f"a file that cannot be read: {error.strerror or error}"
    return f"a picture that cannot be worked on ({type(error).__name__})"
