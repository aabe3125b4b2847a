"""Which databases have held studies of a workspace, beside the one that is used now: whoever removes trainings must ask
all of them what is needed.

    studies/.storages   a URL a line, without a password
"""

from __future__ import annotations

from dataclasses import replace

from deepcolor.atomic import write_atomically
from deepcolor.plainfile import read_plain
from deepcolor.sqlite import sqlite_url
from deepcolor.workspace import Workspace

USED_FILE = ".storages"
_MOST_BYTES = 2**20


def note_use(workspace: Workspace) -> None:
    """Remember that a study of this workspace is in the database it uses now.

    Raises:
        OSError: The workspace cannot be written to.
    """
    if not workspace.on_server and workspace.optuna_db == workspace.own_db:
        return
    url = _written(workspace)
    if url not in (known := _known(workspace)):
        write_atomically(workspace.studies / USED_FILE, "".join(f"{one}\n" for one in [*known, url]).encode())


def all_used(workspace: Workspace) -> list[Workspace]:
    """Return a workspace as it is, and as it is with each other database that holds studies of it."""
    own = replace(workspace, named_storage=sqlite_url(workspace.own_db))
    others = [own] if own.own_db.exists() else []
    file = str(workspace.studies / USED_FILE)
    others += [replace(workspace, named_storage=url, storage_option=file) for url in _known(workspace)]
    found = {_written(workspace): workspace}
    for other in others:
        found.setdefault(_written(other), other)
    return list(found.values())


def _written(workspace: Workspace) -> str:
    return workspace.storage_to_keep if workspace.on_server else sqlite_url(workspace.optuna_db)


def _known(workspace: Workspace) -> list[str]:
    try:
        text = read_plain(workspace.studies / USED_FILE, most_bytes=_MOST_BYTES).decode()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]
