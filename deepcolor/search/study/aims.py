"""What the trials of a study are judged by: its objectives, its constraints, and which of a front is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepcolor.config.choice import Choice
from deepcolor.config.constraints import Bound
from deepcolor.config.schema import Sweep
from deepcolor.fields.objective import DEFAULT_OBJECTIVE, Direction, Objective

CONSTRAINT = "constraints:"
"""Begins Optuna's name of what `Trial.set_constraint` sets: 0 and less keeps to it."""


@dataclass(frozen=True)
class Aims:
    """What a study's trials are judged by; the same for all of them."""

    objectives: tuple[Objective, ...] = (DEFAULT_OBJECTIVE,)
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    choose: Choice | None = None

    @classmethod
    def of(cls, sweep: Sweep, directions: Sequence[Direction]) -> Aims:
        """What a sweep asks for.

        Args:
            sweep: A study's.
            directions: Those that its study was made with: they hold where its stage is not at hand, too.
        """
        names = sweep.search.objectives
        objectives = tuple(Objective(name, way) for name, way in zip(names, directions, strict=False))
        return cls(objectives, sweep.search.constraints, sweep.search.choose)

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return len(self.objectives) > 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objectives, in order."""
        return tuple(objective.metric for objective in self.objectives)

    def values(self, value: float, figures: Mapping[str, float]) -> tuple[float, ...]:
        """Return a trial's value in each objective; where one is missing, the worst.

        Args:
            value: In the first one.
            figures: What else is known of it.
        """
        others = (figures.get(objective.metric, math.nan) for objective in self.objectives[1:])
        rest = zip(self.objectives[1:], others, strict=True)
        return (value, *(objective.worst if math.isnan(other) else other for objective, other in rest))

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return values as numbers that are lower the better they are."""
        return tuple(objective.loss(value) for objective, value in zip(self.objectives, values, strict=False))

    def excess(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return by how much each constraint is broken, as a share of its bound; those of which nothing is known are
        left out.
        """
        return {name: bound.excess(figures[name]) for name, bound in self.constraints.items() if name in figures}

    def notes(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the same for Optuna, whose samplers need all of them: as system attributes of a trial."""
        return {f"{CONSTRAINT}{name}": self.excess(figures).get(name, 0.0) for name in self.constraints}
