"""Where the values of a searched field are on an axis, and how they are labelled. matplotlib's scales are not used: a
list of names, a list of whole numbers and a range over decades are all places on a line, with readable labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deepcolor.config.schema import Choices, Dimension, ParamValue
from deepcolor.tracking.layout import short

_DECADES = 10
"""Numbers whose largest is this many times the smallest are drawn on a logarithmic axis."""
_FEW = 8
"""Up to this many different numbers are all labelled on the axis; with more, round numbers are."""
_MARGIN = 0.08
_GAPS = {True: 0.16, False: 0.055}
"""Least distance between two labels as a share of the axis: side by side in a narrow panel, and one above the other."""


@dataclass(frozen=True)
class Axis:
    """Places for the values of one field."""

    names: tuple[ParamValue, ...]
    """The values that each have a place of their own, in the order written; empty for numbers."""
    low: float
    """The lowest place that a trial took; on a logarithmic axis, the exponent of ten."""
    high: float
    log: bool = False
    whole: bool = False
    """Whole numbers only."""
    written: tuple[float, ...] = ()
    """The numbers to be labelled, if there are only a few."""

    def place(self, value: ParamValue) -> float:
        """Return the place of a value."""
        if self.names:
            return float(self.names.index(value))
        assert isinstance(value, int | float)
        return math.log10(value) if self.log else float(value)

    def share(self, value: ParamValue) -> float:
        """Return a value's place from 0 at the lower end to 1 at the upper one; nan if there is no value."""
        missing = value is None and not any(name is None for name in self.names)
        return math.nan if missing else self.share_of(self.place(value))

    def share_of(self, place: float) -> float:
        """Return a place from 0 at the lower end to 1 at the upper one."""
        return (place - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the axis, with a margin."""
        margin = _MARGIN * (self.high - self.low) or 0.5
        return self.low - margin, self.high + margin

    def ticks(self, *, narrow: bool) -> list[tuple[float, str]]:
        """Return places and labels, as many as can be read.

        Args:
            narrow: Whether the labels stand side by side.
        """
        if self.names:
            return [(float(place), short(name)) for place, name in enumerate(self.names)]
        numbers = self.written or self._round_numbers()
        return self._apart([(self.place(number), _label(number)) for number in numbers], gap=_GAPS[narrow])

    def _round_numbers(self) -> list[float]:
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.log:
            low, high = 10**self.low, 10**self.high
            subs = (1, 2, 5) if high / low < 100 else (1,)
            found = [float(number) for number in LogLocator(subs=subs).tick_values(low, high)]
        else:
            low, high = self.low, self.high
            found = [float(n) for n in MaxNLocator(nbins=5, integer=self.whole).tick_values(low, high)]
        inside = [number for number in found if low * (1 - 1e-9) <= number <= high * (1 + 1e-9)]
        whole = [number for number in inside if not self.whole or number == round(number)]
        return whole if len(whole) > 1 else [low, high]

    def _apart(self, ticks: Sequence[tuple[float, str]], *, gap: float) -> list[tuple[float, str]]:
        """Leave out labels that would touch a neighbour; the ends are kept."""
        least = gap * (self.high - self.low)
        kept = list(ticks[:1])
        for tick in ticks[1:-1]:
            if tick[0] - kept[-1][0] >= least and ticks[-1][0] - tick[0] >= least:
                kept.append(tick)
        return [*kept, *ticks[-1:]] if len(ticks) > 1 else kept


def is_logarithmic(low: float, high: float, *, maximized: bool = False) -> bool:
    """Say whether numbers are drawn by their decades: errors are, where they span one; shares up to 1 never are, such
    as an accuracy that is maximised.
    """
    return low > 0 and high / low >= _DECADES and not (maximized and high <= 1)


def axis_of(dimension: Dimension | None, values: Sequence[ParamValue], *, maximized: bool = False) -> Axis:
    """Return the axis for the values that a field took.

    Args:
        dimension: How it is searched; None for the objective.
        values: One for each trial.
        maximized: Whether large values are better; of the objective.
    """
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not numbers:
        names = dimension.values if isinstance(dimension, Choices) else tuple(dict.fromkeys(values))
        return Axis(tuple(names), 0.0, float(max(len(names) - 1, 0)))
    low, high = min(numbers), max(numbers)
    distinct = sorted(set(numbers))
    if low <= 0 and 2 < len(distinct) <= _FEW and high > _DECADES * next(n for n in distinct if n > 0 or n == high):
        # Such as 0, 1e-5, 1e-4, 1e-3: on a line of numbers all but the last would share one place.
        return Axis(tuple(sorted(set(values), key=float)), 0.0, float(len(distinct) - 1))  # type: ignore[arg-type]
    log = is_logarithmic(low, high, maximized=maximized)
    ends = (math.log10(low), math.log10(high)) if log else (low, high)
    whole = all(isinstance(value, int) for value in values)
    few = tuple(distinct) if dimension is not None and len(distinct) <= _FEW else ()
    return Axis((), *ends, log=log, whole=whole, written=few)


def _label(number: float) -> str:
    return short(int(number)) if number == round(number) and abs(number) < 1e5 else short(number)
