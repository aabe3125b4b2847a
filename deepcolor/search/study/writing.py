"""Write a study's trials: everything that belongs together in one transaction, a statement for each table.

Optuna writes each attribute, each value and each change of state by itself, and reads the trial again before it does.
A driver knows its trials (`mirror`), so it need not. What is written is what Optuna would have written.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from deepcolor.search.study.optuna_private import engine_of, whole_tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

COLUMNS = {
    "TrialModel": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "TrialParamModel": ("param_id", "trial_id", "param_name", "param_value", "distribution_json"),
    "TrialValueModel": ("trial_value_id", "trial_id", "objective", "value", "value_type"),
    "TrialIntermediateValueModel": (
        "trial_intermediate_value_id",
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
    ),
    "TrialUserAttributeModel": ("trial_user_attribute_id", "trial_id", "key", "value_json"),
    "TrialSystemAttributeModel": ("trial_system_attribute_id", "trial_id", "key", "value_json"),
}
"""All columns of the tables that are written; in a table with others something would be missing."""
_INSERTS = {"sqlite": "sqlalchemy.dialects.sqlite", "postgresql": "sqlalchemy.dialects.postgresql"}
"""By dialect, where there is an INSERT that updates what is there already."""


@dataclass(frozen=True)
class Changes:
    """What is to be written of one trial, all of it or nothing."""

    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    """Those that Optuna's samplers read."""
    steps: Mapping[int, float] = field(default_factory=dict)
    """Values at epochs (Optuna's intermediate values)."""
    state: TrialState | None = None
    """What the trial becomes; None: it stays open."""
    values: Sequence[float] | None = None
    """With the state."""


def write_in_steps(storage: BaseStorage, trial_id: int, changes: Changes) -> None:
    """Write changes by Optuna's public methods, one after the other; the state comes last, as it closes the trial."""
    for key, value in changes.user_attrs.items():
        storage.set_trial_user_attr(trial_id, key, value)
    for key, value in changes.system_attrs.items():
        storage.set_trial_system_attr(trial_id, key, value)
    for step, value in changes.steps.items():
        storage.set_trial_intermediate_value(trial_id, step, value)
    if changes.state is not None:
        storage.set_trial_state_values(trial_id, changes.state, changes.values)


class Writer:
    """Writes the trials of a study into its database."""

    def __init__(
        self, engine: Engine, models: Any, study_id: int, *, fence: Callable[[Connection], None] | None = None
    ) -> None:
        self._engine = engine
        self._models = models
        self._study_id = study_id
        self._fence = fence
        self._distributions: dict[int, tuple[BaseDistribution, str]] = {}

    @classmethod
    def of(
        cls, storage: RDBStorage, study_id: int, *, fence: Callable[[Connection], None] | None = None
    ) -> Writer | None:
        """Return what writes into a storage; None where its tables are not as they are known here.

        Args:
            storage: The storage.
            study_id: Optuna's id of the study.
            fence: Called in each transaction before it writes, to raise if this process may not write.
        """
        models, engine = whole_tables(COLUMNS), engine_of(storage)
        if models is None or engine is None or engine.dialect.name not in _INSERTS:
            return None
        return cls(engine, models, study_id, fence=fence)

    def create(self, trial: FrozenTrial, *, number: int, again: bool = False) -> int:
        """Write a new trial, and return Optuna's id of it.

        Args:
            trial: Open, without values.
            number: How many trials the study has so far.
            again: It may have been written before, by a transaction of which nobody knows how it ended.
        """
        with self._writing() as connection:
            if again and (written := self._trial_id(connection, number)) is not None:
                return written  # Nobody else makes trials of this study, and all of it was one transaction.
            created = connection.execute(
                self._trials.insert(),
                {
                    "number": number,
                    "study_id": self._study_id,
                    "state": trial.state,
                    "datetime_start": _utc(trial.datetime_start),
                    "datetime_complete": None,
                },
            )
            assert created.inserted_primary_key is not None, "both databases tell it of a single row"
            trial_id = int(created.inserted_primary_key[0])
            params = [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": trial.distributions[name].to_internal_repr(value),
                    "distribution_json": self._distribution(trial.distributions[name]),
                }
                for name, value in trial.params.items()
            ]
            if params:
                connection.execute(self._params.insert(), params)
            for table, attrs in ((self._user_attrs, trial.user_attrs), (self._system_attrs, trial.system_attrs)):
                rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(attrs[key])} for key in attrs]
                if rows:
                    connection.execute(table.insert(), rows)
        return trial_id

    def change(self, trial_id: int, changes: Changes, *, ended: datetime) -> None:
        """Write changes of an open trial; done again, they change nothing.

        Args:
            trial_id: Optuna's id of it.
            changes: All of them.
            ended: When it ended, if they end it; local and without a zone.
        """
        with self._writing() as connection:
            for put, attrs in (
                (self._put_user_attrs, changes.user_attrs),
                (self._put_system_attrs, changes.system_attrs),
            ):
                if attrs:
                    rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(attrs[key])} for key in attrs]
                    connection.execute(put, rows)
            if changes.steps:
                connection.execute(self._put_steps, [self._step(trial_id, *item) for item in changes.steps.items()])
            if changes.values:
                values = [self._value(trial_id, *item) for item in enumerate(changes.values)]
                connection.execute(self._put_values, values)
            if changes.state is not None:
                at = _utc(ended) if changes.state.is_finished() else None
                connection.execute(self._close, {"of": trial_id, "state": changes.state, "datetime_complete": at})

    def _trial_id(self, connection: Connection, number: int) -> int | None:
        from sqlalchemy import select

        trials = self._trials
        of_study = (trials.c.study_id == self._study_id) & (trials.c.number == number)
        found = connection.execute(select(trials.c.trial_id).where(of_study)).scalar()
        return None if found is None else int(found)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.begin() as connection:
                if self._fence is not None:
                    self._fence(connection)
                yield connection
        except SQLAlchemyError as error:
            raise StorageInternalError("the studies database could not be written") from error  # As Optuna does.

    def _step(self, trial_id: int, step: int, value: float) -> dict[str, Any]:
        stored, kind = self._models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        return {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}

    def _value(self, trial_id: int, objective: int, value: float) -> dict[str, Any]:
        stored, kind = self._models.TrialValueModel.value_to_stored_repr(value)
        return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}

    def _distribution(self, distribution: BaseDistribution) -> str:
        known = self._distributions.get(id(distribution))
        if known is None:  # It is kept, so that no other one can have its id.
            known = self._distributions[id(distribution)] = distribution, distribution_to_json(distribution)
        return known[1]

    @cached_property
    def _trials(self) -> Any:
        return self._models.TrialModel.__table__

    @cached_property
    def _params(self) -> Any:
        return self._models.TrialParamModel.__table__

    @cached_property
    def _user_attrs(self) -> Any:
        return self._models.TrialUserAttributeModel.__table__

    @cached_property
    def _system_attrs(self) -> Any:
        return self._models.TrialSystemAttributeModel.__table__

    @cached_property
    def _put_user_attrs(self) -> Any:
        return _upsert(self._engine.dialect.name, self._user_attrs, key=("trial_id", "key"), values=("value_json",))

    @cached_property
    def _put_system_attrs(self) -> Any:
        return _upsert(self._engine.dialect.name, self._system_attrs, key=("trial_id", "key"), values=("value_json",))

    @cached_property
    def _put_steps(self) -> Any:
        table = self._models.TrialIntermediateValueModel.__table__
        return _upsert(
            self._engine.dialect.name,
            table,
            key=("trial_id", "step"),
            values=("intermediate_value", "intermediate_value_type"),
        )

    @cached_property
    def _put_values(self) -> Any:
        table = self._models.TrialValueModel.__table__
        return _upsert(self._engine.dialect.name, table, key=("trial_id", "objective"), values=("value", "value_type"))

    @cached_property
    def _close(self) -> Any:
        from sqlalchemy import bindparam, update

        return update(self._trials).where(self._trials.c.trial_id == bindparam("of"))


def _upsert(dialect: str, table: Any, *, key: Sequence[str], values: Sequence[str]) -> Any:
    statement = importlib.import_module(_INSERTS[dialect]).insert(table)
    return statement.on_conflict_do_update(
        index_elements=[table.c[name] for name in key], set_={name: statement.excluded[name] for name in values}
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna stores UTC and shows local time, both without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
