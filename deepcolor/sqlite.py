"""How the workspace's SQLite databases are kept: a write-ahead log while they are in use, one whole file afterwards."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine


def use_write_ahead_log(engine: Engine, *, owner: object) -> None:
    """Let readers and the writer go on beside each other, and commit without waiting for the disk each time.

    With synchronous=NORMAL every commit lives through a crash of the process; a power cut may take the last few, which
    the next start does again.

    Args:
        engine: A database in a file; it may be given more than once.
        owner: With its end, or that of the process, the engine's connections are closed. The last connection of all
            takes in the log: the database is then one file, which can be copied by itself.
    """
    from sqlalchemy import event

    if not event.contains(engine, "connect", _configure):
        event.listen(engine, "connect", _configure)
        engine.dispose()
    weakref.finalize(owner, engine.dispose)


def _configure(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
