"""The front of a search with several objectives, and which of its trials is chosen. Pure.

A trial is on the front if no other one is at least as good in every objective and better in one. Trials that diverged,
or break a constraint, are not; of trials with the same values all are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from deepcolor.config.choice import Choice
from deepcolor.config.constraints import Bound
from deepcolor.fields.objective import Objective
from deepcolor.search.study.trials import StoredTrial, finite

Losses = tuple[float, ...]
"""A value in each objective, as numbers that are lower the better they are."""


def dominates(one: Losses, other: Losses) -> bool:
    """Whether one is at least as good in every objective, and better in one."""
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def non_dominated(losses: Sequence[Losses]) -> list[int]:
    """Return the places of those that no other one dominates, in their order."""
    front: list[int] = []
    # In this order none dominates one before it, so that each need only be compared with those found so far.
    for place in sorted(range(len(losses)), key=lambda place: losses[place]):
        if not any(dominates(losses[known], losses[place]) for known in front):
            front.append(place)
    return sorted(front)


def front_of(trials: Iterable[StoredTrial]) -> list[StoredTrial]:
    """Return the trials on the front of a search, by their first objective; none where it has one objective."""
    whole = [trial for trial in finite(trials) if trial.aims.several and all(map(math.isfinite, trial.values))]
    places = non_dominated([trial.losses_of_all for trial in whole])
    return sorted((whole[place] for place in places), key=lambda trial: (trial.losses_of_all, trial.number))


def front_with(front: Sequence[StoredTrial], trial: StoredTrial) -> list[StoredTrial]:
    """Return the front after one more trial; the trials behind a front need not be looked at again."""
    return front_of([*front, trial])


def chosen_of(front: Sequence[StoredTrial]) -> StoredTrial | None:
    """Return the trial of a front that the sweep's rule chooses; None if none satisfies it."""
    if not front:
        return None
    aims = front[0].aims
    place = choose([trial.values for trial in front], aims.objectives, aims.choose)
    return None if place is None else front[place]


def nearest_to_choice(front: Sequence[StoredTrial]) -> StoredTrial | None:
    """Return the trial of a front that is nearest to what the rule asks for; None if one satisfies it."""
    if not front or (rule := front[0].aims.choose) is None or chosen_of(front) is not None:
        return None
    objectives = front[0].aims.objectives
    return min(front, key=lambda trial: (_excess(trial.values, objectives, rule.where), trial.loss, trial.number))


def choose(values: Sequence[Sequence[float]], objectives: Sequence[Objective], rule: Choice | None) -> int | None:
    """Return the place of the one that a rule chooses from a front; the first of equals; None if none satisfies it.

    Args:
        values: Of each trial of the front, in each objective.
        objectives: In the same order.
        rule: None: the best in the first objective.
    """
    losses = [tuple(o.loss(v) for o, v in zip(objectives, each, strict=True)) for each in values]
    places = {objective.metric: place for place, objective in enumerate(objectives)}
    if rule is None:
        return min(range(len(losses)), key=lambda place: losses[place], default=None)
    if rule.knee:
        scaled = _scaled(losses)
        return min(range(len(losses)), key=lambda at: (math.hypot(*scaled[at]), losses[at]), default=None)
    best = places[str(rule.best)]
    allowed = [at for at in range(len(losses)) if _excess(values[at], objectives, rule.where) <= 0]
    if rule.within is not None:
        of = places[str(rule.of)]
        least = min((each[of] for each in losses), default=math.inf)
        allowed = [at for at in allowed if losses[at][of] <= least + rule.within * abs(least)]
    return min(allowed, key=lambda at: (losses[at][best], losses[at]), default=None)


def _excess(values: Sequence[float], objectives: Sequence[Objective], where: Mapping[str, Bound]) -> float:
    """By how much the worst of some bounds is broken."""
    known = {objective.metric: value for objective, value in zip(objectives, values, strict=True)}
    return max((bound.excess(known[name]) for name, bound in where.items()), default=0.0)


def _scaled(losses: Sequence[Losses]) -> list[Losses]:
    """Losses between 0, the best of the front, and 1, its worst; all 0 in an objective in which all are equal."""
    ends = [(min(column), max(column)) for column in zip(*losses, strict=True)]
    return [
        tuple((loss - low) / (high - low) if high > low else 0.0 for loss, (low, high) in zip(each, ends, strict=True))
        for each in losses
    ]
