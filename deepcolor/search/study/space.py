"""From a sweep's search space to Optuna's distributions, and to the points of a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from deepcolor.config.schema import (
    Choices,
    Dimension,
    ParamValue,
    Range,
    SearchConfig,
    Setting,
    Sweep,
)

Params = dict[str, ParamValue]


def distributions(search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return the Optuna distribution of every searched parameter, in the order they are written."""
    return {dimension.name: _distribution(dimension, grid=search.sampler == "grid") for dimension in search.space}


def grid_points(search: SearchConfig) -> tuple[Params, ...]:
    """Return every combination of the grid, `epochs` innermost and ascending.

    In this order trials that differ only in epochs follow each other, so that each continues where the one before it
    ended.
    """
    outer = [dimension for dimension in search.space if dimension.name != "epochs"]
    inner = [dimension for dimension in search.space if dimension.name == "epochs"]
    names = [dimension.name for dimension in (*outer, *inner)]
    values = [grid_values(dimension) for dimension in outer] + [sorted(grid_values(d), key=_as_number) for d in inner]
    return tuple(dict(zip(names, point, strict=True)) for point in itertools.product(*values))


def grid_values(dimension: Dimension) -> tuple[ParamValue, ...]:
    """Return the values a grid takes of one dimension."""
    return dimension.values if isinstance(dimension, Choices) else dimension.grid()


def point_key(params: Mapping[str, ParamValue]) -> tuple[tuple[str, str], ...]:
    """Return something hashable that is equal for equal points, whatever the order of names, and for 1 and 1.0."""
    return tuple(sorted((name, _value_key(value)) for name, value in params.items()))


def params_of(sweep: Sweep, setting: Setting) -> Params:
    """Return what a setting has for the parameters that a sweep searches."""
    fields = sweep.stage_class.searchable_fields()
    return {name: getattr(getattr(setting, fields[name]), name) for name in sweep.search_names}


def misfits(sweep: Sweep, setting: Setting) -> list[str]:
    """Say what keeps a setting from being a point of a sweep, by key; empty if it is one."""
    found = []
    if setting.stage != sweep.stage:
        found.append(f"stage: {setting.stage} -> {sweep.stage}")
    found += [
        f"data.{name}: {getattr(setting.data, name, None)} -> {getattr(sweep.data, name)}"
        for name in type(sweep.data).model_fields
        if getattr(setting.data, name, None) != getattr(sweep.data, name)
    ]
    dimensions = {dimension.name: dimension for dimension in sweep.search.space}
    for name, section in sweep.stage_class.searchable_fields().items() if setting.stage == sweep.stage else ():
        theirs, ours = getattr(getattr(setting, section), name), getattr(getattr(sweep, section), name)
        if name in dimensions:
            if not covers(dimensions[name], theirs, grid=sweep.search.sampler == "grid"):
                found.append(f"search.space.{name}: {theirs!r} is no longer in it")
        elif theirs != ours:
            found.append(f"{section}.{name}: {theirs!r} -> {ours!r}")
    if not found:  # By name it is one; so it is, unless the code behind the names has changed.
        changed = (place for place, digest in setting.code.items() if sweep.code.get(place) != digest)
        found = [f"code.{place}: {setting.code[place]} -> {sweep.code.get(place)}" for place in changed]
    return found


def covers(dimension: Dimension, value: ParamValue, *, grid: bool) -> bool:
    """Return whether a value lies in a dimension; for a grid, whether it is one of its points."""
    if isinstance(dimension, Choices) or grid:
        return _value_key(value) in {_value_key(known) for known in grid_values(dimension)}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return abs(steps - round(steps)) < 1e-6


def _distribution(dimension: Dimension, *, grid: bool) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(list(dimension.values))
    if grid:
        return CategoricalDistribution(list(dimension.grid()))
    return _range_distribution(dimension)


def _range_distribution(dimension: Range) -> BaseDistribution:
    whole = isinstance(dimension.low, int) and isinstance(dimension.high, int)
    if whole and (dimension.step is None or isinstance(dimension.step, int)):
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1)
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _as_number(value: ParamValue) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _value_key(value: ParamValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return repr(float(value))
