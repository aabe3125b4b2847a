"""What ends a training, or a whole search, before its time: the pruner and the budget of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from deepcolor.fields.frozen import Frozen
from deepcolor.fields.named import PRUNERS
from deepcolor.fields.refusal import Refusal, written

Limit = Literal["trials", "wall_s", "gpu_hours", "epochs", "target", "patience_trials", "regret"]

_MEANINGLESS: dict[str, tuple[str, ...]] = {
    "none": ("min_epochs", "reduction_factor", "warmup_trials", "resume", "extrapolate", "options"),
    "asha": ("warmup_trials", "options"),
    "hyperband": ("warmup_trials", "options"),
    "median": ("extrapolate", "options"),
}
_MEANINGLESS_TO_OTHERS = ("min_epochs", "reduction_factor", "warmup_trials", "extrapolate")

_EARLIER_DEFAULTS = (("min_epochs", 1),)
"""Studies hold all values written out, those that were never asked for as well."""
_LEAST_EPOCHS, _FIRST_SHARE = 4, 12
"""After fewer epochs, or a smaller part, the order of trials says little of the order at their end
(docs/decisions/0010)."""


class PrunerConfig(Frozen):
    """Which trials end, or wait, before their last epoch. `pruner: asha` is short for `pruner: {name: asha}`.

    Trials are compared at rungs: after `min_epochs` epochs, and from there each time they have trained
    `reduction_factor` times as long.
    """

    first_fields = frozenset({"name", "min_epochs", "reduction_factor", "warmup_trials", "resume"})

    name: Annotated[str, PRUNERS] = "none"
    """`asha`: the best 1/reduction_factor of a rung go on (asynchronous successive halving). `hyperband`: the same in
    brackets that start at different rungs. `median`: those no worse than the median of their rung go on. Or your own,
    as `FILE.py:NAME` or `package.module:NAME`: it says itself where its rungs are and how many go on."""
    min_epochs: int | None = Field(default=None, ge=1, le=100_000)
    """Epochs before a trial is first compared. null: 4, or a twelfth of the longest trial's epochs, if that is more; a
    study keeps what it began with."""
    reduction_factor: int = Field(default=3, ge=2, le=100)
    """How many times further the next rung is, and (asha, hyperband) one in how many goes on to it."""
    warmup_trials: int = Field(default=5, ge=1, le=100_000)
    """median: a rung stops nobody before this many trials have reached it."""
    resume: bool = True
    """A trial that does not go on waits, and goes on from its checkpoint when its turn comes; false: it ends."""
    extrapolate: bool | None = None
    """asha, hyperband: compare trials, from their second rung on, by what their curves are heading for at the next one
    (what the second half of the epochs so far gained goes on with every doubling), not by what they are worth already.
    null: true; a study keeps what it began with."""

    options: Mapping[str, Any] = Field(default_factory=dict)
    """What a pruner of your own is made with."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        for field in _MEANINGLESS.get(self.name, _MEANINGLESS_TO_OTHERS):
            value, default = getattr(self, field), type(self).model_fields[field].get_default(call_default_factory=True)
            if value != default and (field, value) not in _EARLIER_DEFAULTS:
                rule = f"means nothing to the pruner {self.name}"
                raise Refusal(rule, got=written(value), key=field, advice="Leave it out, or choose another pruner.")
        return self

    @property
    def brought(self) -> bool:
        """Whether it is the user's own."""
        return self.name not in PRUNERS.shipped

    def first_rung(self, *, most_epochs: int) -> int:
        """Return the epochs before a trial is first compared.

        Args:
            most_epochs: What the longest trial of the sweep asks for.
        """
        if self.min_epochs is not None:
            return self.min_epochs
        return max(_LEAST_EPOCHS, most_epochs // _FIRST_SHARE)

    def settled(self, before: PrunerConfig | None, *, most_epochs: int) -> Self:
        """Return the pruner with what its defaults are for a study written out, so that they stay when it grows.

        Args:
            before: What the study ran with until now, if it had a pruner: what it had is kept unless given otherwise.
            most_epochs: What the longest trial of the sweep asks for.
        """
        if self.name == "none" or self.brought:
            return self
        first, heading = self.min_epochs, self.extrapolate
        if first is None:
            first = (before.min_epochs if before else None) or self.first_rung(most_epochs=most_epochs)
        if heading is None and "extrapolate" not in _MEANINGLESS[self.name]:
            heading = before.extrapolate if before else True
        return self.model_copy(update={"min_epochs": first, "extrapolate": heading})


class StopConfig(Frozen):
    """When a search ends because there is little left to find. `stop: regret` is short for `stop: {name: regret}`.

    A Gaussian process of the finished trials says how much better than the best of them any other setting could be. The
    search ends once that is no more than a share of the best value. It ends as on a limit of its budget: on another
    value of `within` or `min_trials`, or without `stop`, it goes on (`deepcolor sweep --extend`).
    """

    name: Literal["regret"] = "regret"
    """What is left to gain: the bound of the simple regret, as Optuna's terminator has it."""
    within: float = Field(default=0.01, gt=0, lt=1)
    """The share of the best value that another setting may still gain."""
    min_trials: int = Field(default=20, ge=5, le=100_000)
    """Complete trials before it is asked for the first time: a few trials know little of a space."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class BudgetConfig(Frozen):
    """What a study may spend, over all its starts. On the first limit reached, running trainings end their epoch and
    are saved; a larger budget goes on from there (`deepcolor sweep --extend`).
    """

    first_fields = frozenset({"trials", "wall_s", "gpu_hours", "epochs", "target", "patience_trials"})

    trials: int | None = Field(default=None, ge=1, le=100_000)
    """Settings tried; trials already started are trained to their end."""
    wall_s: float | None = Field(default=None, gt=0)
    """Seconds of a driver's running time."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """Hours of training on GPUs, summed over all of them."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs trained."""
    target: float | None = None
    """A value of the objective that is good enough; of several, of the first."""
    patience_trials: int | None = Field(default=None, ge=1, le=100_000)
    """Trials after the best one, none of them better; of several objectives, by the first."""

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self != BudgetConfig()

    @property
    def bounded(self) -> bool:
        """Whether a search that never runs out of settings ends."""
        return any(limit is not None for limit in (self.trials, self.wall_s, self.epochs, self.patience_trials))
