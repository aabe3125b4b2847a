"""What a sweep searches: the dimensions of its space, the sampler that draws from it, and the objective."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.stopping import BudgetConfig, PrunerConfig
from deepcolor.fields.frozen import Frozen, ParamValue, config_name
from deepcolor.fields.named import SAMPLERS
from deepcolor.fields.objective import Direction
from deepcolor.fields.refusal import Refusal, first_refusal, written
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import SHIPPED, stage_of

STAGE = "stage"
"""In the context of a validation: the stage whose fields are searched; without one, a shipped one."""
_MOST_GRID_POINTS = 10_000
_HUGE = 1e300


class Choices(Frozen):
    """A searched parameter that takes one of some values, in the order written."""

    name: str
    """The searched field."""
    values: tuple[ParamValue, ...] = Field(min_length=1)
    """Its values, each one allowed for the field; a number written for a field of fractions becomes one (0 is 0.0)."""

    @field_validator("values", mode="before")
    @classmethod
    def _allowed(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, list | tuple):
            raise Refusal("must be a list of choices", got=written(values), advice="Write them in brackets: [a, b].")
        return tuple(_field_value(_stage(info), info.data.get("name", ""), value) for value in values)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen = [json.dumps(value) for value in self.values]
        for value in self.values:
            if seen.count(json.dumps(value)) > 1:
                raise Refusal(
                    "choices must differ from each other", got=f"{written(value)} twice", advice="Leave one out."
                )
        return self


class Range(Frozen):
    """A searched parameter that takes a number between two bounds, both included."""

    name: str
    """The searched field; one that takes numbers."""
    low: int | float
    """The smallest value."""
    high: int | float
    """The largest value; a grid whose steps do not meet it ends below it."""
    log: bool = False
    """Draw on a logarithmic scale (tpe and random); low must be above 0, and there is no step."""
    step: int | float | None = None
    """Distance between values; a grid needs it. A field of whole numbers takes whole steps."""

    @field_validator("low", "high", mode="before")
    @classmethod
    def _end(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.data.get("name", "")
        stage = _stage(info)
        if name in stage.searchable_fields() and not _takes(stage, name, float):
            advice = f"Write its values as a list: {name}: [...]."
            raise Refusal(f"{name} takes no numbers, so it cannot be searched over a range", advice=advice)
        return _field_value(stage, name, _number(value))

    @field_validator("step", mode="before")
    @classmethod
    def _step(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        if _number(value) <= 0:
            raise Refusal("must be above 0", got=written(value), advice="Choose a larger value.")
        name, stage = info.data.get("name", ""), _stage(info)
        if name in stage.searchable_fields() and _takes(stage, name, int):
            if value != int(value):
                raise Refusal("must be a whole number", got=written(value), advice=f"{name} takes whole numbers only.")
            return int(value)
        return value

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.low >= self.high:
            got = f"low={written(self.low)}, high={written(self.high)}"
            advice = "Swap the bounds." if self.low > self.high else "Write a list with the one value."
            raise Refusal("low must be below high", got=got, advice=advice)
        if self.log and self.low <= 0:
            got = f"low={written(self.low)}"
            raise Refusal("low must be above 0 on a log scale", got=got, advice="Raise it, or leave log out.")
        if self.log and self.step is not None:
            got = f"log=true, step={written(self.step)}"
            raise Refusal("step cannot be combined with log", got=got, advice="Leave one of them out.")
        if self.step is not None and self.points() < 2:
            got = f"step={written(self.step)}, low={written(self.low)}, high={written(self.high)}"
            raise Refusal("step must fit between low and high", got=got, advice="Choose a smaller step.")
        return self

    def points(self) -> int:
        """How many values a grid takes. Needs a step."""
        if self.step is None:
            raise Refusal(_NEEDS_STEP)
        # The bounds are rounded, so the last step may miss the upper one by a hair.
        return int((self.high - self.low) / self.step + 1e-6) + 1

    def grid(self) -> tuple[int | float, ...]:
        """The values a grid takes: low, low + step, ... up to high. Needs a step."""
        count, step = self.points(), self.step or 0
        values = (self.low + step * index for index in range(count))
        # 0.1 + 2 * 0.1 is 0.30000000000000004: a setting's name and identity should hold what the user means by it.
        return tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in values)


Dimension = Choices | Range
_NEEDS_STEP = "a grid needs a list of values, or a range with a step"


def _form_of(spec: Any) -> str:
    return "choices" if isinstance(spec, Choices) or (isinstance(spec, Mapping) and "values" in spec) else "range"


_Dimension = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(_form_of),
]


class SearchConfig(Frozen):
    """What is searched, and how."""

    first_fields = frozenset(
        {"sampler", "space", "objective", "trials", "seed", "pruner", "budget", "warm_start", "confirm"}
    )

    sampler: Annotated[str, SAMPLERS] = "grid"
    """`grid` trains every combination once; `tpe` (Optuna's, judged by all curves) and `random` draw `trials` settings,
    and so does your own, as `FILE.py:NAME` or `package.module:NAME`: an Optuna `BaseSampler`, such as
    `optuna.samplers:QMCSampler`."""
    space: tuple[_Dimension, ...] = ()
    """Searched fields of model, training and init: a list of choices, or low/high with log or step."""
    objective: str = "val/mse"
    """The epoch metric that is optimised; of a stage that has no `val/mse`, the first of its own. The shipped stages
    have `val/mse`, `val/mse_a`, `val/mse_b` and `train/mse`, which are minimised, in the normalised units (value + 128)
    / 255; under another loss than mse, `train/loss` in place of `train/mse`. Every training has `epoch_s`."""
    direction: Direction | None = None
    """Whether the objective is minimised or maximised. null: as its stage says; a metric of your own is minimised."""
    trials: int | None = Field(default=None, ge=1, le=100_000)
    """Settings to draw, for tpe and random; they need it unless a budget bounds them. A grid has as many as its
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
    """Train the best settings again under other seeds; the winner is the one with the best mean."""
    watch: tuple[str, ...] = ()
    """Other epoch metrics that are shown beside the objective: in the live view, the leaderboard and MLflow."""
    sampler_options: Mapping[str, Any] = Field(default_factory=dict)
    """What the sampler is made with beside its seed: for tpe, `{n_startup_trials: 20}`, or `{curves: false}` for
    Optuna's alone (docs/search.md)."""

    @field_validator("warm_start")
    @classmethod
    def _study_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(config_name(name) for name in value)

    @field_validator("space", mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple(_dimension(str(name), spec) for name, spec in value.items())
        if isinstance(value, tuple):
            return value
        advice = "Write each searched field on a line of its own, such as lr: [1e-3, 1e-4]."
        raise Refusal("must be a mapping of searched fields", got=written(value), advice=advice)

    @model_serializer(mode="wrap")
    def _to_mapping(self, handler: Any) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        fields["space"] = {d.name: _as_written(d) for d in self.space}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "seed" in self.sampler_options or (self.sampler_options and self.sampler == "grid"):
            reason = "a grid takes no options" if self.sampler == "grid" else "the seed has a key of its own"
            got, advice = written(dict(self.sampler_options)), "Leave it out; the seed is search.seed."
            raise Refusal(reason, got=got, advice=advice, key="sampler_options")
        if self.sampler == "grid":
            self._check_grid()
        elif self.sampler not in SAMPLERS.shipped and SAMPLERS.reference(self.sampler) is None:
            return self  # There is none of this name, which is what has to be said; the loader does.
        elif self.trials is None and not self.budget.bounded:
            advice = "Add trials: 20, or a budget that ends the search."
            raise Refusal(f"the sampler {self.sampler} needs a number of trials", advice=advice, key="trials")
        elif not self.space:
            advice = "Add a field to the space, or use the grid sampler for a single training."
            raise Refusal(f"the sampler {self.sampler} needs something to search", advice=advice, key="space")
        if self.warm_start and self.sampler in {"grid", "random"}:
            advice = "Leave warm_start out, or choose the sampler tpe."
            raise Refusal(f"the sampler {self.sampler} learns from no trials", key="warm_start", advice=advice)
        if self.confirm is not None and any(dimension.name == "seed" for dimension in self.space):
            advice = "Leave confirm out, or take seed out of the space."
            raise Refusal(
                "nothing can be confirmed under other seeds where seed is searched", key="confirm", advice=advice
            )
        return self

    def limit(self) -> int | None:
        """How many trials the study will have; None when only its budget ends it."""
        limits = (self.grid_points() if self.sampler == "grid" else self.trials, self.budget.trials)
        return min((limit for limit in limits if limit is not None), default=None)

    def grid_points(self) -> int:
        """How many settings a grid over this space has; 1 when nothing is searched."""
        return math.prod(len(d.values) if isinstance(d, Choices) else d.points() for d in self.space)

    def _check_grid(self) -> None:
        if self.trials is not None:
            advice = "Leave trials out, or choose the sampler tpe or random."
            rule = "a grid has as many trials as its space has points"
            raise Refusal(rule, got=f"trials={self.trials}", advice=advice, key="trials")
        for dimension in self.space:
            if isinstance(dimension, Range) and dimension.step is None:
                advice = "Add a step, or choose the sampler tpe or random."
                raise Refusal(_NEEDS_STEP, advice=advice, key=f"space.{dimension.name}")
        if self.grid_points() > _MOST_GRID_POINTS:
            advice = "Search fewer values, or choose the sampler tpe or random."
            rule = f"a grid may have {_MOST_GRID_POINTS} points at most"
            raise Refusal(rule, got=str(self.grid_points()), advice=advice, key="space")


def _stage(info: ValidationInfo) -> type[Stage]:
    found: type[Stage] | None = (info.context or {}).get(STAGE)
    return found or stage_of(next(iter(SHIPPED)))


def _takes(stage: type[Stage], name: str, kind: type) -> bool:
    annotation = stage.sections()[stage.searchable_fields()[name]].model_fields[name].annotation
    return annotation is int or annotation is kind


def _field_value(stage: type[Stage], name: str, value: Any) -> Any:
    """Return `value` as the searchable field `name` holds it; of a name that cannot be searched, unchanged.

    Raises:
        Refusal: The field does not allow the value.
    """
    section = stage.searchable_fields().get(name)
    if section is None:
        return value
    try:
        return getattr(stage.sections()[section].model_validate({name: value}), name)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"] != (name,):
            return value  # Another field of the section has to be given: this one is as good as can be told.
        refusal = first_refusal(error)
        raise Refusal(refusal.rule, got=refusal.got, advice=refusal.advice) from None


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE < value < _HUGE:
        raise Refusal("must be a finite number", got=written(value), advice="Write it without quotes.")
    return value


_SECTIONS = ("model", "training", "init")


def _dimension(name: str, spec: Any) -> Dimension | dict[str, Any]:
    if isinstance(spec, Choices | Range):
        return spec
    section, _, inner = name.partition(".")
    if section in _SECTIONS and (inner or isinstance(spec, Mapping)):
        fields = inner or ", ".join(map(str, spec))
        advice = f"Write {fields or 'its keys'} directly below space, without {section}."
        raise Refusal("the keys of a space are flat", got=f"the section {section}", advice=advice, key=section)
    if isinstance(spec, list | tuple):
        return {"name": name, "values": spec}
    if isinstance(spec, Mapping) and not {"name", "values"} & set(spec):
        return {"name": name, **spec}
    advice = "Write [a, b], or {low: a, high: b}."
    raise Refusal("must be a list of choices, or low/high with log or step", got=written(spec), advice=advice, key=name)


def _as_written(dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return list(dimension.values)
    return dimension.model_dump(exclude={"name"}, exclude_defaults=True)
