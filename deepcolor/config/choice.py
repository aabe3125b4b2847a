"""Which trial of the front of several objectives is the one that is promoted, confirmed and started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from deepcolor.config.constraints import Bound
from deepcolor.fields.frozen import Frozen
from deepcolor.fields.objective import Objective
from deepcolor.fields.refusal import Refusal, nearest, written

KNEE = "knee"


class Choice(Frozen):
    """Which trial of the front is chosen, by one of three rules; without any, it is the one with the best first
    objective.

    - `choose: knee`: each objective is scaled so that the front's best value is 0 and its worst is 1; the trial nearest
      to the point that is best in all of them is chosen.
    - `choose: {lowest: val/mse, where: {epoch_s: 2.0}}`: the best in one objective of those that keep to the bounds.
    - `choose: {within: 0.05, of: val/mse, lowest: epoch_s}`: of those that are worse than the best in one objective by
      this share of its value at most, the best in another one.
    """

    knee: bool = False
    """The trial that gives up least in all objectives; `choose: knee` is short for it."""
    lowest: str | None = None
    """The objective whose smallest value is chosen."""
    highest: str | None = None
    """The objective whose largest value is chosen, where it is maximised."""
    where: Mapping[str, Bound] = Field(default_factory=dict)
    """What a trial must keep to in order to be chosen: bounds by objective, written as in `constraints`."""
    within: float | None = Field(default=None, gt=0, le=1)
    """How much worse than the best a trial may be, as a share: 0.05 is 5 %."""
    of: str | None = None
    """In which objective that is."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value != KNEE:
                rule = "must be knee, or say lowest or highest"
                raise Refusal(rule, got=written(value), advice="Write choose: {lowest: OBJECTIVE}, or choose: knee.")
            return {KNEE: True}
        if isinstance(value, Mapping) and isinstance(value.get("within"), str):
            raise Refusal("must be a share", got=written(value["within"]), key="within", advice="Write 0.05 for 5 %.")
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        others = [name for name in ("lowest", "highest", "where", "within", "of") if getattr(self, name)]
        if self.knee and others:
            raise Refusal("knee goes with nothing else", got=", ".join(others), advice="Leave one of them out.")
        if not self.knee and (self.lowest is None) == (self.highest is None):
            got = "both" if self.lowest else "neither"
            raise Refusal("must name one objective as lowest or as highest", got=got, advice="Write one of the two.")
        if (self.within is None) != (self.of is None):
            advice = "Write {within: 0.05, of: OBJECTIVE, lowest: ANOTHER}."
            raise Refusal("within and of go together", got="of" if self.of else "within", advice=advice)
        if self.within is not None and self.where:
            raise Refusal("within and where are two rules", got="both", advice="Leave one of them out.")
        if self.of is not None and self.of == self.best:
            raise Refusal("of and lowest must be two objectives", got=f"{self.of} twice", advice="Name another one.")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: Any) -> Any:
        if self.knee:
            return KNEE
        return {name: value for name, value in handler(self).items() if value not in (None, {}, False)}

    @property
    def best(self) -> str | None:
        """The objective in which the chosen trial is the best."""
        return self.lowest or self.highest

    def check(self, objectives: Sequence[Objective]) -> None:
        """Refuse what the objectives of a search do not allow; the key is below `choose`."""
        names = [objective.metric for objective in objectives]
        if len(objectives) < 2:
            advice = "Leave choose out, write the bound as search.constraints, or name several objectives."
            raise Refusal("there is nothing to choose from with one objective", got=names[0], advice=advice)
        named = {"lowest": self.lowest, "highest": self.highest, "of": self.of, **{f"where.{n}": n for n in self.where}}
        for key, name in named.items():
            if name is not None and name not in names:
                near = nearest(name, names)
                advice = f"{f'Did you mean {near}? ' if near else ''}Objectives: {', '.join(names)}."
                raise Refusal("must be one of the objectives", got=written(name), advice=advice, key=key)
        for objective in objectives:
            wanted = "highest" if objective.maximized else "lowest"
            if objective.metric == self.best and getattr(self, wanted) is None:
                rule = f"{objective.metric} is {objective.direction}d"
                raise Refusal(
                    rule, got=f"{'lowest' if self.lowest else 'highest'}: {self.best}", advice=f"Write {wanted}."
                )

    def __str__(self) -> str:
        """In words: `the lowest val/mse where epoch_s is at most 2`."""
        if self.knee:
            return "the knee of the front"
        best = f"the {'lowest' if self.lowest else 'highest'} {self.best}"
        if self.within is not None:
            return f"{best} within {100 * self.within:.3g} % of the best {self.of}"
        where = " and ".join(f"{name} is {bound}" for name, bound in self.where.items())
        return f"{best} where {where}" if where else best
