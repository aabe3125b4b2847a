"""What a sweep searches: its space, the sampler that draws from it, and the objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_serializer, model_validator

from deepcolor.config.aims import check_search, objectives_of
from deepcolor.config.choice import Choice
from deepcolor.config.choosing import AUTO
from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.constraints import Bound
from deepcolor.config.dimensions import AnyDimension, Range, as_written, dimension_of
from deepcolor.config.first import as_entries
from deepcolor.config.stopping import BudgetConfig, PrunerConfig, StopConfig
from deepcolor.fields.frozen import Frozen, config_name
from deepcolor.fields.named import SAMPLERS
from deepcolor.fields.objective import Direction
from deepcolor.fields.refusal import Refusal, written

MOST_GRID_POINTS = 10_000
_NEEDS_STEP = "a grid needs a list of values, or a range with a step"


class SearchConfig(Frozen):
    """What is searched, and how."""

    first_fields = frozenset(
        {"sampler", "space", "objective", "trials", "seed", "pruner", "budget", "warm_start", "confirm"}
    )

    sampler: Annotated[str, SAMPLERS] = "grid"
    """`grid` trains every combination once; `tpe` (judged by all curves), `random`, `gp` (a Gaussian process), `qmc`
    (even coverage) and `nsga2` (a genetic one, for several objectives) draw `trials` settings (Optuna), and so does
    your own, an Optuna `BaseSampler`, as `FILE.py:NAME` or `package.module:NAME`. `auto` chooses when the study begins,
    and keeps to it: grid if the space has no more points than trials are asked for; nsga2 for several objectives from
    250 trials on; else tpe."""
    space: tuple[AnyDimension, ...] = ()
    """Searched fields of model, training, init and data.augment: a list of choices, or low/high with log or step; both
    may have a condition (`when`). Under a name of your own: mappings that set several fields at once."""
    objective: str | tuple[str, ...] = "val/mse"
    """The epoch metric that is optimised; of a stage that has no `val/mse`, the first of its own. The shipped stages
    have `val/mse`, `val/mse_a`, `val/mse_b` and `train/mse`, which are minimised, in the normalised units (value + 128)
    / 255; under another loss than mse, `train/loss` in place of `train/mse`. Every training has `epoch_s`. Or two or
    three, as `[val/mse, epoch_s]`: the first one an epoch metric, which decides the epoch that is taken; the others
    epoch metrics, final metrics such as `psnr_db`, or `parameters` and `mb` (see `constraints`), as of that epoch."""
    direction: Direction | tuple[Direction, ...] | None = None
    """Whether the objective is minimised or maximised; of several, a list. null: as its stage says; a metric of your
    own is minimised."""
    trials: int | None = Field(default=None, ge=1, le=100_000)
    """Settings to draw, for all but the grid; they need it unless a budget bounds them. A grid has as many as its
    space."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the sampler."""
    pruner: PrunerConfig = PrunerConfig()
    """Which trials end, or wait, before their last epoch; a name, or a mapping."""
    budget: BudgetConfig = BudgetConfig()
    """What the study may spend."""
    warm_start: tuple[str, ...] = ()
    """Studies on the same stage and data whose finished trials tpe learns from, as far as this space covers them."""
    confirm: ConfirmConfig | None = None
    """Train the best settings again under other seeds; the winner is the one with the best mean. Of several objectives,
    the chosen setting alone."""
    watch: tuple[str, ...] = ()
    """Other epoch metrics that are shown beside the objective: in the live view, the leaderboard and MLflow."""
    sampler_options: Mapping[str, Any] = Field(default_factory=dict)
    """What the sampler is made with beside its seed: for tpe, `{n_startup_trials: 20}`, or `{curves: false}` for
    Optuna's alone (docs/search.md)."""
    first: tuple[Mapping[str, Any], ...] | str = ()
    """Settings to try before the sampler draws its own: a list of mappings by parameter; or `FILE.csv`, such as a
    leaderboard; or `study:NAME#5`, the 5 best settings of another study as far as they lie in the space. They count
    towards the trials. What a setting does not say has the sweep's own value, if that lies in the space; else it is
    drawn, or in a grid the first value."""
    stop: StopConfig | None = None
    """End the search when there is little left to find: `regret`, or a mapping. Not for grids."""

    constraints: Mapping[str, Bound] = Field(default_factory=dict)
    """What a trial must keep to, by name: `{parameters: 1e6, mb: 10, epoch_s: 3}`; a number is the most that is
    allowed. `parameters` (weights of the model) and `mb` (megabytes they take on disk) are known before: a setting that
    breaks them is never trained. `epoch_s` (the median over the trial's epochs), other epoch metrics and final metrics
    are measured: samplers learn from them, and a trial that breaks one is shown so and never the best."""
    choose: Choice | None = None
    """Of several objectives: which trial of the front is promoted, confirmed and started from. null: the one with the
    best first objective."""

    @field_validator("first", mode="before")
    @classmethod
    def _entries(cls, value: Any) -> Any:
        return as_entries(value)

    @field_validator("objective", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return objectives_of(value)

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirms_the_chosen(cls, value: Any, info: ValidationInfo) -> Any:
        several = isinstance(info.data.get("objective"), tuple)
        return {"top": 1, **value} if several and isinstance(value, Mapping) else value

    @property
    def objectives(self) -> tuple[str, ...]:
        """What is optimised, in order; the first one decides which epoch of a training is taken."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def directions(self) -> tuple[Direction, ...]:
        """As the sweep gives them; empty where it leaves them to its stage."""
        if self.direction is None:
            return ()
        return (self.direction,) if isinstance(self.direction, str) else self.direction

    @field_validator("warm_start")
    @classmethod
    def _study_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(config_name(name) for name in value)

    @field_validator("space", mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple(dimension_of(str(name), spec) for name, spec in value.items())
        if isinstance(value, tuple):
            return value
        advice = "Write each searched field on a line of its own, such as lr: [1e-3, 1e-4]."
        raise Refusal("must be a mapping of searched fields", got=written(value), advice=advice)

    @model_serializer(mode="wrap")
    def _to_mapping(self, handler: Any) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        fields["space"] = {d.name: as_written(d) for d in self.space}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_search(self)
        if "seed" in self.sampler_options or (self.sampler_options and self.sampler == "grid"):
            reason = "a grid takes no options" if self.sampler == "grid" else "the seed has a key of its own"
            got, advice = written(dict(self.sampler_options)), "Leave it out; the seed is search.seed."
            raise Refusal(reason, got=got, advice=advice, key="sampler_options")
        if self.sampler == "grid":
            self._check_grid()
        elif self.sampler == AUTO:
            self._check_auto()
        elif self.sampler not in SAMPLERS.shipped and SAMPLERS.reference(self.sampler) is None:
            return self  # There is none of this name, which is what has to be said; the loader does.
        elif self.trials is None and not self.budget.bounded:
            advice = "Add trials: 20, or a budget that ends the search."
            raise Refusal(f"the sampler {self.sampler} needs a number of trials", advice=advice, key="trials")
        elif not self.space:
            advice = "Add a field to the space, or use the grid sampler for a single training."
            raise Refusal(f"the sampler {self.sampler} needs something to search", advice=advice, key="space")
        if self.stop is not None and self.sampler == "grid":
            advice = "Leave stop out, or choose another sampler."
            raise Refusal("a grid tries all of its points", got=f"stop: {self.stop.name}", key="stop", advice=advice)
        if self.warm_start and self.sampler in {"grid", "random", "nsga2"}:
            advice = "Leave warm_start out, or choose the sampler tpe."
            raise Refusal(f"the sampler {self.sampler} learns from no trials", key="warm_start", advice=advice)
        if self.confirm is not None and any("seed" in dimension.sets for dimension in self.space):
            advice = "Leave confirm out, or take seed out of the space."
            raise Refusal(
                "nothing can be confirmed under other seeds where seed is searched", key="confirm", advice=advice
            )
        return self

    def _check_auto(self) -> None:
        if self.sampler_options:
            rule, got = "what options mean depends on the sampler", written(dict(self.sampler_options))
            advice = "Leave them out, or name a sampler."
            raise Refusal(rule, got=got, advice=advice, key="sampler_options")
        ranges = [d.name for d in self.space if isinstance(d, Range) and d.step is None]
        if ranges and self.trials is None and not self.budget.bounded:
            rule, got = "a space with a range needs a number of trials", f"{ranges[0]} without steps"
            advice = "Add trials: 20, or a budget that ends the search."
            raise Refusal(rule, got=got, advice=advice, key="trials")

    def _check_grid(self) -> None:
        if self.trials is not None:
            advice = "Leave trials out, or choose the sampler tpe or random."
            rule = "a grid has as many trials as its space has points"
            raise Refusal(rule, got=f"trials={self.trials}", advice=advice, key="trials")
        for dimension in self.space:
            if isinstance(dimension, Range) and dimension.step is None:
                advice = "Add a step, or choose the sampler tpe or random."
                raise Refusal(_NEEDS_STEP, advice=advice, key=f"space.{dimension.name}")
