"""Remove what nothing needs any more, while nobody can begin to need it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.upkeep.collection import Garbage


@dataclass(frozen=True)
class Collected:
    """What a clean-up has found."""

    garbage: Garbage
    asked: tuple[str, ...]
    """The MLflow stores that were asked what their registered versions need."""


def collect_garbage(
    workspace: Workspace, tracking_uri: str, *, also: Sequence[str] = (), keep: int, removing: bool
) -> Collected:
    """Find what nothing needs and, while nobody can begin to need it, remove it.

    The registry of the workspace's own database is always asked, whichever store is named.

    Args:
        workspace: To be looked through.
        tracking_uri: The MLflow store whose registered versions are needed.
        also: Other stores whose versions are.
        keep: How many of each study's best trials keep their weights; 1 or more.
        removing: Remove what was found.
    Raises:
        StudyError: A driver or a promotion is at work; or there is no database that says what is needed.
        TrackingError: A store cannot be read, so what its versions need cannot be known.
    """
    from deepcolor.registry.references import registered
    from deepcolor.search.study.ownership import sole_store
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.upkeep.collection import Garbage, find_garbage, remove
    from deepcolor.tracking.artifacts import without_run

    asked = tuple(dict.fromkeys([tracking_uri, workspace.mlflow_uri, *also]))
    if not workspace.studies.is_dir():
        return Collected(Garbage(()), asked)
    storage = StudyStorage(workspace)
    references = registered(asked)
    if not removing:
        artifacts = without_run(workspace.mlflow_uri, workspace.artifacts)
        garbage = find_garbage(workspace, storage, keep=keep, references=references, artifacts=artifacts)
        return Collected(garbage, asked)
    with sole_store(workspace), ExitStack() as locks:
        _lock_all(locks, workspace, storage)
        # Promotions that came before the store was had alone are seen by this second look.
        references |= registered(asked)
        artifacts = without_run(workspace.mlflow_uri, workspace.artifacts)
        garbage = find_garbage(workspace, storage, keep=keep, references=references, artifacts=artifacts)
        remove(garbage)
        return Collected(garbage, asked)


def _lock_all(locks: ExitStack, workspace: Workspace, storage: StudyStorage) -> None:
    """Own every study: a driver of an older version does not share the store, and is known by its lock alone."""
    from deepcolor.search.study.ownership import driver_lock

    for name in storage.names():
        locks.enter_context(driver_lock(workspace, name, named=False))
