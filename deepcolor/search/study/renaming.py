"""The names of a study: how it gets another one, and what tells those apart that it has had.

A study's name is how it is referred to: on the command line, in sweep files, in the tags of registered versions. What
refers to it by a former name is not rewritten: the study remembers all names that it has had, and they stay its own.

    one transaction: the new name, the names it has had, the name in its sweep, and whose folder has yet to follow
    move the folder's content
    forget that it had yet to follow

Whatever interrupts that, whoever opens the study next continues it (`StudyStorage.load`, `StudyStorage.open`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from deepcolor.errors import StudyError, UserError, WorkspaceError
from deepcolor.search.study.changes import write_resolved
from deepcolor.search.study.extension import COPY_SUFFIX
from deepcolor.search.study.optuna_private import engine_of, whole_tables
from deepcolor.search.study.ownership import forget_folder, undriven
from deepcolor.search.study.starts import read_start, with_study, write_start
from deepcolor.workspace import PIPELINE_FILES, Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.stored import StoredStudy

NAMES = "names"
"""Attribute of a study: every name it has had, the oldest first, the present one among them; missing if it has had one
alone."""
FOLLOWS = "folder_follows"
"""Attribute of a study that has had several names: the one whose folder has yet to follow; empty if none has."""
_COLUMNS = {
    "StudyModel": ("study_id", "study_name"),
    "StudyUserAttributeModel": ("study_user_attribute_id", "study_id", "key", "value_json"),
}
_LOCKS = frozenset({".driver.lock", "driver.json"})
_STAYS = _LOCKS | PIPELINE_FILES
"""What does not follow: the lock is the folder's, and a pipeline may have the name that a study had."""


def names_of(name: str, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every name that a study has had, the oldest first.

    Args:
        name: The present one.
        attrs: The study's attributes.
    """
    return tuple(attrs.get(NAMES) or (name,))


def rename(storage: RDBStorage, name: str, new: str, *, attrs: Mapping[str, Any]) -> None:
    """Give a study another name, in one transaction with attributes that tell of it.

    Args:
        storage: Holds it.
        name: Its name.
        new: The one it gets.
        attrs: Those of its attributes that change.
    Raises:
        StudyError: Another study has got the name meanwhile.
        UserError: Optuna is a version that deepcolor does not know.
    """
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    models, engine = whole_tables(_COLUMNS), engine_of(storage)
    if models is None or engine is None:
        raise UserError(
            f"Optuna: must be a version that deepcolor knows; got {optuna.__version__}, with other tables. Install the "
            "one that constraints.txt names, or a later deepcolor."
        )
    known = storage.get_study_id_from_name(name)
    studies, rows = models.StudyModel.__table__, models.StudyUserAttributeModel.__table__
    try:
        with engine.begin() as connection:
            connection.execute(studies.update().where(studies.c.study_id == known).values(study_name=new))
            for key, value in attrs.items():
                connection.execute(rows.delete().where(rows.c.study_id == known, rows.c.key == key))
                row = {"study_id": known, "key": key, "value_json": json.dumps(value)}
                connection.execute(rows.insert(), row)
    except IntegrityError as error:
        raise _taken(new) from error
    except SQLAlchemyError as error:
        raise StorageInternalError("the studies database could not be written") from error  # As Optuna does.


def now_called(storage: RDBStorage, name: str) -> str | None:
    """Return the present name of the study that once had this one, be it just being written anew; None if there is
    none.
    """
    # Studies of other programs may have an attribute of the same name, but not of both.
    own = [study for study in storage.get_all_studies() if study.user_attrs.keys() >= {NAMES, FOLLOWS}]
    found = (study.study_name for study in own if name in study.user_attrs[NAMES])
    return next((each.removesuffix(COPY_SUFFIX) for each in found), None)


def refuse_taken(workspace: Workspace, new: str, *, by: str | None, of: str) -> None:
    """Refuse a name that is not free.

    Args:
        workspace: Holds the study.
        new: The name.
        by: The present name of the study that has or had it, if one has.
        of: The study that is to get it, which may get one back that it had.
    Raises:
        StudyError: Another study has, or once had, the name; or there is a folder that may be of one elsewhere.
    """
    if by == new:
        raise _taken(new)
    if by not in (None, of):
        raise StudyError(
            f"study name: {new!r} must be free; got one that {by!r} had, and by which it is still found. "
            "Choose another name."
        )
    folder = workspace.study(new)
    if folder.is_dir() and any(path.name not in _STAYS for path in folder.iterdir()):
        raise StudyError(
            f"study name: {new!r} must be free; got a folder of that name, which may be of a study in another "
            f"database ({folder}). Choose another name, or move the folder away."
        )


def _taken(name: str) -> StudyError:
    return StudyError(f"study name: {name!r} must be free; got a study that has it. Choose another name.")


def refuse_elsewhere(workspace: Workspace, study: StoredStudy) -> None:
    """Raise StudyError if the folder of a study is in another workspace, as that of others on a server may be."""
    if not _is_here(workspace, study):
        raise StudyError(
            f"study: {study.name!r} must be renamed in the workspace of its trainings; got another one "
            f"({workspace.root}). Name that one with --workspace."
        )


def refuse_mistakable(study: StoredStudy, *, called_there: Callable[[str], str | None]) -> None:
    """Refuse to copy a study to where another one has, or had, one of its names.

    Args:
        study: To be copied.
        called_there: Gives the present name of the study that has or had a name there.
    Raises:
        StudyError: One has, or had.
    """
    for name in study.names:
        found = called_there(name)
        if found not in (None, study.name):
            raise StudyError(
                f"study: {study.name!r} must not be mistaken for another one in the other database; got {found!r} "
                f"there, and both are found by the name {name!r}. Delete that one first, or leave this one out."
            )


def follow_alone(workspace: Workspace, study: StoredStudy) -> None:
    """Let the folder of a study follow its name where nobody works with either, and it can be written."""
    try:
        with undriven(workspace, study.follows), undriven(workspace, study.name):
            follow(workspace, study)
    except (StudyError, WorkspaceError, StorageInternalError, OSError):
        return  # Somebody else will, or nobody can: the study is read as it is.


def follow(workspace: Workspace, study: StoredStudy) -> None:
    """Let the folder of a study follow its name, if it has yet to. The caller holds the lock of that name.

    Raises:
        OSError: It cannot be moved; this can be done again.
    """
    if study.follows and _is_here(workspace, study):
        move_folder(workspace, study.follows, study.name)
        forget_folder(workspace, study.follows)
        write_resolved(workspace, study.sweep)
        study.put_followed()


def _is_here(workspace: Workspace, study: StoredStudy) -> bool:
    """Whether a study's trainings and folder are in this workspace, as far as is known."""
    return not workspace.on_server or study.workspace_id in (None, workspace.identified())


def move_folder(workspace: Workspace, name: str, new: str) -> None:
    """Let a study's folder follow its name, entry by entry; done again, it moves what is left.

    Args:
        workspace: Holds the study.
        name: The name it had.
        new: The one it has; what is in its folder by now is newer, and stays.
    Raises:
        OSError: Something cannot be moved.
    """
    old, folder = workspace.study(name), workspace.study(new)
    if old.is_dir():
        folder.mkdir(exist_ok=True)
        _move(old, folder, but=_STAYS)
    start = read_start(folder)
    if start is not None and (command := with_study(start.command, new)) != start.command:
        write_start(folder, replace(start, command=command))


def _move(old: Path, folder: Path, *, but: frozenset[str] = frozenset()) -> None:
    for path in sorted(old.iterdir()):
        if path.name in but:
            continue
        target = folder / path.name
        if not target.exists():
            path.rename(target)
        elif path.is_dir() and target.is_dir():
            _move(path, target)
            path.rmdir()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
