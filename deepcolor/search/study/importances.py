"""How much of the differences between a study's trials each searched field explains, by Optuna's evaluators."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import TrialState

from deepcolor.search.study.stored import StoredStudy
from deepcolor.search.study.trials import CONFIRMS, FOREIGN

_FANOVA_TRIALS = 200
"""fANOVA takes 5 s on 200 trials and a minute on 1,000; its shares differ little."""
_DECADES = 10
"""Numbers whose largest is this many times the smallest are compared by their logarithms."""

_RESAMPLES = 10
_RESAMPLED_TRIALS, _RESAMPLED_FANOVA, _RESAMPLED_TREES = 500, 60, 8
"""Of a resample: half a second for ten of them. Fewer trials make a range wider, never narrower."""


@dataclass(frozen=True)
class Spread:
    """The share of a field, and the range in which it lies when the trials are drawn again."""

    share: float
    low: float
    high: float


def importances(study: StoredStudy, fields: Sequence[str], *, objective: int = 0) -> dict[str, dict[str, float]]:
    """Return the share of each field by two evaluators, which can disagree: then neither should be trusted alone.

    Args:
        study: Has complete trials; those that diverged are left out.
        fields: Searched fields that take several values in the complete trials.
        objective: The place of the objective that is explained.
    Returns:
        By the name of each evaluator, the shares by field; they add up to 1.
    """
    finite = _finite_copy(study.optuna_study, objective=objective)
    some = _spread(finite, count=_FANOVA_TRIALS)
    fanova = "fANOVA" if some is finite else f"fANOVA of {_FANOVA_TRIALS} trials"
    evaluators = {
        fanova: (some, optuna.importance.FanovaImportanceEvaluator(seed=0)),
        "PED-ANOVA": (finite, optuna.importance.PedAnovaImportanceEvaluator()),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental-API notes of Optuna
        return {
            name: optuna.importance.get_param_importances(trials, evaluator=evaluator, params=list(fields))
            for name, (trials, evaluator) in evaluators.items()
        }


def importance_ranges(
    study: StoredStudy, shares: Mapping[str, Mapping[str, float]], *, objective: int = 0
) -> dict[str, dict[str, Spread]]:
    """Return how far shares can be trusted: their range over ten resamples of the trials, with replacement.

    Args:
        study: As for `importances`.
        shares: What `importances` returned for it: fANOVA's first.
        objective: The place of the objective that is explained.
    """
    fields = list(next(iter(shares.values())))
    few = _finite_copy(study.optuna_study, objective=objective, count=_RESAMPLED_TRIALS)
    fewer = _spread(few, count=_RESAMPLED_FANOVA)
    evaluators: tuple[tuple[Study, optuna.importance.BaseImportanceEvaluator], ...] = (
        (fewer, optuna.importance.FanovaImportanceEvaluator(n_trees=_RESAMPLED_TREES, seed=0)),
        (few, optuna.importance.PedAnovaImportanceEvaluator()),
    )
    found: dict[str, dict[str, Spread]] = {}
    for (name, whole), (trials, evaluator) in zip(shares.items(), evaluators, strict=True):
        drawn = [again for number in range(_RESAMPLES) if (again := _again(trials, evaluator, fields, seed=number))]
        ranges = {field: [whole[field], *(one[field] for one in drawn)] for field in fields}
        found[name] = {field: Spread(whole[field], min(each), max(each)) for field, each in ranges.items()}
    return found


def _again(
    study: Study, evaluator: optuna.importance.BaseImportanceEvaluator, fields: Sequence[str], *, seed: int
) -> dict[str, float] | None:
    """The shares of a resample; None where all of its values are equal."""
    trials = study.get_trials(deepcopy=False)
    resample = optuna.create_study(direction=study.directions[0])
    resample.add_trials(random.Random(seed).choices(trials, k=len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental-API notes of Optuna
        try:
            found = optuna.importance.get_param_importances(resample, evaluator=evaluator, params=list(fields))
        except RuntimeError:
            return None
    return {field: float(found[field]) for field in fields}


def _spread(study: Study, *, count: int) -> Study:
    """Return a study with `count` of a longer one's trials, spread evenly from its first to its last."""
    trials = study.get_trials(deepcopy=False)
    if len(trials) <= count:
        return study
    some = optuna.create_study(direction=study.directions[0])
    some.add_trials([trials[round(index * (len(trials) - 1) / (count - 1))] for index in range(count)])
    return some


def _finite_copy(study: Study, *, objective: int, count: int | None = None) -> Study:
    """Copy the complete trials with a finite value, in one objective: diverged ones would flatten the others' scale;
    with a count, at most so many, spread evenly.

    Numbers that were searched as a list of choices get numeric axes, logarithmic where they span decades.
    """
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.values and math.isfinite(trial.values[objective]) and not {FOREIGN, CONFIRMS} & trial.user_attrs.keys()
    ]
    if count is not None and len(trials) > count:
        trials = [trials[round(index * (len(trials) - 1) / (count - 1))] for index in range(count)]
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    had = {name: [trial for trial in trials if name in trial.params] for name in names}
    scales = {name: _scale([trial.params[name] for trial in with_it]) for name, with_it in had.items()}
    copy = optuna.create_study(direction=study.directions[objective])
    draw = random.Random(0)
    for trial in trials:
        # A parameter that a trial does not have makes no difference to it. So it is given the value of any trial: one
        # value for all would tell which trials do not have it, and pass for the difference that its condition makes.
        source = {name: trial if name in trial.params else draw.choice(with_it) for name, with_it in had.items()}
        copy.add_trial(
            optuna.trial.create_trial(
                params={name: of.params[name] for name, of in source.items()},
                distributions={name: scales[name] or of.distributions[name] for name, of in source.items()},
                value=trial.values[objective],
            )
        )
    return copy


def _scale(values: Sequence[object]) -> BaseDistribution | None:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return None
    low, high = min(numbers), max(numbers)
    log = low > 0 and high / low >= _DECADES
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)
