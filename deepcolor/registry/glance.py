"""A glance at the registered models of a workspace's own database that takes no time: no MLflow, no server.

It serves a shell that completes names; whoever needs to know asks `versions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from deepcolor.sqlite import read_only

PREFIX = "deepcolor-"
"""As `names.PREFIX`, whose module imports what no glance needs."""
_WITHIN_S = 0.1


def glance_at_models(database: Path) -> Iterator[str]:
    """Yield the references of all models: `colorizer@champion`, then `colorizer@3`; none where nothing is registered.

    Args:
        database: MLflow's, a file of SQLite.
    """
    if not database.is_file():
        return
    with closing(read_only(database, within_s=_WITHIN_S)) as connection:
        for table, column in (("registered_model_aliases", "alias"), ("model_versions", "version")):
            for name, which in connection.execute(f"select name, {column} from {table} order by 1, 2"):  # noqa: S608  # ours
                if name.startswith(PREFIX):
                    yield f"{name.removeprefix(PREFIX)}@{which}"
