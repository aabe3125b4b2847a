"""Read all trials of a study at once: one statement a table, and no object for every row, which is Optuna's way."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import Study
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from sqlalchemy import Connection

_Rows = dict[int, list[Any]]
"""The rows that belong to each trial, by Optuna's id of it."""


def read_trials(study: Study) -> list[FrozenTrial]:
    """Return a study's trials as its database holds them now, by number: what `study.get_trials()` would return.

    Args:
        study: In an `RDBStorage`, opened with its URL or as an object.
    """
    from optuna.storages._rdb import models  # Optuna's tables have no public name, nor has a study's database.

    engine, study_id = study._storage._backend.engine, study._study_id  # type: ignore[attr-defined]  # noqa: SLF001
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    with engine.connect() as connection:
        # The trials come first: what belongs to one that is finished is all there by then.
        trials = _trials(connection, study_id)
        params, values, steps, user_attrs, system_attrs = (
            _rows(connection, study_id, model, columns)
            for model, columns in (
                (models.TrialParamModel, ("param_name", "param_value", "distribution_json")),
                (value, ("value", "value_type")),
                (step, ("step", "intermediate_value", "intermediate_value_type")),
                (models.TrialUserAttributeModel, ("key", "value_json")),
                (models.TrialSystemAttributeModel, ("key", "value_json")),
            )
        )
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[value.stored_repr_to_value(*row) for row in values[trial_id]] or None,
            datetime_start=_local(started),
            datetime_complete=_local(completed),
            params={name: _distribution(kind).to_external_repr(stored) for name, stored, kind in params[trial_id]},
            distributions={name: _distribution(kind) for name, _, kind in params[trial_id]},
            user_attrs={key: json.loads(text) for key, text in user_attrs[trial_id]},
            system_attrs={key: json.loads(text) for key, text in system_attrs[trial_id]},
            intermediate_values={
                epoch: step.stored_repr_to_intermediate_value(*stored) for epoch, *stored in steps[trial_id]
            },
            trial_id=trial_id,
        )
        for trial_id, number, state, started, completed in trials
    ]


def _trials(connection: Connection, study_id: int) -> Sequence[Any]:
    from optuna.storages._rdb.models import TrialModel
    from sqlalchemy import select

    columns = ("trial_id", "number", "state", "_datetime_start_utc", "_datetime_complete_utc")
    statement = select(*(getattr(TrialModel, name) for name in columns))
    return connection.execute(statement.where(TrialModel.study_id == study_id).order_by(TrialModel.number)).all()


def _rows(connection: Connection, study_id: int, model: Any, columns: Sequence[str]) -> _Rows:
    """The rows of one table that belong to a study's trials, in the order in which they were written."""
    from optuna.storages._rdb.models import TrialModel
    from sqlalchemy import inspect, select

    statement = select(model.trial_id, *(getattr(model, name) for name in columns))
    statement = statement.join(TrialModel, TrialModel.trial_id == model.trial_id)
    statement = statement.where(TrialModel.study_id == study_id).order_by(*inspect(model).primary_key)
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
