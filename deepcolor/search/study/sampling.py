"""What the sampler draws from, and how the trials it learns from are shown to it."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from deepcolor.config.schema import ParamValue, Range, SearchConfig, Space
from deepcolor.errors import CodeError
from deepcolor.fields.named import SAMPLERS
from deepcolor.plugins import Code
from deepcolor.search.study.aims import CONSTRAINT
from deepcolor.search.study.in_front import StorageInFront, numbered
from deepcolor.search.study.seen import EPOCHS, UNFINISHED
from deepcolor.search.study.space import distributions
from deepcolor.search.study.tpe import CurveTPE
from deepcolor.search.study.trials import CONFIRMS, PLACE

_DRAFT_ID = -1
"""No stored trial has it."""
_SHIPPED: dict[str, type[BaseSampler]] = {
    "grid": optuna.samplers.RandomSampler,  # Never asked to draw.
    "random": optuna.samplers.RandomSampler,
    "tpe": CurveTPE,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
}
_WITHOUT_NOTES = ("grid", "random", "tpe")
"""What these write on a trial is needed only while they draw it."""


def sampler_of(search: SearchConfig, *, trials: int, code: Code) -> BaseSampler:
    """Return the sampler of a search; its seed depends on the number of trials, so that a restart does not draw the
    same again.

    Raises:
        CodeError: A user's own cannot be imported or is not a sampler, or does not take the options.
    """
    kind: Any = _SHIPPED.get(search.sampler) or code.load(search.sampler, group=SAMPLERS.group)
    try:
        options = {**(_for_tpe(search) if search.sampler == "tpe" else {}), **search.sampler_options}
        seed = {"seed": search.seed + trials} if "seed" in inspect.signature(kind).parameters else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # The user has asked for it.
            sampler = kind(**options, **seed)
    except Exception as error:
        rule, got = f"the sampler {search.sampler} must take its options", f"{type(error).__name__}: {error}"
        raise CodeError(rule, got=got, advice="Correct search.sampler_options.") from error
    if not isinstance(sampler, BaseSampler):
        rule = f"the sampler {search.sampler} must be an optuna.samplers.BaseSampler"
        raise CodeError(rule, got=type(sampler).__name__, advice="Derive it from that class.")
    return sampler


def _for_tpe(search: SearchConfig) -> dict[str, Any]:
    """What tpe is told beside its options, by the space.

    Of lists alone its own draws are taken: soon it draws the good settings again, which costs no epoch
    (docs/decisions/0020). Of parameters that only some trials have its multivariate model knows nothing; they would be
    drawn each by itself. In groups, each set of parameters that occur together has a model of its own, from the trials
    that have them (docs/decisions/0021).
    """
    told: dict[str, Any] = {}
    if all(isinstance(one, CategoricalDistribution) for one in distributions(search).values()):
        told["curves"] = False
    conditional = any(dimension.when for dimension in search.space)
    if conditional and not {"group", "multivariate"} & search.sampler_options.keys():
        told |= {"group": True, "multivariate": True}
    return told


@dataclass(frozen=True)
class Drawn:
    """What a sampler has drawn: a setting, and its own notes on the trial."""

    params: dict[str, Any]
    notes: dict[str, Any]
    """Optuna's system attributes."""


class Drawing:
    """A study as its sampler should see it; the trial that it draws is only a draft, which is then started as drawn."""

    def __init__(
        self, study: str, storage: BaseStorage, search: SearchConfig, sampler: BaseSampler, *, space: Space
    ) -> None:
        self._shown = _Shown(storage, constraints=search.constraints)
        self._study = optuna.load_study(study_name=study, storage=self._shown, sampler=sampler)
        self._search = search
        self._space = space
        self._distributions = distributions(search)
        self._rounded = {d.name: d for d in search.space if isinstance(d, Range) and d.digits is not None}
        self._brought = search.sampler not in _WITHOUT_NOTES

    @cached_property
    def _by_chance(self) -> optuna.Study:
        seed = self._search.seed + len(self._study.get_trials(deepcopy=False))
        sampler = optuna.samplers.RandomSampler(seed=seed)
        return optuna.load_study(study_name=self._study.study_name, storage=self._shown, sampler=sampler)

    def draw(self, given: Mapping[str, ParamValue] = MappingProxyType({}), *, by_chance: bool = False) -> Drawn:
        """Draw a setting, or what is not given of it.

        A shipped sampler's notes are only needed while it draws, and are dropped; those of nsga2 are kept: it knows the
        generations by them.

        Args:
            given: What is not drawn.
            by_chance: Whatever the sampler has learnt: it may insist on settings that cannot be trained.
        Raises:
            CodeError: A user's sampler has failed.
        """
        study = self._by_chance if by_chance else self._study
        try:
            drawn, kinds = study.ask(), self._distributions
            self._space.drawn(lambda each: self._value(drawn, each.name, kinds[each.name], given))
        except Exception as error:
            if not self._brought:
                raise
            raise self._failed(error) from error
        return Drawn(drawn.params, dict(self._shown.notes) if self._brought else {})

    def finishing(self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell a user's sampler that a trial is about to end, as Optuna does."""
        if self._brought:
            try:
                self._study.sampler.after_trial(self._study, trial, state, values)
            except Exception as error:
                raise self._failed(error) from error

    def _value(self, trial: Trial, name: str, kind: BaseDistribution, given: Mapping[str, ParamValue]) -> Any:
        if name in given:
            value: Any = given[name]
        else:
            value = _suggested(trial, name, kind)
            if name not in self._rounded:
                return value
            value = self._rounded[name].rounded(value)
        # In place of what was drawn, so that the trial begins, and is learnt from, as what is trained.
        self._shown.set_trial_param(_DRAFT_ID, name, kind.to_internal_repr(value), kind)
        return value

    def _failed(self, error: Exception) -> CodeError:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        return CodeError(f"the sampler {self._search.sampler} must draw settings", got=got, advice="Fix it.")


def _suggested(trial: Trial, name: str, kind: BaseDistribution) -> Any:
    """Have a parameter drawn, as a program would that asks for those it needs, one after the other."""
    match kind:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, kind.choices)
        case IntDistribution():
            return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case FloatDistribution():
            return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
    raise TypeError(kind)


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

    def __init__(self, behind: BaseStorage, *, constraints: Iterable[str] = ()) -> None:
        super().__init__(behind)
        self._constraints = {f"{CONSTRAINT}{name}": 0.0 for name in constraints}
        self._draft = _new_draft(number=0)
        self._stored: list[FrozenTrial] = []
        """The trials as they were when last looked at; one that is written to becomes another object (`mirror`)."""
        self._shown: list[FrozenTrial | None] = []
        """The same as they are shown; None: not at all."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return self._behind.get_all_trials(study_id, deepcopy, states)  # Optuna's queue, looked into at every draw.
        stored, known, views = self._behind.get_all_trials(study_id, deepcopy=False), self._stored, self._shown
        del known[len(stored) :], views[len(stored) :]
        for index, trial in enumerate(stored):
            if index == len(known):
                known.append(trial)
                views.append(self._as_shown(trial))
            elif known[index] is not trial:
                known[index], views[index] = trial, self._as_shown(trial)
        shown = [trial for trial in views if trial is not None and (states is None or trial.state in states)]
        return copy.deepcopy(shown) if deepcopy else shown

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:  # noqa: ARG002  # Optuna's signature
        self._draft = _new_draft(number=self._behind.get_n_trials(study_id))
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

    def _as_shown(self, trial: FrozenTrial) -> FrozenTrial | None:
        if CONFIRMS in trial.user_attrs:
            return None
        shown = _shown(trial)
        # Samplers compare trials of which all constraints are known.
        return _completed(shown, self._constraints) if self._constraints else shown

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler has written on the draft."""
        return self._draft.system_attrs


def _new_draft(*, number: int) -> FrozenTrial:
    return numbered(optuna.trial.create_trial(state=TrialState.RUNNING), number=number, trial_id=_DRAFT_ID)


def _completed(trial: FrozenTrial, constraints: Mapping[str, float]) -> FrozenTrial:
    """A finished trial with all constraints; it keeps to those of which nothing is known."""
    if trial.state != TrialState.COMPLETE or constraints.keys() <= trial.system_attrs.keys():
        return trial
    shown = copy.copy(trial)
    shown.system_attrs = {**constraints, **trial.system_attrs}
    return shown


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
