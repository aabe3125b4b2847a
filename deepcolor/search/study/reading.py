"""Read all trials of a study at once: one statement per table, without an object for every row as in Optuna."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from deepcolor.search.study.optuna_private import engine_of, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

_OF_TRIAL = ("trial_id", "number", "state", "_datetime_start_utc", "_datetime_complete_utc")
_BESIDE = {
    "TrialParamModel": ("param_name", "param_value", "distribution_json"),
    "TrialValueModel": ("value", "value_type"),
    "TrialIntermediateValueModel": ("step", "intermediate_value", "intermediate_value_type"),
    "TrialUserAttributeModel": ("key", "value_json"),
    "TrialSystemAttributeModel": ("key", "value_json"),
}
"""The tables of what belongs to a trial, and the columns that are read."""
_Rows = dict[int, list[Any]]
"""The rows that belong to each trial, by the trial's id in Optuna."""


def read_trials(storage: RDBStorage, study_id: int) -> dict[int, FrozenTrial]:
    """Return a study's trials as its database holds them now, by Optuna's id of each, in the order of their numbers:
    what `get_all_trials` would return, in a few statements.
    """
    models, engine = tables(_needed()), engine_of(storage)
    if models is None or engine is None:
        trials = storage.get_all_trials(study_id, deepcopy=False)
        return {storage.get_trial_id_from_study_id_trial_number(study_id, trial.number): trial for trial in trials}
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    with engine.connect() as connection:
        # The trials come first: what belongs to one that is finished is all there by then.
        rows = _trials(connection, study_id, models.TrialModel)
        params, values, steps, user_attrs, system_attrs = (
            _rows(connection, study_id, models.TrialModel, getattr(models, model), columns)
            for model, columns in _BESIDE.items()
        )
    found = {}
    for trial_id, number, state, started, completed in rows:
        kinds = {name: _distribution(kind) for name, _, kind in params[trial_id]}
        found[trial_id] = FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[value.stored_repr_to_value(*row) for row in values[trial_id]] or None,
            datetime_start=_local(started),
            datetime_complete=_local(completed),
            params={name: kinds[name].to_external_repr(stored) for name, stored, _ in params[trial_id]},
            distributions=kinds,
            user_attrs={key: json.loads(text) for key, text in user_attrs[trial_id]},
            system_attrs={key: json.loads(text) for key, text in system_attrs[trial_id]},
            intermediate_values={
                epoch: step.stored_repr_to_intermediate_value(*stored) for epoch, *stored in steps[trial_id]
            },
            trial_id=trial_id,
        )
    return found


def _needed() -> dict[str, tuple[str, ...]]:
    """What is read of Optuna's tables, by their classes."""
    needed = {model: ("trial_id", *columns) for model, columns in _BESIDE.items()} | {
        "TrialModel": ("study_id", *_OF_TRIAL)
    }
    needed["TrialValueModel"] += ("stored_repr_to_value",)
    needed["TrialIntermediateValueModel"] += ("stored_repr_to_intermediate_value",)
    return needed


def _trials(connection: Connection, study_id: int, trial: Any) -> Sequence[Any]:
    from sqlalchemy import select

    statement = select(*(getattr(trial, name) for name in _OF_TRIAL))
    return connection.execute(statement.where(trial.study_id == study_id).order_by(trial.number)).all()


def _rows(connection: Connection, study_id: int, trial: Any, model: Any, columns: Sequence[str]) -> _Rows:
    """The rows of one table that belong to a study's trials, in the order in which they were written."""
    from sqlalchemy import inspect, select

    statement = select(model.trial_id, *(getattr(model, name) for name in columns))
    statement = statement.join(trial, trial.trial_id == model.trial_id)
    statement = statement.where(trial.study_id == study_id).order_by(*inspect(model).primary_key)
    rows: _Rows = defaultdict(list)
    for trial_id, *row in connection.execute(statement).all():
        rows[trial_id].append(row)
    return rows


@cache
def _distribution(text: str) -> BaseDistribution:
    """A study has a few distributions, and a row with one of them for every parameter of every trial."""
    return json_to_distribution(text)


def _local(moment: datetime | None) -> datetime | None:
    """Optuna stores UTC and shows local time, both without a zone."""
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if moment else None
