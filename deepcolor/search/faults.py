"""A workspace that cannot be written to any more, in the user's words: a full disk, a database that stays locked."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from deepcolor.errors import WorkspaceError
from deepcolor.workspace import Workspace

_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def writing_below(workspace: Workspace) -> Iterator[None]:
    """Turn a failure to write the studies database or a file of the workspace into the line the user sees.

    Raises:
        WorkspaceError: The disk is full or failing, or the database was locked for longer than a writer waits.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (StorageInternalError, OperationalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = " ".join(str(getattr(cause, "orig", None) or cause or error).split())
        raise WorkspaceError(
            f"studies database: could not be written; got {reason} ({workspace.optuna_db}). {_ADVICE}"
        ) from error
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise WorkspaceError(
            f"workspace: could not be written; got {error.strerror} ({error.filename or workspace.root}). {_ADVICE}"
        ) from error


_ADVICE = "Free disk space, or end what locks it, then run the same command again: it goes on where it was."
