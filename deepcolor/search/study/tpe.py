"""Optuna's TPE, with a second opinion on what it draws: a Gaussian process over all curves, finished or not.

TPE sorts trials into good and bad ones, and draws where the good ones are dense. With the few dozen trials that a
search of trainings has, its densities are wide, and it does not know that one trial was trained for six epochs and
another to its end. So it draws one candidate among others (at random, and close to the best), and the one whose end is
expected to improve most on the best is tried. The first trials are spread evenly: at random, they leave large gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from deepcolor.search.study.aims import CONSTRAINT

EPOCHS, UNFINISHED = "deepcolor:epochs", "deepcolor:unfinished"
"""On a trial shown to a sampler: how many epochs it asks for, and whether it is not trained to its end."""
LENGTH = "epochs"
"""The searched field that says how long a training is."""
_MOST_POINTS = 200
"""Trials that the process learns from; of more, the better half of as many, and others at random."""
_RANDOM, _NEAR, _BEST = 200, 80, 5
"""Candidates drawn at random, and close to one of the best."""
_STARTUP = 8
"""Trials that are spread evenly before; Optuna's own default is 10."""
_FAR = 0.1
"""How far from it, in shares of an axis; half as far and twice as far as well."""


class CurveTPE(TPESampler):
    """TPE whose candidates are judged by what all curves say."""

    def __init__(
        self, *, curves: bool = True, n_startup_trials: int | None = None, seed: int | None = None, **options: Any
    ) -> None:
        """Take Optuna's options for TPE.

        Args:
            curves: Whether to judge candidates by all curves; False: TPE alone, as in Optuna.
            n_startup_trials: Trials that are spread evenly before; None: 8, or 10 without `curves`, as in Optuna.
            seed: Of all draws.
            options: Others of `optuna.samplers.TPESampler`.
        """
        startup = (_STARTUP if curves else 10) if n_startup_trials is None else n_startup_trials
        super().__init__(n_startup_trials=startup, seed=seed, **options)
        self._curves, self._startup = curves, startup
        self._draws = np.random.default_rng(seed)
        self._surrogate: Any = None
        self._first: Any = None

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        drawn = super().sample_relative(study, trial, search_space)
        if not self._curves or not search_space or len(study.directions) > 1:
            return drawn
        if not drawn:
            return self._spread(trial.number, search_space)
        trials = [
            one
            for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
            if one.number != trial.number and drawn.keys() <= one.params.keys()
        ]
        known = [one for one in trials if one.state == TrialState.COMPLETE]
        if not known or any(key.startswith(CONSTRAINT) for one in known for key in one.system_attrs):
            return drawn
        pending = [one for one in trials if one.state == TrialState.RUNNING]
        space = {name: search_space[name] for name in drawn}
        if space.keys() == {LENGTH}:
            return drawn
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        return self._judged(drawn, space, known, pending, sign=sign)

    def _spread(self, number: int, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return the next of the first trials."""
        from deepcolor.search.study.surrogate import axis_of, spread

        if self._first is None or self._first.shape[1] != len(space):
            self._first = spread(self._draws, count=self._startup, dimensions=len(space))
        point = self._first[number % self._startup]
        return {
            name: distribution.to_external_repr(float(axis_of(distribution).at(point[index : index + 1])[0]))
            for index, (name, distribution) in enumerate(space.items())
        }

    def _judged(
        self,
        drawn: dict[str, Any],
        space: dict[str, BaseDistribution],
        known: list[FrozenTrial],
        pending: list[FrozenTrial],
        *,
        sign: int,
    ) -> dict[str, Any]:
        """Return the best of the candidates, among which is what TPE has drawn."""
        from deepcolor.search.study.surrogate import Surrogate, axis_of, columns, improvement, levelled

        self._surrogate = self._surrogate or Surrogate(self._draws)
        axes = {name: axis_of(distribution) for name, distribution in space.items()}
        settings = _internal([one.params for one in known], space)
        lengths = _Lengths.of(space, known)
        placed = {name: axis for name, axis in axes.items() if name != LENGTH}

        def at_end(values: dict[str, Any]) -> np.ndarray[Any, Any]:
            return np.column_stack([columns(placed, values), lengths.ends(values)])

        places = columns(placed, settings)
        owner, share, losses = _rungs(known, lengths, sign=sign)
        kept = self._kept(losses)
        points = np.column_stack([places[owner[kept]], share[kept]])
        values = levelled(losses)[kept]
        self._surrogate.fit(points, values)
        holders = np.unique(owner[kept])
        means, _ = self._surrogate.predict(at_end({name: column[holders] for name, column in settings.items()}))
        best = holders[np.argsort(means, kind="stable")[:_BEST]]
        if pending:
            # What is being trained is taken to end as expected, or several workers would try the same.
            waiting = at_end(_internal([one.params for one in pending], space))
            expected, _ = self._surrogate.predict(waiting)
            self._surrogate.place(np.concatenate([points, waiting]), np.concatenate([values, expected]))
        candidates = self._candidates(axes, {name: settings[name][best] for name in axes}, drawn, space)
        mean, deviation = self._surrogate.predict(at_end(candidates))
        worth = improvement(mean, deviation, best=float(means.min()))
        settled = _internal([one.params for one in (*known, *pending)], space)
        tried = {tuple(row) for row in zip(*settled.values(), strict=True)}
        new = [index for index, row in enumerate(zip(*candidates.values(), strict=True)) if tuple(row) not in tried]
        if not new:
            return drawn
        chosen = new[int(np.argmax(worth[new]))]
        return {name: space[name].to_external_repr(float(candidates[name][chosen])) for name in space}

    def _kept(self, losses: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if len(losses) <= _MOST_POINTS:
            return np.arange(len(losses))
        order = np.argsort(losses, kind="stable")
        half = _MOST_POINTS // 2
        return np.sort(np.concatenate([order[:half], self._draws.choice(order[half:], half, replace=False)]))

    def _candidates(
        self, axes: dict[str, Any], best: dict[str, Any], drawn: dict[str, Any], space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        draws = self._draws
        chosen = draws.integers(0, len(next(iter(best.values()))), _NEAR)
        far = _FAR * np.exp(draws.normal(size=_NEAR))
        found = {}
        for name, axis in axes.items():
            centres = best[name][chosen]
            near = np.where(draws.random(_NEAR) < 0.7, axis.near(draws, centres, far), centres)
            own = space[name].to_internal_repr(drawn[name])
            found[name] = np.concatenate([[own], axis.at(draws.random(_RANDOM)), near])
        return found


def _internal(settings: list[dict[str, Any]], space: dict[str, BaseDistribution]) -> dict[str, Any]:
    """Settings as columns in Optuna's internal form."""
    return {
        name: np.array([distribution.to_internal_repr(params[name]) for params in settings], float)
        for name, distribution in space.items()
    }


@dataclass(frozen=True)
class _Lengths:
    """How far epochs are, on a logarithmic scale, as the first ones teach most: 1 is the end of the longest training.

    Where the number of epochs is searched, a short training is the beginning of a longer one, and is placed there; so
    it needs no axis of its own.
    """

    most: int
    """Epochs of the longest training; 0 where each is as long as the next."""
    choices: BaseDistribution | None = None

    @classmethod
    def of(cls, space: Mapping[str, BaseDistribution], trials: list[FrozenTrial]) -> _Lengths:
        if LENGTH not in space:
            return cls(0)
        return cls(max(int(trial.params[LENGTH]) for trial in trials), space[LENGTH])

    def at(self, reached: float, *, epochs: int) -> float:
        """Where an epoch of a training of this many epochs is."""
        return min(1.0, math.log1p(reached) / math.log1p(self.most or epochs))

    def ends(self, values: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Where settings, in Optuna's internal form, end."""
        if self.choices is None:
            return np.ones(len(next(iter(values.values()))))
        lengths = [int(self.choices.to_external_repr(float(value))) for value in values[LENGTH]]
        return np.array([self.at(length, epochs=length) for length in lengths])


def _rungs(trials: list[FrozenTrial], lengths: _Lengths, *, sign: int) -> tuple[np.ndarray[Any, Any], ...]:
    """What the trials were worth at each rung, and at their end: whose it is, how far that is, and the loss."""
    rows = []
    for index, trial in enumerate(trials):
        epochs = trial.user_attrs.get(EPOCHS, 0)
        for reached, value in trial.intermediate_values.items():
            if reached < epochs:
                rows.append((index, lengths.at(reached, epochs=epochs), sign * value))
        if not trial.user_attrs.get(UNFINISHED) and trial.value is not None:
            rows.append((index, lengths.at(epochs, epochs=epochs) if epochs else 1.0, sign * trial.value))
    owner, share, losses = (np.array(column) for column in zip(*rows, strict=True))
    return owner, share, np.where(np.isnan(losses), math.inf, losses)
