"""The drawings of a page: what the pictures of a study's report show, as SVG, and as data where they can be zoomed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from deepcolor.config.schema import ParamValue
from deepcolor.counting import counted
from deepcolor.report.axis import Axis, axis_of
from deepcolor.report.figures import Pictured
from deepcolor.report.page.svg import (
    BEST,
    COMPLETE,
    LINES,
    PRUNED,
    Entry,
    Plot,
    Point,
    dots,
    line,
)
from deepcolor.report.page.thinning import (
    MOST_DOTS,
    MOST_EPOCHS,
    MOST_SLICE_DOTS,
    MOST_SLICES,
    best_and_others,
    evenly,
)
from deepcolor.search.study.trials import StoredTrial
from deepcolor.training.trajectory import EpochMetrics
from deepcolor.words import value_text

_SIDE_BY_SIDE = 26
"""Characters that fit below a slice."""
_DIGITS = 6


@dataclass(frozen=True)
class Chart:
    """A drawing, and what a reader with a script can zoom in on."""

    title: str
    svg: Markup
    data: Mapping[str, Any] | None = None
    """For uPlot: `x`, `series`, the axes' names, `log`; None: the drawing is all there is."""
    note: str = ""
    """What a reader needs to know of it."""


@dataclass(frozen=True)
class Curve:
    """The objective over the epochs of a trial."""

    trial: StoredTrial
    rows: Sequence[EpochMetrics]


def value_axis(values: Sequence[float], *, maximized: bool) -> Axis:
    """The axis of an objective: by decades where errors span one."""
    return axis_of(None, values, maximized=maximized)


def history_chart(of: Pictured) -> Chart | None:
    """The value of each trial by its number, and the best so far; None where no trial has a value."""
    if not of.trials:
        return None
    shown = best_and_others(of.trials, count=MOST_DOTS)
    axis = value_axis([_value(trial) for trial in shown], maximized=of.maximized)
    numbers = Axis((), float(of.trials[0].number), float(max(t.number for t in of.trials)), whole=True)
    plot = Plot(numbers, axis, x_name="trial", y_name=_named(of.objective, axis))
    best = best_so_far(of)
    parts = [
        line([_at(plot, float(n), value) for n, value in best], colour=BEST, steps=True) if best else Markup(),
        *_both(plot, shown, {trial.number: float(trial.number) for trial in shown}),
    ]
    about = f"{counted(len(of.trials), 'trial')}" + (f", the best {value_text(best[-1][1])}" if best else "")
    title = f"{of.objective} of each trial"
    svg = plot.drawing(parts, title=title, about=about, key=_key(shown, best=bool(best)))
    return Chart(title, svg, _history_data(of, shown, best, log=axis.log), note=_note(of, len(shown)))


def best_so_far(of: Pictured) -> list[tuple[int, float]]:
    """The best value of the complete trials up to each number at which it got better, and at the last one."""
    best: list[tuple[int, float]] = []
    least = math.inf
    for trial in of.complete:
        if not trial.breaks and trial.loss < least:
            least = trial.loss
            best.append((trial.number, _value(trial)))
    return [*best, (max(trial.number for trial in of.trials), best[-1][1])] if best else []


def curves_chart(curves: Sequence[Curve], *, metric: str, maximized: bool) -> Chart | None:
    """The objective over the epochs of some trials; None where there are none to draw."""
    drawn = [(curve, points) for curve in curves if (points := _points(curve, metric))]
    if not drawn:
        return None
    values = [value for _, points in drawn for _, value in points]
    axis = value_axis(values, maximized=maximized)
    last = max(epoch for _, points in drawn for epoch, _ in points)
    plot = Plot(Axis((), 1.0, float(max(last, 2)), whole=True), axis, x_name="epoch", y_name=_named(metric, axis))
    parts, entries = [], []
    for index, (curve, points) in enumerate(drawn):
        colour, name = LINES[index % len(LINES)], f"trial {curve.trial.number}"
        places = [_at(plot, float(epoch), value) for epoch, value in evenly(points, count=MOST_EPOCHS)]
        parts.append(line(places, colour=colour, dashed=index > 0, width=2.2 if index == 0 else 1.5, title=name))
        if len(places) == 1:
            parts.append(dots(places, colour=colour))
        entries.append((name, colour, "dashed" if index else "line"))
    title = f"{metric} over the epochs of the best trials"
    svg = plot.drawing(
        parts, title=title, about=f"{counted(len(drawn), 'training')}, the best trial solid", key=entries
    )
    return Chart(title, svg, _curves_data(drawn, metric=metric, log=axis.log))


def _points(curve: Curve, metric: str) -> list[tuple[int, float]]:
    """Epochs with their values, as far as these are finite."""
    values = ((row.epoch, row.values.get(metric, math.nan)) for row in curve.rows)
    return [(epoch, value) for epoch, value in values if math.isfinite(value)]


def slice_charts(of: Pictured) -> list[Chart]:
    """The value of each trial over every searched field, as far as a page has room for them."""
    shown = best_and_others(of.trials, count=MOST_SLICE_DOTS)
    if not shown:
        return []
    values = value_axis([_value(trial) for trial in shown], maximized=of.maximized)
    return [_slice(of, name, shown, values) for name in list(of.axes)[:MOST_SLICES]]


def _slice(of: Pictured, name: str, shown: Sequence[StoredTrial], values: Axis) -> Chart:
    axis = of.axes[name]
    ticks = axis.ticks(narrow=True)
    slanted = sum(len(label) + 2 for _, label in ticks) > _SIDE_BY_SIDE
    plot = Plot(
        axis,
        values,
        width=300,
        height=250 if slanted else 220,
        x_name=_named(name, axis),
        y_name=_named(of.objective, values),
        bottom=76 if slanted else 46,
        slanted=slanted,
    )
    having = [trial for trial in shown if name in trial.params]
    places = {trial.number: axis.place(trial.params[name]) for trial in having}
    title = f"{of.objective} over {name}"
    svg = plot.drawing(_both(plot, having, places, size=5.5), title=title, about=_about_slice(having, name))
    return Chart(title, svg)


def _about_slice(trials: Sequence[StoredTrial], name: str) -> str:
    best = min((t for t in trials if t.state == "complete"), key=lambda trial: trial.loss, default=None)
    return f"the best trial is at {_said(best.params[name])}, with {value_text(best.value)}" if best else ""


def _both(plot: Plot, trials: Sequence[StoredTrial], places: Mapping[int, float], *, size: float = 7) -> list[Markup]:
    """Dots of the complete trials, over squares of those at a rung."""
    drawn = []
    for whole in (False, True):
        of_kind = [trial for trial in trials if (trial.state == "complete") == whole]
        found = [_at(plot, places[trial.number], _value(trial)) for trial in of_kind]
        colour = COMPLETE if whole else PRUNED
        drawn.append(dots(found, colour=colour, size=size if whole else size - 2, square=not whole))
    return drawn


def _key(trials: Sequence[StoredTrial], *, best: bool) -> list[Entry]:
    entries = [("complete", COMPLETE, "dot")]
    if any(trial.state != "complete" for trial in trials):
        entries.append(("at its last rung", PRUNED, "square"))
    if best:
        entries.append(("best so far", BEST, "line"))
    return entries


def _at(plot: Plot, place: float, value: float) -> Point:
    """Where a value is drawn; the horizontal place is one of the plot's axis already."""
    return plot.across(plot.x.share_of(place)), plot.up(plot.y.share(value))


def _history_data(
    of: Pictured, shown: Sequence[StoredTrial], best: Sequence[tuple[int, float]], *, log: bool
) -> dict[str, Any]:
    at = dict(best)
    numbers = sorted({trial.number for trial in shown} | at.keys())
    values = {trial.number: (_rounded(_value(trial)), trial.state == "complete") for trial in shown}
    line_values, so_far = [], None
    for number in numbers:
        so_far = at.get(number, so_far)
        line_values.append(None if so_far is None else _rounded(so_far))
    series: list[dict[str, Any]] = [
        {"label": label, "colour": colour, "dots": True, "values": [_if(values, n, whole=whole) for n in numbers]}
        for label, colour, whole in (("complete", COMPLETE, True), ("at its last rung", PRUNED, False))
    ]
    series.append({"label": "best so far", "colour": BEST, "steps": True, "values": line_values})
    kept = [one for one in series if any(value is not None for value in one["values"])]
    return {"x": numbers, "series": kept, "x_name": "trial", "y_name": of.objective, "log": log}


def _if(values: Mapping[int, tuple[float, bool]], number: int, *, whole: bool) -> float | None:
    value, complete = values.get(number, (None, False))
    return value if complete == whole else None


def _curves_data(
    drawn: Sequence[tuple[Curve, Sequence[tuple[int, float]]]], *, metric: str, log: bool
) -> dict[str, Any]:
    thinned = [(curve, dict(evenly(points, count=MOST_EPOCHS))) for curve, points in drawn]
    epochs = sorted({epoch for _, points in thinned for epoch in points})
    series = [
        {
            "label": f"trial {curve.trial.number}",
            "colour": LINES[index % len(LINES)],
            "values": [_rounded(points[epoch]) if epoch in points else None for epoch in epochs],
        }
        for index, (curve, points) in enumerate(thinned)
    ]
    return {"x": epochs, "series": series, "x_name": "epoch", "y_name": metric, "log": log}


def _note(of: Pictured, drawn: int) -> str:
    few = f"{drawn:,} of {len(of.trials):,} trials are drawn, the best among them." if drawn < len(of.trials) else ""
    left = f"{counted(of.left_out, 'trial')} without a finite value left out." if of.left_out else ""
    return " ".join(said for said in (few, left) if said)


def _named(name: str, axis: Axis) -> str:
    return f"{name} (log)" if axis.log else name


def _said(value: ParamValue) -> str:
    from deepcolor.words import param_text

    return param_text(value)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _value(trial: StoredTrial) -> float:
    assert trial.latest is not None, "only trials with a value are drawn"
    return trial.latest
