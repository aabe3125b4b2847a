"""The dimensions of a search space: what a parameter may be, what it sets, and under which condition it is searched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, ValidationError, ValidationInfo, field_validator, model_validator

from deepcolor.fields.frozen import Frozen, ParamValue
from deepcolor.fields.refusal import Refusal, first_refusal, unknown_key, written
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import SHIPPED, stage_of

STAGE = "stage"
"""In the context of a validation: the stage whose fields are searched; without one, a shipped one."""
_NEEDS_STEP = "a grid needs a list of values, or a range with a step"
_HUGE = 1e300
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = {"rank", "trial", "state", "value", "end_epoch", "chosen_epoch", "error", "confirms"}
"""The other columns of a leaderboard."""


class _Dimension(Frozen):
    """What all dimensions have."""

    name: str
    """The searched field."""
    when: Mapping[str, tuple[ParamValue, ...]] = Field(default_factory=dict)
    """Searched only where these have one of these values: `when: {optimizer: sgd}`, `when: {optimizer: [sgd,
    rmsprop]}`. Names another parameter of the space, or a field that is fixed; several conditions must all hold. Where
    they do not, the trial has no such parameter, and the field keeps the sweep's own value."""

    @property
    def sets(self) -> tuple[str, ...]:
        """The fields that it gives a value to."""
        return (self.name,)

    @property
    def ends(self) -> tuple[ParamValue, ...]:
        """The values that say what it may be: all choices, or both ends of a range."""
        raise NotImplementedError

    def grid(self) -> tuple[ParamValue, ...]:
        """The values a grid takes."""
        raise NotImplementedError

    @field_validator("when", mode="before")
    @classmethod
    def _conditions(cls, value: Any, info: ValidationInfo) -> Any:
        example = "Write it like when: {optimizer: sgd}."
        if not isinstance(value, Mapping) or not value:
            raise Refusal("must be a mapping of conditions", got=written(value), advice=example)
        read: dict[str, tuple[Any, ...]] = {}
        for name, one in value.items():
            values = tuple(one) if isinstance(one, list | tuple) else (one,)
            if not values or any(isinstance(each, Mapping | list | tuple) for each in values):
                rule = "must be a value, or a list of values"
                raise Refusal(rule, got=written(one), advice=example, key=str(name))
            try:
                read[str(name)] = tuple(_field_value(_stage(info), str(name), each) for each in values)
            except Refusal as refusal:
                raise refusal.below(str(name)) from None
        return read


class Choices(_Dimension):
    """A searched parameter that takes one of some values, in the order written."""

    values: tuple[ParamValue, ...] = Field(min_length=1)
    """Its values, each one allowed for the field; a number written for a field of fractions becomes one (0 is 0.0)."""

    @property
    def ends(self) -> tuple[ParamValue, ...]:
        return self.values

    def grid(self) -> tuple[ParamValue, ...]:
        return self.values

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


class Bundle(Choices):
    """A searched parameter of the user's own that sets several fields at once: its values are labels."""

    members: Mapping[str, Mapping[str, ParamValue]]
    """The fields that each label sets; those that it does not name keep the sweep's own value."""

    @property
    def sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(field for fields in self.members.values() for field in fields))

    @field_validator("name")
    @classmethod
    def _own_name(cls, name: str, info: ValidationInfo) -> str:
        fields = _stage(info).searchable_fields()
        if name in fields:
            rule = "what sets several fields at once needs a name of its own"
            raise Refusal(rule, got=f"{name}, a field of {fields[name]}", advice="Call it something else.")
        if name in _TAKEN or not _PARAMETER.fullmatch(name):
            rule = "must be letters, digits and '_', starting with a letter, and no column of the leaderboard"
            raise Refusal(rule, got=written(name), advice="Choose another name, such as size.")
        return name

    @field_validator("values", mode="before")
    @classmethod
    def _allowed(cls, values: Any, info: ValidationInfo) -> Any:  # noqa: ARG003  # its labels are no values of a field
        return tuple(values)

    @field_validator("members", mode="before")
    @classmethod
    def _fields(cls, members: Any, info: ValidationInfo) -> Any:
        stage, read = _stage(info), {}
        for label, fields in members.items():
            if not isinstance(fields, Mapping):
                rule, advice = "must be a mapping of fields and their values", "Write it like {lr: 1e-3, epochs: 20}."
                raise Refusal(rule, got=written(fields), advice=advice, key=str(label))
            for field, value in fields.items():
                if field not in stage.searchable_fields() and stage.metrics:
                    raise unknown_key(str(field), stage.searchable_fields()).below(f"{label}.{field}")
                if isinstance(value, Mapping | list | tuple):
                    rule, advice = "must be one value", "Write a mapping for each value."
                    raise Refusal(rule, got=written(value), advice=advice, key=f"{label}.{field}")
            read[str(label)] = {field: _member(stage, label, field, value) for field, value in fields.items()}
        return read

    @model_validator(mode="after")
    def _different(self) -> Self:
        seen: dict[str, str] = {}
        for label, fields in self.members.items():
            key = json.dumps(fields, sort_keys=True)
            if key in seen:
                rule, got = "mappings must differ from each other", f"{seen[key]} and {label} alike"
                raise Refusal(rule, got=got, advice="Leave one out.")
            seen[key] = label
        return self


class Range(_Dimension):
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
    digits: int | None = Field(default=None, ge=1, le=15)
    """Significant digits of the values that are drawn: with `digits: 4` a rate is 0.001234, not 0.0012341768. Without
    it, all that the machine has. For fractions without a step; both bounds must need no more digits."""

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
    def _rounding(self) -> Self:
        if self.digits is None:
            return self
        if self.step is not None:
            got = f"digits={self.digits}, step={written(self.step)}"
            raise Refusal("digits cannot be combined with step", got=got, advice="Leave one of them out.")
        if isinstance(self.low, int) and isinstance(self.high, int):
            rule = "digits are for fractions, and this range is one of whole numbers"
            raise Refusal(rule, got=f"digits={self.digits}", advice="Leave digits out.")
        for bound, value in (("low", self.low), ("high", self.high)):
            if self.rounded(value) != value:
                got = f"{bound}={written(value)}, digits={self.digits}"
                advice = f"Write {bound}: {self.rounded(value)!r}, or raise digits."
                raise Refusal(f"{bound} must have no more than the digits that are asked for", got=got, advice=advice)
        return self

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

    @property
    def ends(self) -> tuple[ParamValue, ...]:
        return (self.low, self.high)

    def rounded(self, value: float) -> float:
        """Return a drawn value with the digits that are asked for; it stays in the range, as both ends have no more."""
        return float(f"{value:.{self.digits}g}") if self.digits is not None else value

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


def _form_of(spec: Any) -> str:
    if isinstance(spec, _Dimension):
        return "bundle" if isinstance(spec, Bundle) else "choices" if isinstance(spec, Choices) else "range"
    if isinstance(spec, Mapping) and "members" in spec:
        return "bundle"
    return "choices" if isinstance(spec, Mapping) and "values" in spec else "range"


AnyDimension = Annotated[
    Annotated[Bundle, Tag("bundle")] | Annotated[Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(_form_of),
]
"""Any dimension, told by its form."""


def dimension_of(name: str, spec: Any) -> Dimension | dict[str, Any]:
    """Return a dimension, or what it is read from, for what is written below its name."""
    if isinstance(spec, _Dimension):
        return spec  # type: ignore[return-value]  # one of the three
    _refuse_section(name, spec)
    if isinstance(spec, list | tuple):
        spec = {"values": spec}
    if not isinstance(spec, Mapping) or {"name", "members"} & set(spec):
        advice = "Write [a, b], or {low: a, high: b}."
        rule = "must be a list of choices, or low/high with log or step"
        raise Refusal(rule, got=written(spec), advice=advice, key=name)
    values = spec.get("values")
    if isinstance(values, Mapping) or (
        isinstance(values, list | tuple) and any(isinstance(v, Mapping) for v in values)
    ):
        members = dict(values) if isinstance(values, Mapping) else _labelled(name, values)
        return {**spec, "name": name, "values": tuple(map(str, members)), "members": members}
    return {**spec, "name": name}


def as_written(dimension: Dimension) -> Any:
    """Write a dimension as a sweep file has it."""
    when = {name: list(values) if len(values) > 1 else values[0] for name, values in dimension.when.items()}
    conditions = {"when": when} if when else {}
    if isinstance(dimension, Bundle):
        return {"values": {label: dict(fields) for label, fields in dimension.members.items()}, **conditions}
    if isinstance(dimension, Choices):
        return {"values": list(dimension.values), **conditions} if when else list(dimension.values)
    return {**dimension.model_dump(exclude={"name", "when"}, exclude_defaults=True), **conditions}


def covers(dimension: Dimension, value: Any, *, grid: bool) -> bool:
    """Return whether a value lies in a dimension; for a grid, whether it is one of its points."""
    if isinstance(dimension, Choices) or grid:
        return value_key(value) in {value_key(known) for known in dimension.grid()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    if isinstance(dimension.low, int) and isinstance(dimension.high, int) and value != int(value):
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return abs(steps - round(steps)) < 1e-6


def value_key(value: Any) -> str:
    """Return what is equal for equal values: 1 and 1.0 are one, true is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return repr(float(value))


def _labelled(name: str, values: Any) -> dict[str, Any]:
    """Name mappings that have no labels by what they set."""
    members: dict[str, Any] = {}
    for fields in values:
        if not isinstance(fields, Mapping):
            rule, advice = "mappings and single values cannot be mixed", "Write mappings only, or none."
            raise Refusal(rule, got=written(fields), advice=advice, key=name)
        label = ", ".join(f"{field}={written(value).strip(chr(39))}" for field, value in fields.items()) or "as it is"
        if label in members:
            rule, advice = "mappings must differ from each other", "Leave one out."
            raise Refusal(rule, got=f"{label} twice", advice=advice, key=name)
        members[label] = fields
    return members


def _stage(info: ValidationInfo) -> type[Stage]:
    found: type[Stage] | None = (info.context or {}).get(STAGE)
    return found or stage_of(next(iter(SHIPPED)))


def _takes(stage: type[Stage], name: str, kind: type) -> bool:
    annotation = stage.section_of(name).model_fields[name].annotation
    return annotation in (int, kind, int | None, kind | None)


def _field_value(stage: type[Stage], name: str, value: Any) -> Any:
    """Return `value` as the searchable field `name` holds it; of a name that cannot be searched, unchanged.

    Raises:
        Refusal: The field does not allow the value.
    """
    if name not in stage.searchable_fields():
        return value
    try:
        return getattr(stage.section_of(name).model_validate({name: value}), name)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"] != (name,):
            return value  # Another field of the section has to be given: this one is as good as can be told.
        refusal = first_refusal(error)
        raise Refusal(refusal.rule, got=refusal.got, advice=refusal.advice) from None


def _member(stage: type[Stage], label: Any, field: str, value: Any) -> Any:
    try:
        return _field_value(stage, field, value)
    except Refusal as refusal:
        raise refusal.below(f"{label}.{field}") from None


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE < value < _HUGE:
        raise Refusal("must be a finite number", got=written(value), advice="Write it without quotes.")
    return value


_SECTIONS = ("model", "training", "init", "augment", "data")


def _refuse_section(name: str, spec: Any) -> None:
    """Refuse a field that is written below its section, as everywhere else in a sweep."""
    section, _, inner = name.partition(".")
    is_field = isinstance(spec, Mapping) and bool({"low", "high", "values", "step", "log", "when"} & set(spec))
    if section in _SECTIONS and (inner or (isinstance(spec, Mapping) and not is_field)):
        fields = inner.removeprefix("augment.") or ", ".join(map(str, spec))
        advice = f"Write {fields or 'its keys'} directly below space, without {section}."
        raise Refusal("the keys of a space are flat", got=f"the section {section}", advice=advice, key=section)
