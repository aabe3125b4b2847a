"""A workspace that cannot be written to any more, in the user's words: a full disk, a database that stays locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from deepcolor.errors import WorkspaceError
from deepcolor.limits import refusal
from deepcolor.search.study.server import server_of
from deepcolor.workspace import Workspace


@contextmanager
def writing_below(workspace: Workspace) -> Iterator[None]:
    """Turn a failure to write the studies database or a file of the workspace into the line the user sees.

    Raises:
        WorkspaceError: The disk is full or failing, this user may not use its files, the process is at a limit of the
            machine, or the database was locked for longer than a writer waits.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (StorageInternalError, OperationalError) as error:
        if (server := server_of(workspace)) is not None:
            raise server.refused(error) from error
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = " ".join(str(getattr(cause, "orig", None) or cause or error).split())
        raise WorkspaceError(
            f"studies database: could not be written; got {reason} ({workspace.optuna_db}). {_advice(error)}"
        ) from error
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise WorkspaceError(str(replace(refused, path=refused.path or str(workspace.root)))) from error


def _advice(error: Exception) -> str:
    refused = refusal(error)
    # What SQLite calls a disk error is usually a lack of space.
    if refused is not None and refused.kind not in {"space", "device"}:
        return refused.advice
    return "Free disk space, or end what locks it, then run the same command again: it continues where it stopped."
