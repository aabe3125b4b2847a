"""What the sampler draws from, and what it is shown of the trials it learns from."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from deepcolor.config.schema import SearchConfig


def sampler_of(search: SearchConfig, *, trials: int) -> BaseSampler:
    """Return the sampler of a search; its seed moves on with the number of trials, so that a restart does not draw the
    same again.
    """
    seed = search.seed + trials
    return optuna.samplers.TPESampler(seed=seed) if search.sampler == "tpe" else optuna.samplers.RandomSampler(seed)


def asking(study: Study, sampler: BaseSampler) -> Study:
    """Return the study as a sampler should see it: new trials go into the same storage."""
    shown: Any = _Shown(study._storage)  # noqa: SLF001  # a study's storage has no public name
    return optuna.load_study(study_name=study.study_name, storage=shown, sampler=sampler)


class _Shown:
    """A storage whose trials look to a sampler like what is known of them: each one is worth its latest value.

    A trial that waits at a rung is open, as it may go on; Optuna would take it for a bad one. A pruned one it ranks
    below every complete one, so that where `epochs` is searched a short bad training counts as better than a long good
    one that has not come to its end. By value, a trial that has been trained further, or is better, ranks higher, and a
    diverged one is the worst.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        stored = self._storage.get_all_trials(study_id, deepcopy=deepcopy)
        shown = [_shown(trial) for trial in stored]
        return shown if states is None else [trial for trial in shown if trial.state in states]


def _shown(trial: FrozenTrial) -> FrozenTrial:
    if trial.state not in (TrialState.RUNNING, TrialState.PRUNED) or not trial.intermediate_values:
        return trial
    shown = copy.copy(trial)
    shown.state = TrialState.COMPLETE
    shown.values = [trial.intermediate_values[max(trial.intermediate_values)]]
    return shown
