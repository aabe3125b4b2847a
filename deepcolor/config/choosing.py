"""Which sampler suits a space and a number of trials, for a sweep that leaves it to deepcolor."""

from __future__ import annotations

from deepcolor.config.dimensions import Choices, Range
from deepcolor.config.points import Space

AUTO = "auto"
_MOST_GP_FIELDS = 6
_MOST_GP_TRIALS = 60
"""A Gaussian process costs seconds a draw beyond these, and the more fields it has the more trials it needs."""
_LEAST_GENERATIONS = 5
_POPULATION = 50
"""Of NSGA-II, as Optuna makes it."""


def chosen_sampler(space: Space, *, trials: int | None, objectives: int) -> tuple[str, str]:
    """Return the sampler for a search, and why in a few words.

    Args:
        space: What is searched.
        trials: How many trials are asked for; None if only a budget of time or work ends the search.
        objectives: How many there are.
    """
    if not space.dimensions:
        return "grid", "nothing is searched"
    points = space.count() if _is_countable(space) else None
    if points is not None and (trials is None or points <= trials):
        return "grid", f"the space has no more than {points} points"
    if objectives > 1:
        if trials is not None and trials >= _LEAST_GENERATIONS * _POPULATION:
            return "nsga2", f"several objectives, and trials for {_LEAST_GENERATIONS} generations"
        return "tpe", "several objectives, and few trials"
    conditional = any(dimension.when for dimension in space.dimensions)
    numbers = all(not isinstance(dimension, Choices) for dimension in space.dimensions)
    small = len(space.dimensions) <= _MOST_GP_FIELDS
    if trials is not None and trials <= _MOST_GP_TRIALS and numbers and small and not conditional:
        return "gp", "few trials of a few ranges"
    return "tpe", "conditions" if conditional else "choices, or many trials"


def _is_countable(space: Space) -> bool:
    return not any(isinstance(dimension, Range) and dimension.step is None for dimension in space.dimensions)
