"""What a search makes as small, or as large, as it can, and how two values of it compare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]
"""Which values of a metric are the better ones: the small or the large."""


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
        """What stands for a training that diverged: infinity, on the side that is never the better one."""
        return -math.inf if self.maximized else math.inf

    def loss(self, value: float | None) -> float:
        """Return a number that is the lower, the better a value is.

        Args:
            value: Of the metric; one that is none, or no number, is the worst.
        """
        if value is None or math.isnan(value):
            return math.inf
        return -value if self.maximized else value


DEFAULT_OBJECTIVE = Objective()
"""Of a sweep that names none."""
