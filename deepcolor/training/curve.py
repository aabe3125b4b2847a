"""The picture of a training's course: its objective over the epochs, beside what the training itself minimises.

Drawn by Pillow: matplotlib would take a tenth of a second, which is more than all else that a result costs.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import wrap
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from deepcolor.data.marks import marked
from deepcolor.fields.objective import Objective
from deepcolor.training.trajectory import TRAIN_PREFIX, EpochMetrics, View

_WIDTH, _HEIGHT = 640, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 52, 620, 350
"""Of the field with the curves, in pixels."""
_FINER = 2
"""Lines are drawn this many times as large, and made smaller again: that smooths them."""
_COMPRESSION = 1
"""Of a PNG file: quick to write is worth more here than the last tenth of the size."""
_INK, _GRID, _EDGE = "#222222", "#e6e6e6", "#888888"
_TRAIN_COLOUR, _OBJECTIVE_COLOUR = "#8a8a8a", "#1f6fb2"
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_TICKS = 7

Point = tuple[float, float]


def loss_curve(history: Sequence[EpochMetrics], *, view: View, objective: Objective, title: str) -> bytes:
    """Draw the objective over the epochs, with the epoch whose weights were taken, and the same figure of the training
    where there is one (`train/mse` beside `val/mse`).

    Args:
        history: Epochs 1 to `view.end_epoch` at least.
        view: Where the curve ends, and which epoch is marked.
        objective: What the epochs are compared by.
        title: The setting, in one line.
    Returns:
        A PNG file.
    """
    shown = history[: view.end_epoch]
    curves = {name: [row.metrics[name] for row in shown] for name in _names(shown, objective)}
    every = [value for values in curves.values() for value in values if math.isfinite(value)]
    across = _Axis.linear(1, max(len(shown), 1), _LEFT, _RIGHT, whole=True)
    log = all(value > 0 for value in every) and not objective.maximized
    up = (_Axis.logarithmic if log else _Axis.linear)(min(every), max(every), _BOTTOM, _TOP)
    chosen = history[view.chosen_epoch - 1]
    taken = across.place(chosen.epoch), up.place(chosen.metrics[objective.metric])
    points = {
        name: [(across.place(epoch), up.place(value)) for epoch, value in enumerate(values, 1) if math.isfinite(value)]
        for name, values in curves.items()
    }
    picture = _drawn(points, taken=taken, objective=objective.metric, grid=[up.place(tick) for tick in up.ticks])
    told = f"taken: epoch {chosen.epoch}, {chosen.metrics[objective.metric]:.4g}"
    _write(picture, across=across, up=up, title=title)
    _explain(picture, [*curves, told], objective=objective.metric, points=points)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=_COMPRESSION)
    return marked(buffer.getvalue())


def _names(shown: Sequence[EpochMetrics], objective: Objective) -> list[str]:
    own = TRAIN_PREFIX + objective.metric.partition("/")[2]
    return [name for name in dict.fromkeys((own, objective.metric)) if name in shown[0].metrics]


@dataclass(frozen=True)
class _Axis:
    """Where values lie on the picture, and which of them are written beside it."""

    place: Callable[[float], float]
    ticks: Sequence[float]

    @classmethod
    def linear(cls, low: float, high: float, start: float, end: float, *, whole: bool = False) -> _Axis:
        low, high = _widened(low, high)
        return cls(lambda value: start + (value - low) / (high - low) * (end - start), _ticks(low, high, whole=whole))

    @classmethod
    def logarithmic(cls, low: float, high: float, start: float, end: float) -> _Axis:
        least, most = _widened(math.log10(low), math.log10(high))
        ticks = _log_ticks(10**least, 10**most)
        return cls(lambda value: start + (math.log10(value) - least) / (most - least) * (end - start), ticks)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range with a margin; around a single value, one that is not empty."""
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-12)
    return low - margin, high + margin


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers within a range."""
    rough = (high - low) / _MOST_TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in _ROUND if size * times >= rough * (1 - 1e-9))
    step = max(1.0, float(math.ceil(step))) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within a range; where there are few, numbers between them too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) >= 3:
            return found[:: -(-len(found) // _MOST_TICKS)]
    return [tick for tick in _ticks(low, high) if tick > 0]


def _drawn(points: Mapping[str, Sequence[Point]], *, taken: Point, objective: str, grid: Sequence[float]) -> Any:
    """Draw everything that is not text."""
    large = Image.new("RGB", (_WIDTH * _FINER, _HEIGHT * _FINER), "white")
    draw = ImageDraw.Draw(large)

    def line(along: Sequence[Point], colour: str, width: float) -> None:
        draw.line([(x * _FINER, y * _FINER) for x, y in along], colour, max(1, round(width * _FINER)), joint="curve")

    for y in grid:
        line([(_LEFT, y), (_RIGHT, y)], _GRID, 1)
    line([(_LEFT, _TOP), (_LEFT, _BOTTOM), (_RIGHT, _BOTTOM)], _EDGE, 1)
    for name, curve in points.items():
        colour, width = _style(name, objective)
        if len(curve) > 1:
            line(curve, colour, width)
        else:
            _dot(draw, curve[0], colour)
    for y in range(_TOP, _BOTTOM, 6):
        line([(taken[0], y), (taken[0], min(y + 3, _BOTTOM))], _OBJECTIVE_COLOUR, 1)
    _dot(draw, taken, _OBJECTIVE_COLOUR)
    return large.reduce(_FINER)


def _dot(draw: Any, at: Point, colour: str, radius: float = 4.0) -> None:
    x, y = at[0] * _FINER, at[1] * _FINER
    draw.ellipse((x - radius * _FINER, y - radius * _FINER, x + radius * _FINER, y + radius * _FINER), fill=colour)


def _style(name: str, objective: str) -> tuple[str, float]:
    return (_OBJECTIVE_COLOUR, 2.4) if name == objective else (_TRAIN_COLOUR, 1.8)


def _write(picture: Any, *, across: _Axis, up: _Axis, title: str) -> None:
    """Write the title, and numbers along the axes."""
    draw = ImageDraw.Draw(picture)
    for tick in up.ticks:
        draw.text((_LEFT - 8, up.place(tick)), f"{tick:.4g}", fill=_INK, font=_font(12), anchor="rm")
    for tick in across.ticks:
        draw.text((across.place(tick), _BOTTOM + 8), f"{tick:.0f}", fill=_INK, font=_font(12), anchor="ma")
    draw.text(((_LEFT + _RIGHT) / 2, _HEIGHT - 6), "epoch", fill=_INK, font=_font(13), anchor="ms")
    lines = wrap(title, width=88) or [""]
    for number, text in enumerate(lines[:3]):
        draw.text((_LEFT, 6 + 14 * number), text, fill=_INK, font=_font(11), anchor="la")


def _explain(picture: Any, names: Sequence[str], *, objective: str, points: Mapping[str, Sequence[Point]]) -> None:
    """Say what is what, in the corner where fewest points are."""
    draw, font, height = ImageDraw.Draw(picture), _font(12), 18 * len(names) + 10
    width = max(font.getlength(name) for name in names) + 44
    corners = [(x, y) for y in (_TOP + 6, _BOTTOM - height - 6) for x in (_RIGHT - width - 6, _LEFT + 8)]

    def hidden(corner: Point) -> int:
        left, top = corner
        every = (point for curve in points.values() for point in curve)
        return sum(left <= x <= left + width and top <= y <= top + height for x, y in every)

    left, top = min(corners, key=hidden)
    draw.rectangle((left, top, left + width, top + height), fill="white")
    for number, name in enumerate(names):
        y = top + 14 + 18 * number
        if name in points:
            colour, thick = _style(name, objective)
            draw.line((left + 6, y, left + 30, y), colour, round(thick))
        else:
            draw.ellipse((left + 14, y - 4, left + 22, y + 4), fill=_OBJECTIVE_COLOUR)
        draw.text((left + 38, y), name, fill=_INK, font=font, anchor="lm")


@cache
def _font(size_px: int) -> Any:
    return ImageFont.load_default(size_px)
