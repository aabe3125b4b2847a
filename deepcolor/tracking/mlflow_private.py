"""What is used of MLflow's own workings, for which it has no public name; a store is as good where one is not there.

Nothing here imports MLflow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Engine

ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""The variable that says where the artifacts of a store lie that is opened by its URI."""
ENGINES: tuple[Callable[[Any], Any], ...] = (
    lambda client: client._tracking_client.store.engine,  # noqa: SLF001  # see above
    lambda client: client._get_registry_client().store.engine,  # noqa: SLF001  # see above
)
"""A client's connections to its database: of the runs, and of the models."""


@contextmanager
def artifacts_at(folder: Path) -> Iterator[None]:
    """Let a store that is opened meanwhile have its artifacts there.

    Left to itself it would take `mlruns` below the present folder, and paste that into its first SQL as it stands. A
    database that has been set up so is put right by `relocation.put_default`.
    """
    before = os.environ.get(ARTIFACT_ROOT)
    os.environ[ARTIFACT_ROOT] = folder.as_uri()
    try:
        yield
    finally:
        if before is None:
            del os.environ[ARTIFACT_ROOT]
        else:
            os.environ[ARTIFACT_ROOT] = before


def engines(client: MlflowClient) -> list[Engine]:
    """Return what a client talks to its database by, which it has no way to set or close; none where it is not known.

    Then `sqlite.set_journal` sets what can be set in the database itself.
    """
    from sqlalchemy import Engine

    found = []
    for engine_of in ENGINES:
        with suppress(AttributeError):
            found.append(engine_of(client))
    return [engine for engine in found if isinstance(engine, Engine)]
