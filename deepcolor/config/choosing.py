"""Which sampler suits a space and a number of trials, for a sweep that leaves it to deepcolor."""

from __future__ import annotations

from deepcolor.config.dimensions import Range
from deepcolor.config.points import Space

AUTO = "auto"
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
    return "tpe", "the space has more points than trials are asked for"


def _is_countable(space: Space) -> bool:
    return not any(isinstance(dimension, Range) and dimension.step is None for dimension in space.dimensions)
