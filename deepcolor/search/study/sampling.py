"""What the sampler draws from, and how the trials it learns from are shown to it."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from deepcolor.config.schema import SearchConfig
from deepcolor.errors import CodeError
from deepcolor.fields.named import SAMPLERS
from deepcolor.plugins import Code
from deepcolor.search.study.in_front import StorageInFront, numbered
from deepcolor.search.study.space import distributions
from deepcolor.search.study.tpe import EPOCHS, UNFINISHED, CurveTPE
from deepcolor.search.study.trials import CONFIRMS, PLACE

_DRAFT_ID = -1
"""No stored trial has it."""


def sampler_of(search: SearchConfig, *, trials: int, code: Code) -> BaseSampler:
    """Return the sampler of a search; its seed depends on the number of trials, so that a restart does not draw the
    same again.

    Raises:
        CodeError: A user's own cannot be imported or is not a sampler, or does not take the options.
    """
    shipped = {"tpe": CurveTPE, "random": optuna.samplers.RandomSampler}
    shipped["grid"] = shipped["random"]  # Never asked to draw.
    kind = shipped.get(search.sampler) or code.load(search.sampler, group=SAMPLERS.group)
    try:
        seed = {"seed": search.seed + trials} if "seed" in inspect.signature(kind).parameters else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # The user has asked for it.
            sampler = kind(**search.sampler_options, **seed)
    except Exception as error:
        rule, got = f"the sampler {search.sampler} must take its options", f"{type(error).__name__}: {error}"
        raise CodeError(rule, got=got, advice="Correct search.sampler_options.") from error
    if not isinstance(sampler, BaseSampler):
        rule = f"the sampler {search.sampler} must be an optuna.samplers.BaseSampler"
        raise CodeError(rule, got=type(sampler).__name__, advice="Derive it from that class.")
    return sampler


@dataclass(frozen=True)
class Drawn:
    """What a sampler has drawn: a setting, and its own notes on the trial."""

    params: dict[str, Any]
    notes: dict[str, Any]
    """Optuna's system attributes."""


class Drawing:
    """A study as its sampler should see it; the trial that it draws is only a draft, which is then started as drawn."""

    def __init__(self, study: str, storage: BaseStorage, search: SearchConfig, sampler: BaseSampler) -> None:
        self._shown = _Shown(storage)
        self._study = optuna.load_study(study_name=study, storage=self._shown, sampler=sampler)
        self._search = search
        self._brought = search.sampler not in SAMPLERS.shipped

    def draw(self) -> Drawn:
        """Draw a setting. A shipped sampler's notes are only needed while it draws, and are dropped.

        Raises:
            CodeError: A user's sampler has failed.
        """
        try:
            drawn = self._study.ask(fixed_distributions=distributions(self._search))
        except Exception as error:
            if not self._brought:
                raise
            raise self._failed(error) from error
        return Drawn(drawn.params, dict(self._shown.notes) if self._brought else {})

    def finishing(self, trial: FrozenTrial, state: TrialState, value: float | None) -> None:
        """Tell a user's sampler that a trial is about to end, as Optuna does."""
        if self._brought:
            try:
                values = None if value is None else [value]
                self._study.sampler.after_trial(self._study, trial, state, values)
            except Exception as error:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> CodeError:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        return CodeError(f"the sampler {self._search.sampler} must draw settings", got=got, advice="Fix it.")


class _Shown(StorageInFront):
    """A storage that shows a sampler what is known of each trial: its latest value, and how far it was trained.

    A trial that waits at a rung is open, as it may continue; Optuna would take it for a bad one. Optuna ranks a pruned
    trial below every complete one, so that where `epochs` is searched a short bad training counts as better than a long
    good one that was not trained to its end. By value, a trial that has been trained further, or is better, ranks
    higher, and a diverged one is the worst.

    Trials that confirm another one are not shown: the sampler already knows their setting, by the value it was chosen
    for.

    The trial being drawn is a draft in memory, never shown and never stored: if it were stored while being drawn, it
    would cost a transaction for every parameter, and a crash could leave half of it.
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
        if trial_id == _DRAFT_ID:
            self._draft.system_attrs[key] = value
        else:
            self._behind.set_trial_system_attr(trial_id, key, value)

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler has written on the draft."""
        return self._draft.system_attrs


def _new_draft(*, number: int) -> FrozenTrial:
    return numbered(optuna.trial.create_trial(state=TrialState.RUNNING), number=number, trial_id=_DRAFT_ID)


def _shown(trial: FrozenTrial) -> FrozenTrial:
    unfinished = trial.state in (TrialState.RUNNING, TrialState.PRUNED)
    if not trial.intermediate_values or (not unfinished and trial.state != TrialState.COMPLETE):
        return trial
    shown = copy.copy(trial)
    if unfinished:
        shown.state = TrialState.COMPLETE
        shown.values = [trial.intermediate_values[max(trial.intermediate_values)]]
    place = trial.user_attrs.get(PLACE) or {}
    shown.user_attrs = {**trial.user_attrs, EPOCHS: place.get("epochs") or 0, UNFINISHED: unfinished}
    return shown
