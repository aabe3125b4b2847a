"""Optuna's TPE, with a second opinion on what it draws: a Gaussian process over all curves, finished or not.

TPE sorts trials into good and bad ones, and draws where the good ones are dense. With the few dozen trials that a
search of trainings has, its densities are wide, and it does not know that one trial was trained for six epochs and
another to its end. So it draws one candidate among others (at random, and close to the best), and the one whose end is
expected to improve most on the best is tried. The first trials are spread evenly: at random, they leave large gaps.

What a draw costs does not grow with the study: the process learns from a bounded number of points, what trials say is
kept as numbers (`seen`), and of many trials TPE is not asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from deepcolor.search.study.seen import LENGTH, Lengths, Seen

_MOST_POINTS = 200
"""Values that the process learns from; of more, the better half of as many, and others at random."""
_MANY = 150
"""Finished trials from which on TPE draws no candidate: its densities take longer with every trial, and of a thousand
draws one was its own."""
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
        self._seen: Seen | None = None

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._curves or not search_space or len(study.directions) > 1:
            return super().sample_relative(study, trial, search_space)
        seen = self._look(study, trial, search_space)
        judged = len(seen.known) > 0 and not seen.bound and search_space.keys() != {LENGTH}
        if judged and len(seen.known) >= max(_MANY, self._startup):
            return self._judged(seen, None) or super().sample_relative(study, trial, search_space)
        drawn = super().sample_relative(study, trial, search_space)
        if not drawn:
            return self._spread(trial.number, search_space)
        return (self._judged(seen, drawn) if judged else None) or drawn

    def _look(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> Seen:
        """Take in what is known now, of trials other than the one being drawn."""
        if self._seen is None or self._seen.space != space:
            self._seen = Seen(space, sign=-1 if study.direction == StudyDirection.MAXIMIZE else 1)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        self._seen.look([one for one in trials if one.number != trial.number])
        return self._seen

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

    def _judged(self, seen: Seen, drawn: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the best of the candidates, among which is what TPE has drawn; None if all have been tried."""
        from deepcolor.search.study.surrogate import Surrogate, axis_of, columns, improvement, levelled, on_one_thread

        self._surrogate = self._surrogate or Surrogate(self._draws)
        axes = {name: axis_of(distribution) for name, distribution in seen.space.items()}
        settings = seen.settings(seen.known)
        lengths = Lengths.of(seen.space, settings)
        placed = {name: axis for name, axis in axes.items() if name != LENGTH}

        def at_end(values: dict[str, Any]) -> np.ndarray[Any, Any]:
            return np.column_stack([columns(placed, values), lengths.ends(values)])

        owner, share, losses = seen.rungs(lengths)
        if not len(owner):
            return None
        places = columns(placed, settings)
        kept = self._kept(losses)
        points = np.column_stack([places[owner[kept]], share[kept]])
        values = levelled(losses)[kept]
        with on_one_thread():
            self._surrogate.fit(points, values)
            holders = np.unique(owner[kept])
            means, _ = self._surrogate.predict(at_end({name: column[holders] for name, column in settings.items()}))
            best = holders[np.argsort(means, kind="stable")[:_BEST]]
            if len(seen.pending):
                # What is being trained is taken to end as expected, or several workers would try the same.
                waiting = at_end(seen.settings(seen.pending))
                expected, _ = self._surrogate.predict(waiting)
                self._surrogate.place(np.concatenate([points, waiting]), np.concatenate([values, expected]))
            candidates = self._candidates(axes, {name: settings[name][best] for name in axes}, drawn, seen.space)
            mean, deviation = self._surrogate.predict(at_end(candidates))
        worth = improvement(mean, deviation, best=float(means.min()))
        for index in np.argsort(-worth, kind="stable"):
            setting = {name: float(column[index]) for name, column in candidates.items()}
            if not seen.has(tuple(setting.values())):
                return {name: seen.space[name].to_external_repr(value) for name, value in setting.items()}
        return None

    def _kept(self, losses: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if len(losses) <= _MOST_POINTS:
            return np.arange(len(losses))
        order = np.argsort(losses, kind="stable")
        half = _MOST_POINTS // 2
        return np.sort(np.concatenate([order[:half], self._draws.choice(order[half:], half, replace=False)]))

    def _candidates(
        self,
        axes: dict[str, Any],
        best: dict[str, Any],
        drawn: dict[str, Any] | None,
        space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        draws = self._draws
        chosen = draws.integers(0, len(next(iter(best.values()))), _NEAR)
        far = _FAR * np.exp(draws.normal(size=_NEAR))
        found = {}
        for name, axis in axes.items():
            centres = best[name][chosen]
            near = np.where(draws.random(_NEAR) < 0.7, axis.near(draws, centres, far), centres)
            own = [] if drawn is None else [space[name].to_internal_repr(drawn[name])]
            found[name] = np.concatenate([own, axis.at(draws.random(_RANDOM)), near])
        return found
