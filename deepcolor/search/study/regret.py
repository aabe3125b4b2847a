"""How much better than its best trial a study could still become, as far as its trials can tell."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.terminator import RegretBoundEvaluator
from optuna.trial import FrozenTrial, TrialState

from deepcolor.config.schema import StopConfig
from deepcolor.search.study.stored import StoredStudy
from deepcolor.search.study.trials import CONFIRMS, FOREIGN

_MOST_TRIALS = 300
"""Of more, the best ones are looked at: a Gaussian process takes a second on a hundred, and minutes on thousands."""


@dataclass(frozen=True)
class Regret:
    """What another setting could gain at most."""

    bound: float
    """In units of the objective."""
    best: float
    """The best value so far."""
    trials: int
    """Complete trials that this rests on."""

    def is_within(self, stop: StopConfig) -> bool:
        """Whether that is too little to search on."""
        return self.bound <= stop.within * abs(self.best)

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        share = self.bound / abs(self.best) if self.best else math.inf
        return f"by its {self.trials} complete trials no other setting is more than {share:.2%} better than the best"


def regret_of(study: StoredStudy) -> Regret | None:
    """Return the bound of a study's regret; None if its trials cannot tell.

    All trials are looked at, not only their better half as by default: that half alone varies little, so that whatever
    lies outside of it seems possible, and the bound did not fall with more trials (docs/decisions/0021).
    """
    trials = _finite(study.optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    direction = study.optuna_study.direction
    values = [trial.value for trial in trials if trial.value is not None]
    if len(set(values)) < 2 or not intersection_search_space(trials):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of what Optuna calls experimental, and of kernels that do not converge.
        share = min(1.0, _MOST_TRIALS / len(trials))
        evaluator = RegretBoundEvaluator(top_trials_ratio=share, seed=0)
        bound = float(evaluator.evaluate(trials, direction))
    best = max(values) if direction == StudyDirection.MAXIMIZE else min(values)
    return Regret(bound, best, len(trials)) if math.isfinite(bound) else None


def _finite(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The search's own, without those that diverged."""
    return [
        trial
        for trial in trials
        if trial.values and math.isfinite(trial.values[0]) and not {FOREIGN, CONFIRMS} & trial.user_attrs.keys()
    ]
