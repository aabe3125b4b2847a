"""From a sweep's search space to Optuna's distributions, and from settings back to its points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from deepcolor.config.dimensions import covers
from deepcolor.config.points import point_key
from deepcolor.config.schema import (
    Bundle,
    Choices,
    Dimension,
    Params,
    Range,
    SearchConfig,
    Setting,
    Sweep,
)
from deepcolor.stages.contract import AUGMENT

__all__ = [
    "Params",
    "distributions",
    "distributions_of",
    "grid_points",
    "misfits",
    "params_of",
    "point_key",
    "values_in",
]

MISSING = object()


def distributions(search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return the Optuna distribution of every searched parameter, in the order they are written."""
    return {dimension.name: _distribution(dimension, grid=search.sampler == "grid") for dimension in search.space}


def distributions_of(params: Mapping[str, Any], search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return the Optuna distribution of each of some parameters."""
    every = distributions(search)
    return {name: every[name] for name in params}


def grid_points(sweep: Sweep) -> tuple[Params, ...]:
    """Return every point of the grid, `epochs` innermost and ascending."""
    return tuple(sweep.space.points())


def params_of(sweep: Sweep, setting: Setting) -> Params:
    """Return what a setting has for the parameters that a sweep searches, as far as its point has them."""
    return {name: value for name, value in values_in(sweep, setting).items() if value is not MISSING}


def misfits(sweep: Sweep, setting: Setting) -> list[str]:
    """Say what keeps a setting from being a point of a sweep, by key; empty if it is one."""
    found = []
    fields = sweep.stage_class.searchable_fields()
    if setting.stage != sweep.stage:
        found.append(f"stage: {setting.stage} -> {sweep.stage}")
        fields = {}
    parts = {section.removeprefix("data.") for section in fields.values() if section == AUGMENT}
    found += [
        f"data.{name}: {getattr(setting.data, name, None)} -> {getattr(sweep.data, name)}"
        for name in type(sweep.data).model_fields
        if name not in parts and getattr(setting.data, name, None) != getattr(sweep.data, name)
    ]
    found += _misfit_fields(sweep, setting, fields) if fields else ()
    if not found:  # By name it is one; so it is, unless the code behind the names has changed.
        changed = (place for place, digest in setting.code.items() if sweep.code.get(place) != digest)
        found = [f"code.{place}: {setting.code[place]} -> {sweep.code.get(place)}" for place in changed]
    return found


def _misfit_fields(sweep: Sweep, setting: Setting, fields: Mapping[str, str]) -> Iterator[str]:
    values, known = values_in(sweep, setting), {dimension.name: dimension for dimension in sweep.search.space}
    setter = {field: name for name in values for field in known[name].sets}
    told: set[str] = set()
    for field, section in fields.items():
        theirs, ours = _field(setting, section, field), _field(sweep, section, field)
        name = setter.get(field)
        if name is None:
            if theirs != ours:
                yield f"{section}.{field}: {theirs!r} -> {ours!r}"
        elif name not in told and not _lies_in(known[name], values[name], grid=sweep.search.sampler == "grid"):
            told.add(name)
            sets = known[name].sets
            shown = theirs if sets == (name,) else {each: _field(setting, fields[each], each) for each in sets}
            yield f"search.space.{name}: {shown!r} is no longer in it"


def _lies_in(dimension: Dimension, value: Any, *, grid: bool) -> bool:
    return value is not MISSING and covers(dimension, value, grid=grid)


def values_in(sweep: Sweep, setting: Setting) -> dict[str, Any]:
    """Return what a setting has for each parameter of its point; `MISSING` where none of a parameter's labels fits."""
    return sweep.space.drawn(lambda dimension: _value_in(sweep, setting, dimension))


def _value_in(sweep: Sweep, setting: Setting, dimension: Dimension) -> Any:
    fields = sweep.stage_class.searchable_fields()
    theirs = {field: _field(setting, fields[field], field) for field in dimension.sets}
    if not isinstance(dimension, Bundle):
        return theirs[dimension.name]
    own = {field: _field(sweep, fields[field], field) for field in dimension.sets}
    fits = (label for label, members in dimension.members.items() if {**own, **members} == theirs)
    return next(fits, MISSING)


def _field(of: Setting | Sweep, section: str, field: str) -> Any:
    return getattr(reduce(getattr, section.split("."), of), field)


def _distribution(dimension: Dimension, *, grid: bool) -> BaseDistribution:
    if isinstance(dimension, Choices) or grid:
        return CategoricalDistribution(list(dimension.grid()))
    return _range_distribution(dimension)


def _range_distribution(dimension: Range) -> BaseDistribution:
    whole = isinstance(dimension.low, int) and isinstance(dimension.high, int)
    if whole and (dimension.step is None or isinstance(dimension.step, int)):
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1)
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
