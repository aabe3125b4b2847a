"""Remove what nothing needs any more, while nobody can begin to need it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter, counting
from deepcolor.errors import StudyError, WorkspaceError
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
    workspace: Workspace,
    tracking_uri: str,
    *,
    also: Sequence[str] = (),
    keep: int,
    removing: bool,
    reporter: Reporter = SILENT,
) -> Collected:
    """Find what nothing needs and, while nobody can begin to need it, remove it.

    The registry of the workspace's own database is always asked, whichever store is named.

    Args:
        workspace: To be looked through.
        tracking_uri: The MLflow store whose registered versions are needed.
        also: Other stores whose versions are.
        keep: How many of each study's best trials keep their weights; 1 or more.
        removing: Remove what was found.
        reporter: Is told what is being done, where that takes a while.
    Raises:
        StudyError: A driver or a promotion is at work; or there is no database that says what is needed.
        TrackingError: A store cannot be read, so what its versions need cannot be known.
    """
    from deepcolor.registry.references import registered
    from deepcolor.search.study.ownership import sole_server, sole_store
    from deepcolor.search.study.used import all_used
    from deepcolor.search.upkeep.collection import Garbage, find_garbage, remove
    from deepcolor.tracking.artifacts import without_run

    asked = tuple(dict.fromkeys([tracking_uri, workspace.mlflow_uri, *also]))
    if not workspace.studies.is_dir():
        return Collected(Garbage(()), asked)
    with reporter.starting("gc") as steps, ExitStack() as locks:
        steps.step("looking up registered versions")
        # A study that has moved to another database, or that others keep there, needs its trainings too.
        places = all_used(workspace)
        storage, *others = open_all(places)
        references = registered(asked)

        def find() -> Garbage:
            steps.step("looking for what nothing needs")
            artifacts = without_run(workspace.mlflow_uri, workspace.artifacts)
            return find_garbage(workspace, storage, also=others, keep=keep, references=references, artifacts=artifacts)

        if not removing:
            return Collected(find(), asked)
        for place in [place for place in places[1:] if place.on_server]:
            locks.enter_context(sole_server(place))
        locks.enter_context(sole_store(workspace))
        # A driver of an older version does not share the store, and is known by its lock alone.
        _lock_all(locks, places, [storage, *others])
        # Promotions that came before the store was had alone are seen by this second look.
        references |= registered(asked)
        garbage = find()
        with counting(reporter, steps, "removing", of="thing") as tell:
            remove(garbage, on_progress=tell)
        return Collected(garbage, asked)


def open_all(places: Sequence[Workspace]) -> list[StudyStorage]:
    """Open every database that holds studies of a workspace (`all_used`), the one that is used now first.

    Raises:
        StudyError: One of the others does not answer.
        WorkspaceError: The one that is used now does not.
    """
    from deepcolor.search.study.storage import StudyStorage
    from deepcolor.search.study.used import USED_FILE

    storages: list[StudyStorage] = []
    for number, place in enumerate(places):
        try:
            storages.append(StudyStorage(place))
            storages[-1].names()
        except WorkspaceError as error:
            if number == 0:
                raise
            raise StudyError(
                f"studies: every database in {place.studies / USED_FILE} has held studies of this workspace, and must "
                f"say what they need; {error} If it is gone for ever, remove its line."
            ) from error
    return storages


def _lock_all(locks: ExitStack, workspaces: Sequence[Workspace], storages: Sequence[StudyStorage]) -> None:
    """Keep drivers from every study of a workspace, in all databases that hold some.

    Raises:
        StudyError: A driver is at work on one.
    """
    from deepcolor.search.study.ownership import folder_lock
    from deepcolor.search.study.server import server_of

    names = [storage.names() for storage in storages]
    for name in dict.fromkeys(name for some in names for name in some):
        locks.enter_context(folder_lock(workspaces[0], name))
    for workspace, some in zip(workspaces, names, strict=True):
        if (server := server_of(workspace)) is not None:
            for name in some:
                locks.enter_context(server.undriven(name))
