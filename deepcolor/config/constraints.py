"""What a trial has to keep to: bounds on the size of its model, and on what is measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_serializer, model_validator

from deepcolor.fields.frozen import Frozen
from deepcolor.fields.refusal import Refusal, written

PARAMETERS, MB = "parameters", "mb"
KNOWN_BEFORE = (PARAMETERS, MB)
"""What the stage says of a model before it is trained: its number of weights, and the megabytes they take on disk."""
_UNBOUNDED_EXCESS = 1e6
"""Of what is no number; samplers take finite figures only."""


class Bound(Frozen):
    """Between which values a figure has to be. `epoch_s: 3` is short for `epoch_s: {at_most: 3}`."""

    at_most: float | None = None
    """The largest value that is allowed."""
    at_least: float | None = None
    """The smallest value that is allowed."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if isinstance(value, Mapping | Bound):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            advice = "Write a number, which is the most that is allowed, or {at_least: N}."
            raise Refusal("must be a number, or at_most/at_least", got=written(value), advice=advice)
        return {"at_most": value}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise Refusal("must say at_most or at_least", advice="Write a number, which is the most that is allowed.")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            got = f"at_least={written(self.at_least)}, at_most={written(self.at_most)}"
            raise Refusal("at_least must not be above at_most", got=got, advice="Swap them.")
        return self

    @model_serializer(mode="plain")
    def _as_written(self) -> Any:
        if self.at_least is None:
            return self.at_most
        return {"at_least": self.at_least, **({} if self.at_most is None else {"at_most": self.at_most})}

    def excess(self, value: float) -> float:
        """Return by how much of itself a bound is broken: 0.1 for 3.3 where 3 is allowed; at most 0 if it is kept."""
        if math.isnan(value):
            return _UNBOUNDED_EXCESS
        over = [] if self.at_most is None else [(value - self.at_most) / _scale(self.at_most)]
        under = [] if self.at_least is None else [(self.at_least - value) / _scale(self.at_least)]
        return max(-_UNBOUNDED_EXCESS, min(_UNBOUNDED_EXCESS, max([*over, *under])))

    def __str__(self) -> str:
        """In words: `at most 3`."""
        words = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{word} {value:.6g}" for word, value in words.items() if value is not None)


def _scale(limit: float) -> float:
    return abs(limit) or 1.0
