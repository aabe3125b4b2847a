"""An Optuna storage in front of another one."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from deepcolor.errors import UserError


class StorageInFront(BaseStorage):
    """Passes everything on to the storage behind it; subclasses override what should not be passed on."""

    def __new__(cls, *_args: Any, **_options: Any) -> Self:
        """Say so where a version of Optuna asks a storage for more than is passed on here."""
        if unknown := sorted(cls.__abstractmethods__):
            raise UserError(
                f"Optuna: must be a version that deepcolor knows; got {optuna.__version__}, which also asks a storage "
                f"for {', '.join(unknown)}. Install the one that constraints.txt names, or a later deepcolor."
            )
        return super().__new__(cls)

    def __init__(self, behind: BaseStorage) -> None:
        self._behind = behind

    # --- studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._behind.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self._behind.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._behind.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._behind.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._behind.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._behind.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._behind.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._behind.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._behind.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[Any]:
        return self._behind.get_all_studies()

    # --- trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self._behind.create_new_trial(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._behind.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        return self._behind.set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._behind.set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._behind.set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._behind.set_trial_system_attr(trial_id, key, value)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._behind.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._behind.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._behind.get_all_trials(study_id, deepcopy=deepcopy, states=states)

    def get_n_trials(self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None) -> int:
        return self._behind.get_n_trials(study_id, state)

    def remove_session(self) -> None:
        self._behind.remove_session()


def numbered(trial: FrozenTrial, *, number: int, trial_id: int) -> FrozenTrial:
    """Return a trial under another number; its dicts and lists are its own."""
    return FrozenTrial(
        number=number,
        trial_id=trial_id,
        state=trial.state,
        value=None,
        values=list(trial.values) if trial.values else None,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs=dict(trial.user_attrs),
        system_attrs=dict(trial.system_attrs),
        intermediate_values=dict(trial.intermediate_values),
    )
