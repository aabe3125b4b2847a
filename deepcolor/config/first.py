"""The settings that a search tries before it draws its own: as they are written, and as points of its space."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcolor.config.dimensions import Bundle, Choices, Dimension, covers, value_key
from deepcolor.config.points import Params, Space, point_key
from deepcolor.config.yamlfile import parse
from deepcolor.errors import ConfigError
from deepcolor.fields.frozen import ParamValue
from deepcolor.fields.refusal import Refusal, unknown_key, written
from deepcolor.plainfile import read_plain

STUDY = re.compile(r"study:(?P<study>[A-Za-z0-9][A-Za-z0-9._-]*)(?:#(?P<best>[1-9][0-9]{0,4}))?")
"""The best trials of another study."""
_TABLE = re.compile(r"(?P<file>.+\.csv)(?:#(?P<rows>[1-9][0-9]{0,4}))?", re.IGNORECASE)
BEST = 5
"""How many of a study's trials are meant where it is not said."""
_MOST_BYTES = 16 << 20
_ADVICE = "Write a list of settings, FILE.csv, or study:NAME."


def as_entries(value: Any) -> Any:
    """Return what is written below `search.first` as a tuple of settings, or as the text that names them.

    Raises:
        Refusal: It is neither.
    """
    if isinstance(value, str):
        if STUDY.fullmatch(value) or _TABLE.fullmatch(value):
            return value
        raise Refusal("must be settings, or name a table or a study of them", got=written(value), advice=_ADVICE)
    if not isinstance(value, list | tuple):
        raise Refusal("must be a list of settings", got=written(value), advice=_ADVICE)
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping) or not entry:
            rule, advice = "must be a mapping of parameters and their values", "Write it like {lr: 1e-3}."
            raise Refusal(rule, got=written(entry), advice=advice, key=str(index))
        for name, one in entry.items():
            if isinstance(one, Mapping | list | tuple):
                rule, advice = "must be one value", "Write a setting for each."
                raise Refusal(rule, got=written(one), advice=advice, key=f"{index}.{name}")
    return tuple({str(name): one for name, one in entry.items()} for entry in value)


def first_points(space: Space, entries: Sequence[Mapping[str, Any]], *, grid: bool) -> tuple[Params, ...]:
    """Return the points that settings stand for, as far as they are given.

    What a setting does not say has the sweep's own value, if that lies in the space. Else it is left out, for the
    sampler to draw; of a grid, it is the first one.

    Args:
        space: What is searched.
        entries: The settings, by parameter.
        grid: Whether only the points of a grid will do.
    Raises:
        Refusal: With its key below `search.first`.
    """
    found: dict[Any, int] = {}
    points = []
    for index, entry in enumerate(entries):
        try:
            point = _point(space, entry, grid=grid)
        except Refusal as refusal:
            raise refusal.below(str(index)) from None
        if (before := found.setdefault(point_key(point), index)) != index:
            rule, got = "settings must differ from each other", f"the same as search.first.{before}"
            raise Refusal(rule, got=got, key=str(index), advice="Leave one out.")
        points.append(point)
    return tuple(points)


def value_in(dimension: Dimension, value: Any, *, grid: bool) -> ParamValue:
    """Return a value as a parameter has it: 1 is 1.0 where numbers have fractions.

    Raises:
        Refusal: It lies outside.
    """
    if not covers(dimension, value, grid=grid):
        rule = f"must lie in search.space.{dimension.name}"
        raise Refusal(rule, got=written(value), advice=f"Allowed: {_allowed(dimension, grid=grid)}.")
    if isinstance(dimension, Choices) or grid:
        return next(known for known in dimension.grid() if value_key(known) == value_key(value))
    number: int | float = value
    whole = isinstance(dimension.low, int) and isinstance(dimension.high, int) and not isinstance(dimension.step, float)
    return int(number) if whole else float(number)


def _point(space: Space, entry: Mapping[str, Any], *, grid: bool) -> Params:
    for name in entry:
        if name not in space.names:
            raise unknown_key(name, [dimension.name for dimension in space.dimensions]).below(name)
    params: Params = {}
    for dimension in space.in_order:
        name = dimension.name
        if not space.is_active(dimension, params):
            if name in entry:
                raise _inactive(space, dimension, params)
        elif name in entry:
            try:
                params[name] = value_in(dimension, entry[name], grid=grid)
            except Refusal as refusal:
                raise refusal.below(name) from None
        else:
            own = _own(space, dimension)
            if own is not None and covers(dimension, own[0], grid=grid):
                params[name] = value_in(dimension, own[0], grid=grid)
            elif grid:
                params[name] = dimension.grid()[0]
    return params


def _own(space: Space, dimension: Dimension) -> tuple[ParamValue] | None:
    """The value of a parameter that is what the sweep has anyway; None if no label of it is."""
    if not isinstance(dimension, Bundle):
        return (space.own(dimension.name),)
    for label, fields in dimension.members.items():
        if all(
            value_key(space.own(field)) == value_key(fields.get(field, space.own(field))) for field in dimension.sets
        ):
            return (label,)
    return None


def _inactive(space: Space, dimension: Dimension, params: Params) -> Refusal:
    conditions = " and ".join(
        f"{name} is {' or '.join(written(value).strip(chr(39)) for value in values)}"
        for name, values in dimension.when.items()
    )
    others = [name for name in dimension.when if name in space.names]
    got = ", ".join(f"{name}={written(params[name])}" if name in params else f"{name} not given" for name in others)
    advice = f"Give {', '.join(others)} to suit, or leave it out." if others else "Leave it out."
    return Refusal(f"is searched only where {conditions}", got=got, key=dimension.name, advice=advice)


def _allowed(dimension: Dimension, *, grid: bool) -> str:
    if isinstance(dimension, Choices) or grid:
        return ", ".join(written(value).strip("'") for value in dimension.grid())
    step = f" in steps of {written(dimension.step)}" if dimension.step else ""
    return f"{written(dimension.low)} to {written(dimension.high)}{step}"


@dataclass(frozen=True)
class Table:
    """The settings in a file of comma-separated values."""

    file: Path
    entries: tuple[Params, ...]
    lines: tuple[int, ...]
    """Where each of them is."""
    note: str
    """What was made of its columns."""

    def where(self, index: int) -> str:
        """Say where an entry is written."""
        return f"{self.file}, line {self.lines[index]}"


def names_table(text: str) -> bool:
    """Return whether a text names a file of settings."""
    return STUDY.fullmatch(text) is None and _TABLE.fullmatch(text) is not None


def table_of(text: str, *, folder: Path, names: Sequence[str], choices_of: Callable[[str], Sequence[Any]]) -> Table:
    """Read settings from a file, such as a study's leaderboard: columns by parameter, all others are passed over.

    A cell that is empty says nothing of its parameter. Rows that say the same are taken once.

    Args:
        text: `FILE.csv`, or `FILE.csv#3` for its first three rows.
        folder: Where its path begins.
        names: All parameters.
        choices_of: Gives the values of a parameter that has a list of them.
    Raises:
        ConfigError: The file cannot be read, or has no column of a parameter.
    """
    match = _TABLE.fullmatch(text)
    assert match is not None, "it names a table"
    file = folder / match["file"]
    rows = list(_rows(file))
    header = rows[0][1] if rows else []
    known = [column for column in header if column in names]
    if not known or len(rows) < 2:
        got = f"the columns {', '.join(header)}" if header else "an empty file"
        raise ConfigError(
            f"first: must be a table with a row for each setting and a column for some of {', '.join(names)}; got "
            f"{got if not known else 'no row'} ({file}). Name another file."
        )
    found: dict[Any, tuple[Params, int]] = {}
    for line, cells in rows[1:]:
        texts = {column: cell for column, cell in zip(header, cells, strict=False) if column in known and cell}
        params = {column: _cell(cell, choices_of(column)) for column, cell in texts.items()}
        if params:
            found.setdefault(point_key(params), (params, line))
    taken = list(found.values())[: int(match["rows"]) if match["rows"] else None]
    others = [column for column in header if column not in known]
    note = f"{file}: settings by {', '.join(known)}"
    note += f"; no parameters, and passed over: {', '.join(others)}" if others else ""
    return Table(file, tuple(params for params, _ in taken), tuple(line for _, line in taken), note)


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    try:
        text = read_plain(file, most_bytes=_MOST_BYTES).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text), strict=True)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"first: must be a table of settings; {reason} ({file}). Check the path.") from error


def _cell(text: str, choices: Sequence[Any]) -> ParamValue:
    """Read a cell as a sweep file would be read, unless it is one of the choices as it stands."""
    if text in choices:
        return text
    try:
        value: Any = parse(text, where="a cell", is_file=False)
    except ConfigError:
        return text
    found: ParamValue = text if isinstance(value, Mapping | list) else value
    return found
