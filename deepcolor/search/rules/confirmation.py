"""Confirm a search's winner: which settings are trained again, what is left to train, and what it has shown. Pure.

    the search's best settings -> each trained under other seeds -> the best mean over these seeds wins

A setting's value in the search is not part of its mean: it was chosen for being good, so it is better than the setting
deserves.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deepcolor.config.schema import ParamValue, Sweep
from deepcolor.counting import counted
from deepcolor.fields.objective import Direction, Objective
from deepcolor.search.rules.budget import overspent
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.summary import best_of
from deepcolor.search.study.space import point_key
from deepcolor.search.study.trials import Confirms, Spent, StoredTrial, finite, nearest_of

LEVEL = 0.95
"""Of the confidence interval of a difference."""


@dataclass(frozen=True)
class ConfirmedSetting:
    """One of the search's best settings, under other seeds."""

    trial: int
    """The trial of the search that found it."""
    params: dict[str, ParamValue]
    searched_value: float
    """The objective in the search, under its own seed."""
    values: dict[int, float]
    """The objective under each other seed that has been trained; inf if that training diverged or failed."""
    trainings: tuple[int, ...] = ()
    """The trials that gave a finite value."""

    @property
    def mean(self) -> float:
        """Over the other seeds; inf if one of them gave no value."""
        finite = self.values and all(math.isfinite(value) for value in self.values.values())
        return statistics.fmean(self.values.values()) if finite else math.inf

    @property
    def std(self) -> float:
        """Of the trainings around their mean (n - 1); inf if it is unknown."""
        finite = len(self.values) > 1 and math.isfinite(self.mean)
        return statistics.stdev(self.values.values()) if finite else math.inf

    def as_dict(self) -> dict[str, Any]:
        """The setting as a JSON object; null stands for what is not finite."""
        return {
            "trial": self.trial,
            "params": self.params,
            "searched_value": self.searched_value,
            "mean": _finite(self.mean),
            "std": _finite(self.std),
            "seeds": len(self.values),
            "values": {str(seed): _finite(value) for seed, value in self.values.items()},
        }


@dataclass(frozen=True)
class Difference:
    """The winner's mean minus the runner-up's: how much better it is, and how certain that is."""

    value: float
    interval: tuple[float, float]
    """Welch's 95 % interval, from the spread over the seeds."""
    direction: Direction = "minimize"
    """Of the objective: which values are better."""

    @property
    def clear(self) -> bool:
        """Whether it is larger than what the choice of the seeds explains."""
        low, high = self.interval
        return low > 0 if self.direction == "maximize" else high < 0

    @property
    def verdict(self) -> str:
        """Whether other seeds might have given another winner, in words. Other pictures are considered at promotion."""
        if self.interval[0] == self.interval[1]:
            return "the seeds make no difference to either, so this says nothing of how certain it is"
        return "other seeds would hardly change that" if self.clear else "other seeds could change that"


@dataclass(frozen=True)
class Confirmation:
    """What is known of a search's best settings under other seeds."""

    settings: tuple[ConfirmedSetting, ...]
    """Best mean first; while there is no winner, in the search's order."""
    trainings: int
    """How many it consists of in total."""
    missing: str = ""
    """Why the winner is not confirmed, in words; empty if it is."""
    difference: Difference | None = None
    """Between winner and runner-up; None if there are not two to compare."""

    @property
    def winner(self) -> ConfirmedSetting | None:
        """None until all trainings have been done."""
        return None if self.missing else self.settings[0]

    @property
    def runner_up(self) -> ConfirmedSetting | None:
        """None if no other setting gave a value under every seed."""
        others = [] if self.missing else self.settings[1:2]
        return next((setting for setting in others if math.isfinite(setting.mean)), None)

    def as_dict(self) -> dict[str, Any]:
        """The confirmation as a JSON object."""
        winner, runner_up, difference = self.winner, self.runner_up, self.difference
        return {
            "winner": winner.trial if winner else None,
            "runner_up": runner_up.trial if runner_up else None,
            "difference": difference.value if difference else None,
            "interval": list(difference.interval) if difference else None,
            "verdict": difference.verdict if difference else None,
            "missing": self.missing or None,
            "trainings": self.trainings,
            "settings": [setting.as_dict() for setting in self.settings],
        }


def finalists(trials: Iterable[StoredTrial], *, top: int) -> list[StoredTrial]:
    """Return a trial for each of the search's best settings, best first.

    Trials with the same parameters are one setting; so are those that took the same weights from one training, as when
    it stopped early, before the end of both. Of several objectives it is the chosen one alone.
    """
    trials = list(trials)
    if trials and trials[0].aims.several:
        best = best_of(trials)
        return [best] if best else []
    chosen: list[StoredTrial] = []
    seen: set[object] = set()
    for trial in sorted(finite(trials), key=lambda trial: (trial.loss, trial.number)):
        keys = {point_key(trial.params), _weights(trial)}
        if seen.isdisjoint(keys):
            chosen.append(trial)
        seen |= keys
    return chosen[:top]


def wanted(sweep: Sweep, trials: Sequence[StoredTrial]) -> list[Confirms]:
    """Return every training that a study's confirmation consists of, seed by seed; none if none is asked for."""
    confirm, first = sweep.search.confirm, sweep.training.seed + 1
    if confirm is None:
        return []
    best = finalists(trials, top=confirm.top)
    return [Confirms(trial.number, seed) for seed in range(first, first + confirm.seeds) for trial in best]


def left(sweep: Sweep, trials: Sequence[StoredTrial], *, failed_too: bool) -> list[Confirms]:
    """Return those of these trainings that have not been started.

    Args:
        sweep: The study's.
        trials: All of its trials.
        failed_too: Whether failed ones are to be done again, as at each start of a driver.
    """
    done = {trial.confirms for trial in trials if trial.state != "failed" or not failed_too}
    return [confirms for confirms in wanted(sweep, trials) if confirms not in done]


def is_pending(sweep: Sweep, trials: Sequence[StoredTrial], *, spent: Spent) -> bool:
    """Whether a study whose search has ended has something left to confirm, and the budget for it."""
    waits = bool(left(sweep, trials, failed_too=False)) or any(t.confirms and not t.finished for t in trials)
    return waits and overspent(sweep.search.budget, spent=spent) is None


def confirmation_of(sweep: Sweep, trials: Sequence[StoredTrial], *, spent: Spent) -> Confirmation | None:
    """Return what is known of a study's best settings under other seeds; None if no confirmation is asked for.

    Args:
        sweep: The study's.
        trials: All of its trials.
        spent: By all starts of its driver.
    """
    if sweep.search.confirm is None:
        return None
    asked = wanted(sweep, trials)
    ended = {trial.confirms: trial for trial in trials if trial.confirms is not None and trial.finished}
    settings = tuple(
        _setting(trial, [ended[c] for c in asked if c.trial == trial.number and c in ended])
        for trial in finalists(trials, top=sweep.search.confirm.top)
    )
    to_do = sum(confirms not in ended for confirms in asked)
    judged = nearest_of(trials) is not None or bool(front_of(trials))
    missing = _missing(sweep, settings, judged=judged, of=len(asked), to_do=to_do, spent=spent)
    if missing:
        return Confirmation(settings, len(asked), missing)
    objective = sweep.objective
    by_mean = tuple(sorted(settings, key=lambda setting: (_loss(setting, objective), setting.trial)))
    return Confirmation(by_mean, len(asked), difference=_difference(by_mean, objective))


def confirmation_line(confirmation: Confirmation) -> str:
    """Say in one line which setting has won, by how much, and how certain that is; or why none has."""
    winner, runner_up, difference = confirmation.winner, confirmation.runner_up, confirmation.difference
    if winner is None:
        return f"The winner is not confirmed: {confirmation.missing}."
    seeds = f"{winner.mean:.4g} ± {winner.std:.2g} over {counted(len(winner.values), 'other seed')}"
    if runner_up is None or difference is None:
        return f"Trial {winner.trial} is confirmed: {seeds}; there is no other setting to compare it with."
    low, high = difference.interval
    return (
        f"Trial {winner.trial} is confirmed: {seeds}, against {runner_up.mean:.4g} ± {runner_up.std:.2g} of trial "
        f"{runner_up.trial}; difference {difference.value:.2g} (95 %: {low:.2g} to {high:.2g}), {difference.verdict}."
    )


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two means, first minus second, with unequal variances.

    Args:
        first: At least two values, finite.
        second: The same.
    """
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # on values that hardly differ, or not at all
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
    low, high = float(interval.low), float(interval.high)
    if math.isnan(low) or math.isnan(high):  # no spread in either
        low = high = statistics.fmean(first) - statistics.fmean(second)
    return low, high


def _weights(trial: StoredTrial) -> object:
    """What is equal for trials that took the same weights from one training."""
    if trial.place is None or trial.outcome is None:
        return trial.number
    return trial.place.trajectory, trial.outcome.view.end_epoch, trial.outcome.view.chosen_epoch


def _setting(trial: StoredTrial, confirming: Sequence[StoredTrial]) -> ConfirmedSetting:
    values = {
        other.confirms.seed: other.value if other.state == "complete" and other.value is not None else math.inf
        for other in confirming
        if other.confirms is not None
    }
    return ConfirmedSetting(
        trial=trial.number,
        params=trial.params,
        searched_value=math.inf if trial.value is None else trial.value,
        values=values,
        trainings=tuple(other.number for other in confirming if other.state == "complete" and not other.diverged),
    )


def _missing(
    sweep: Sweep, settings: Sequence[ConfirmedSetting], *, judged: bool, of: int, to_do: int, spent: Spent
) -> str:
    if not settings:
        return "no trial of the search can be chosen" if judged else "no trial of the search gave a finite value"
    if to_do:
        limit = overspent(sweep.search.budget, spent=spent)
        why = f"; search.budget.{limit} is spent: raise it with --extend to continue" if limit else ""
        return f"{to_do} of {counted(of, 'training')} {'is' if to_do == 1 else 'are'} left{why}"
    if all(math.isinf(setting.mean) for setting in settings):
        return "each of the best settings diverged or failed under another seed"
    return ""


def _loss(setting: ConfirmedSetting, objective: Objective) -> float:
    return objective.loss(setting.mean) if math.isfinite(setting.mean) else math.inf


def _difference(by_mean: Sequence[ConfirmedSetting], objective: Objective) -> Difference | None:
    if len(by_mean) < 2 or math.isinf(by_mean[1].mean):
        return None
    first, second = by_mean[0], by_mean[1]
    interval = welch_interval([*first.values.values()], [*second.values.values()])
    return Difference(first.mean - second.mean, interval, objective.direction)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def confirmed_weights(confirmation: Confirmation, trials: Sequence[StoredTrial]) -> StoredTrial | None:
    """Return the training of the winning setting with the best value: the search's, or one under another seed.

    None if there is no winner, or it is not among the trials.
    """
    winner = confirmation.winner
    if winner is None:
        return None
    trainings = [trial for trial in trials if trial.number in {winner.trial, *winner.trainings}]
    return min(trainings, key=lambda trial: (trial.loss, trial.number), default=None)
