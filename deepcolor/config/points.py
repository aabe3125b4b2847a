"""The points of a space: which of its parameters a setting has, and all the settings there are.

A parameter under a condition is part of a point only where the condition holds, so two points never differ in a
parameter alone that neither of them has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from deepcolor.config.dimensions import Choices, Dimension, Range, covers, value_key
from deepcolor.fields.frozen import ParamValue
from deepcolor.fields.refusal import Refusal, nearest, unknown_key, written

Params = dict[str, ParamValue]

MOST_COUNTED = 20_000
"""Points under conditions are counted one by one, and no further than this."""


@dataclass(frozen=True)
class Space:
    """What is searched, with what the sweep itself gives every field."""

    dimensions: tuple[Dimension, ...]
    """As written."""
    own: Callable[[str], ParamValue]
    """What a field has where it is not searched."""

    @cached_property
    def names(self) -> frozenset[str]:
        """Of all parameters."""
        return frozenset(dimension.name for dimension in self.dimensions)

    @cached_property
    def in_order(self) -> tuple[Dimension, ...]:
        """The dimensions, each after those that its conditions name; else as written."""
        found: dict[str, Dimension] = {}
        open_ = list(self.dimensions)
        while open_:
            ready = next((d for d in open_ if not (set(d.when) & self.names) - found.keys()), None)
            if ready is None:
                raise _circle(open_)
            found[ready.name] = ready
            open_.remove(ready)
        return tuple(found.values())

    @cached_property
    def coupled(self) -> tuple[Dimension, ...]:
        """Those that a condition connects: the ones under one, and the ones that they name."""
        named = {name for dimension in self.dimensions for name in dimension.when}
        return tuple(dimension for dimension in self.in_order if dimension.when or dimension.name in named)

    def is_active(self, dimension: Dimension, params: Mapping[str, ParamValue]) -> bool:
        """Return whether a setting has this parameter, by the values of those that its conditions name."""
        for name, values in dimension.when.items():
            if name in self.names and name not in params:
                return False  # What does not exist itself has no value.
            value = params[name] if name in self.names else self.own(name)
            if value_key(value) not in map(value_key, values):
                return False
        return True

    def active(self, params: Mapping[str, ParamValue]) -> tuple[Dimension, ...]:
        """Return the dimensions that a setting has, given its parameters."""
        return tuple(dimension for dimension in self.dimensions if self.is_active(dimension, params))

    def is_whole(self, params: Mapping[str, ParamValue]) -> bool:
        """Return whether these are all the parameters of a point, and no others."""
        return params.keys() == {dimension.name for dimension in self.active(params)}

    def drawn(self, choose: Callable[[Dimension], ParamValue]) -> Params:
        """Draw a point: ask for a value of each parameter that it has, those that others depend on first."""
        params: Params = {}
        for dimension in self.in_order:
            if self.is_active(dimension, params):
                params[dimension.name] = choose(dimension)
        return params

    def points(self) -> Iterator[Params]:
        """All points of a grid, `epochs` innermost and ascending.

        In this order trials that differ only in epochs follow each other, so that each continues where the one before
        it ended.
        """
        last = [dimension for dimension in self.in_order if dimension.name == "epochs"]
        if any("epochs" in dimension.when for dimension in self.dimensions):
            last = []  # What depends on it comes after it.
        order = [dimension for dimension in self.in_order if dimension not in last] + last
        return self._below(
            order, {}, lambda dimension: _ascending(dimension) if dimension in last else dimension.grid()
        )

    def cases(self, *, also: Sequence[str] = ()) -> Iterator[Params]:
        """The combinations of what conditions connect, ranges by their two ends; one empty case if there is nothing.

        Args:
            also: Further parameters to tell apart.
        """
        some = {dimension.name for dimension in self.coupled} | {d.name for d in self._above(also)}
        return self._below([d for d in self.in_order if d.name in some], {}, lambda dimension: dimension.ends)

    def combinations(self, names: Sequence[str]) -> Iterator[Params]:
        """All that some parameters can be together, with what decides whether a point has them."""
        some = {dimension.name for dimension in self._above(names)}
        return self._below([d for d in self.in_order if d.name in some], {}, _every_value)

    def count(self) -> int:
        """How many points a grid has; 1 when nothing is searched. Under conditions no more than `MOST_COUNTED` are
        told apart.
        """
        coupled = self.coupled
        free = math.prod(_size(dimension) for dimension in self.dimensions if dimension not in coupled)
        if not coupled:
            return free
        points = self._below(
            coupled, {}, lambda each: each.grid() if _size(each) < MOST_COUNTED else range(MOST_COUNTED)
        )
        return free * sum(1 for _ in itertools.islice(points, MOST_COUNTED))

    def check(self, *, fields: Mapping[str, str]) -> None:
        """Refuse conditions that name what is not there, or can never hold, and fields that are searched twice.

        Args:
            fields: All that could be searched, with their sections.
        Raises:
            Refusal: With its key below the space.
        """
        self._check_fields()
        known = {dimension.name: dimension for dimension in self.dimensions}
        for dimension in self.dimensions:
            for name, values in dimension.when.items():
                key = f"{dimension.name}.when.{name}"
                if name == dimension.name:
                    raise _circle([dimension])
                if name in known:
                    _check_values(known[name], values, key=key)
                    continue
                setter = next((other.name for other in self.dimensions if name in other.sets), None)
                if setter is not None:
                    rule, advice = f"is set by {setter}", f"Name {setter} and its labels in place of it."
                    raise Refusal(rule, key=key, advice=advice)
                if name not in fields:
                    raise unknown_key(name, dict.fromkeys([*known, *fields])).below(key)
        _ = self.in_order

    def _check_fields(self) -> None:
        seen: dict[str, str] = {}
        for dimension in self.dimensions:
            for field in dimension.sets:
                if field in seen:
                    rule, got = "a field can be searched once only", f"{field} in {seen[field]} and {dimension.name}"
                    raise Refusal(rule, got=got, key=dimension.name, advice="Leave it out of one of them.")
                seen[field] = dimension.name

    def _above(self, names: Sequence[str]) -> list[Dimension]:
        """These parameters and all that decide whether a point has them."""
        known = {dimension.name: dimension for dimension in self.dimensions}
        found: dict[str, Dimension] = {}
        open_ = [name for name in names if name in known]
        while open_:
            name = open_.pop()
            if name not in found:
                found[name] = known[name]
                open_ += [other for other in known[name].when if other in known]
        return list(found.values())

    def _below(
        self, order: Sequence[Dimension], params: Params, values: Callable[[Dimension], Sequence[ParamValue]]
    ) -> Iterator[Params]:
        if not order:
            yield dict(params)
        elif not self.is_active(order[0], params):
            yield from self._below(order[1:], params, values)
        else:
            for value in values(order[0]):
                yield from self._below(order[1:], {**params, order[0].name: value}, values)


def point_key(params: Mapping[str, ParamValue]) -> tuple[tuple[str, str], ...]:
    """Return something hashable that is equal for equal points, whatever the order of names, and for 1 and 1.0."""
    return tuple(sorted((name, value_key(value)) for name, value in params.items()))


def _check_values(of: Dimension, values: Sequence[ParamValue], *, key: str) -> None:
    """Refuse a condition on values that a parameter never has."""
    if isinstance(of, Range) and of.step is None and not (isinstance(of.low, int) and isinstance(of.high, int)):
        rule = f"a condition needs single values, and {of.name} is a range without steps"
        raise Refusal(rule, key=key, advice=f"Write the values of {of.name} as a list.")
    for value in values:
        if not covers(of, value, grid=False):
            # Of a range the ends are named; a list is named whole.
            known = [written(each).strip("'") for each in of.ends]
            near = nearest(str(value), known) if isinstance(of, Choices) else None
            allowed = ", ".join(known) if isinstance(of, Choices) else " to ".join(known)
            advice = f"{f'Did you mean {near}? ' if near else ''}Allowed: {allowed}."
            raise Refusal("must be a value that is searched", got=written(value), key=key, advice=advice)


def _circle(left: Sequence[Dimension]) -> Refusal:
    """Refuse conditions that go round in a circle."""
    known = {dimension.name: dimension for dimension in left}
    path = [left[0].name]
    while path[-1] not in path[:-1]:
        path.append(next(name for name in known[path[-1]].when if name in known))
    circle = path[path.index(path[-1]) :]
    rule, got = "conditions must not go round in a circle", " -> ".join(circle)
    return Refusal(rule, got=got, key=f"{circle[0]}.when", advice="Take one of them out.")


def _countable(dimension: Dimension) -> Sequence[ParamValue]:
    """The values that a grid takes, or as many of something as are counted."""
    return dimension.grid() if _size(dimension) < MOST_COUNTED else range(MOST_COUNTED)


def _size(dimension: Dimension) -> int:
    return len(dimension.values) if isinstance(dimension, Choices) else dimension.points()


def _every_value(dimension: Dimension) -> Sequence[ParamValue]:
    if isinstance(dimension, Range) and dimension.step is None:
        return range(int(dimension.low), int(dimension.high) + 1)  # Of whole numbers: nothing else may be named.
    return dimension.grid()


def _ascending(dimension: Dimension) -> Sequence[ParamValue]:
    return sorted(dimension.grid(), key=lambda value: float(value) if isinstance(value, int | float) else math.inf)
