"""Copy a study from one database to another: its rows as they are, in one transaction, compared afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import RDBStorage

from deepcolor.errors import StudyError, UserError
from deepcolor.search.study.optuna_private import engine_of, whole_tables
from deepcolor.search.study.reading import read_trials
from deepcolor.search.study.writing import COLUMNS

if TYPE_CHECKING:
    from sqlalchemy import Connection

_OF_STUDIES = {
    "StudyModel": ("study_id", "study_name"),
    "StudyDirectionModel": ("study_direction_id", "direction", "study_id", "objective"),
    "StudyUserAttributeModel": ("study_user_attribute_id", "study_id", "key", "value_json"),
    "StudySystemAttributeModel": ("study_system_attribute_id", "study_id", "key", "value_json"),
}
_ROWS_AT_ONCE = 1000


def copy_study(source: RDBStorage, target: RDBStorage, name: str) -> bool:
    """Copy a study; the caller keeps drivers from it in both databases.

    Args:
        source: Holds it.
        target: Gets it.
        name: Its name, there and here.
    Returns:
        False where the target has it already, just as it is.
    Raises:
        StudyError: The target has another study of this name, or does not hold afterwards what was written.
    """
    content = _content(source, name)
    if name in {study.study_name for study in target.get_all_studies()}:
        if _content(target, name) == content:
            return False
        raise StudyError(
            f"study: {name!r} must not be overwritten; got one of this name in the other database that differs. "
            "Delete that one first, or leave this one out."
        )
    models, reading, writing = whole_tables({**COLUMNS, **_OF_STUDIES}), engine_of(source), engine_of(target)
    if models is None or reading is None or writing is None:
        raise UserError(
            f"Optuna: must be a version that deepcolor knows; got {optuna.__version__}, with other tables. Install the "
            "one that constraints.txt names, or a later deepcolor."
        )
    with reading.connect() as old, writing.begin() as new:
        _copy(old, new, models, name)
    if _content(target, name) != content:
        optuna.delete_study(study_name=name, storage=target)
        raise StudyError(f"study: {name!r} must be the same once it is copied; got another, which was removed again.")
    return True


def _copy(old: Connection, new: Connection, models: Any, name: str) -> None:
    from sqlalchemy import insert, select

    studies, trials = models.StudyModel.__table__, models.TrialModel.__table__
    study_id = old.execute(select(studies.c.study_id).where(studies.c.study_name == name)).scalar_one()
    made = new.execute(insert(studies).returning(studies.c.study_id), {"study_name": name}).scalar_one()
    for model in ("StudyDirectionModel", "StudyUserAttributeModel", "StudySystemAttributeModel"):
        table = getattr(models, model).__table__
        rows = old.execute(_ordered(table).where(table.c.study_id == study_id)).mappings().all()
        _insert(new, table, [{**_without_id(table, row), "study_id": made} for row in rows])
    rows = old.execute(_ordered(trials).where(trials.c.study_id == study_id)).mappings().all()
    ids: dict[int, int] = {}
    returning = insert(trials).returning(trials.c.trial_id, sort_by_parameter_order=True)
    for some in _portions(rows):
        written = (
            new.execute(returning, [{**_without_id(trials, row), "study_id": made} for row in some]).scalars().all()
        )
        ids.update(zip((row["trial_id"] for row in some), written, strict=True))
    for model in COLUMNS:
        table = getattr(models, model).__table__
        if table is not trials:
            chosen = _ordered(table).join(trials, trials.c.trial_id == table.c.trial_id)
            rows = old.execute(chosen.where(trials.c.study_id == study_id)).mappings().all()
            _insert(new, table, [{**_without_id(table, row), "trial_id": ids[row["trial_id"]]} for row in rows])


def _ordered(table: Any) -> Any:
    from sqlalchemy import select

    return select(table).order_by(*table.primary_key)


def _without_id(table: Any, row: Any) -> dict[str, Any]:
    own = {column.name for column in table.primary_key}
    return {name: value for name, value in row.items() if name not in own}


def _insert(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for some in _portions(rows):
        connection.execute(table.insert(), list(some))


def _portions(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[first : first + _ROWS_AT_ONCE]


def _content(storage: RDBStorage, name: str) -> list[str]:
    """All that a database holds of a study, as text: what is not a number equals itself there."""
    study_id = storage.get_study_id_from_name(name)
    attrs = storage.get_study_user_attrs(study_id), storage.get_study_system_attrs(study_id)
    content = [repr(storage.get_study_directions(study_id)), *(json.dumps(each, sort_keys=True) for each in attrs)]
    for trial in read_trials(storage, study_id).values():
        known = {key: value for key, value in vars(trial).items() if key != "_trial_id"}
        content.append(repr({key: sorted(v.items()) if isinstance(v, dict) else v for key, v in known.items()}))
    return content
