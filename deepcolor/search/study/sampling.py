"""What the sampler draws from, and what it is shown of the trials it learns from."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from deepcolor.config.schema import SearchConfig
from deepcolor.search.study.in_front import StorageInFront, numbered
from deepcolor.search.study.trials import CONFIRMS

_DRAFT_ID = -1
"""No stored trial has it."""


def sampler_of(search: SearchConfig, *, trials: int) -> BaseSampler:
    """Return the sampler of a search; its seed moves on with the number of trials, so that a restart does not draw the
    same again.
    """
    seed = search.seed + trials
    return optuna.samplers.TPESampler(seed=seed) if search.sampler == "tpe" else optuna.samplers.RandomSampler(seed)


def asking(study: str, storage: BaseStorage, sampler: BaseSampler) -> Study:
    """Return a study as a sampler should see it; a trial that it asks for is a draft, to be started by its params."""
    return optuna.load_study(study_name=study, storage=_Shown(storage), sampler=sampler)


class _Shown(StorageInFront):
    """A storage whose trials look to a sampler like what is known of them: each one is worth its latest value.

    A trial that waits at a rung is open, as it may go on; Optuna would take it for a bad one. A pruned one it ranks
    below every complete one, so that where `epochs` is searched a short bad training counts as better than a long good
    one that has not come to its end. By value, a trial that has been trained further, or is better, ranks higher, and a
    diverged one is the worst.

    Trials that confirm another one are not shown: the sampler knows their setting already, by the value it was chosen
    for.

    The trial being drawn is a draft in memory, never shown and never stored: stored as it is drawn, it would cost a
    transaction for every parameter, and a crash could leave half of it.
    """

    def __init__(self, behind: BaseStorage) -> None:
        super().__init__(behind)
        self._draft = _new_draft(number=0)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        stored = self._behind.get_all_trials(study_id, deepcopy=deepcopy)
        shown = [_shown(trial) for trial in stored if CONFIRMS not in trial.user_attrs]
        return shown if states is None else [trial for trial in shown if trial.state in states]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:  # noqa: ARG002  # Optuna's signature
        self._draft = _new_draft(number=len(self._behind.get_all_trials(study_id, deepcopy=False)))
        return _DRAFT_ID

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._draft if trial_id == _DRAFT_ID else self._behind.get_trial(trial_id)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        assert trial_id == _DRAFT_ID, "only what is being drawn is written"
        self._draft.params[param_name] = distribution.to_external_repr(param_value_internal)
        self._draft.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        assert trial_id == _DRAFT_ID, "only what is being drawn is written"
        self._draft.system_attrs[key] = value


def _new_draft(*, number: int) -> FrozenTrial:
    return numbered(optuna.trial.create_trial(state=TrialState.RUNNING), number=number, trial_id=_DRAFT_ID)


def _shown(trial: FrozenTrial) -> FrozenTrial:
    if trial.state not in (TrialState.RUNNING, TrialState.PRUNED) or not trial.intermediate_values:
        return trial
    shown = copy.copy(trial)
    shown.state = TrialState.COMPLETE
    shown.values = [trial.intermediate_values[max(trial.intermediate_values)]]
    return shown
