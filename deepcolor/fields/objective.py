"""What a search minimises or maximises, and how two of its values compare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]
"""Which values of a metric are better: the small ones or the large ones."""


@dataclass(frozen=True)
class Nearest:
    """Said of a metric that is best at one value: a bias at 0, a ratio at 1. It can be bounded, but is no objective."""

    value: float

    def __str__(self) -> str:
        """In words: `best at 0`."""
        return f"best at {self.value:g}"


Better = Direction | Nearest
"""Which values of a metric are better ones."""


@dataclass(frozen=True)
class Objective:
    """One of a stage's epoch metrics, by its public name, with the direction in which it gets better."""

    metric: str = "val/mse"
    direction: Direction = "minimize"

    def __str__(self) -> str:
        return self.metric

    @property
    def maximized(self) -> bool:
        return self.direction == "maximize"

    @property
    def worst(self) -> float:
        """The value of a training that diverged: infinity, on the side that is never better."""
        return -math.inf if self.maximized else math.inf

    def loss(self, value: float | None) -> float:
        """Return a number that is lower the better the value is.

        Args:
            value: Of the metric; None and NaN are the worst.
        """
        if value is None or math.isnan(value):
            return math.inf
        return -value if self.maximized else value


DEFAULT_OBJECTIVE = Objective()
"""The objective of a sweep that names none."""
