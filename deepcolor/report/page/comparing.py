"""The drawings of a page that compare: settings with their parameters, fields with their shares, settings under seeds,
studies with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from deepcolor.counting import counted
from deepcolor.report.axis import Axis
from deepcolor.report.figures import Pictured
from deepcolor.report.page.charts import Chart, best_so_far, value_axis
from deepcolor.report.page.svg import (
    BEST,
    COMPLETE,
    INK,
    LINES,
    PALE,
    PRUNED,
    SECOND,
    Plot,
    bar,
    dots,
    drawing,
    legend,
    line,
    text,
)
from deepcolor.report.page.thinning import MOST_COLUMNS, MOST_LINES, best_and_others
from deepcolor.search.rules.confirmation import Confirmation, ConfirmedSetting
from deepcolor.search.study.importances import Spread
from deepcolor.search.study.trials import StoredTrial
from deepcolor.words import value_text

_BLUES = ("#08306b", "#1f5a9e", "#4585c0", "#7aa9d3", "#9cbcd9")
"""From the best fifth to the worst, each to be seen on white."""
_NOT_THERE = -0.13
_COLUMN_PX = 128
_ROW_PX = 44
_MOST_SETTINGS = 12


def parallel_chart(of: Pictured) -> Chart | None:
    """Each trial as a line from its value through its parameters; None where nothing is searched, or no value known."""
    if not of.trials or not of.axes:
        return None
    shown = best_and_others(of.trials, count=MOST_LINES)
    names = list(of.axes)[:MOST_COLUMNS]
    values = value_axis([_value(trial) for trial in shown], maximized=of.maximized)
    lacking = any(name not in trial.params for trial in shown for name in names)
    top, foot, left = 20.0, 300.0, 24.0
    height = foot + (70 if lacking else 34)
    width = max(640.0, left + _COLUMN_PX * (len(names) + 1))

    def at(column: int, share: float) -> tuple[float, float]:
        return left + column * _COLUMN_PX, foot - share * (foot - top)

    parts = []
    for trial in sorted(shown, key=lambda trial: (trial.state == "complete", -trial.loss)):
        shares = [values.share(_value(trial)), *(_share(of.axes[name], trial, name) for name in names)]
        rank = 1 - shares[0] if of.maximized else shares[0]
        colour = _BLUES[min(int(rank * len(_BLUES)), len(_BLUES) - 1)]
        places = [at(column, share) for column, share in enumerate(shares)]
        whole = trial.state == "complete"
        told = f"trial {trial.number}: {value_text(trial.latest)}"
        parts.append(line(places, colour=colour, width=1.6 if whole else 1, dashed=not whole, title=told))
    for column, (name, axis) in enumerate({of.objective: values, **{name: of.axes[name] for name in names}}.items()):
        if column and any(name not in trial.params for trial in shown):
            x, y = at(column, _NOT_THERE)
            parts.append(text(x + 7, y + 4, "-", anchor="start", colour=INK))
        parts += _column(axis, at(column, 0.0)[0], name=f"{name} (log)" if axis.log else name, top=top, foot=foot)
        parts.append(text(at(column, 0)[0], height - 6, _short(name, log=axis.log), colour=INK, anchor="start"))
    title = f"settings and their {of.objective}"
    about = f"{counted(len(shown), 'trial')}, each a line from its value through its parameters, the best ones darkest"
    svg = drawing(parts, width=width, height=height, title=title, about=about)
    few = f" {len(shown):,} of {len(of.trials):,} trials are drawn, the best among them."
    dashed = " Dashed: at its last rung." if any(trial.state != "complete" for trial in shown) else ""
    note = f"The best ones are darkest.{dashed}{few if len(shown) < len(of.trials) else ''}"
    return Chart(title, svg, note=note)


def _column(axis: Axis, x: float, *, name: str, top: float, foot: float) -> list[Markup]:
    """One upright axis, with its labels to the right of it."""
    parts = [Markup("<g><title>{}</title>").format(name), line([(x, top), (x, foot)], colour=INK, width=1)]
    for place, label in axis.ticks(narrow=False):
        y = foot - axis.share_of(place) * (foot - top)
        parts.append(line([(x, y), (x + 4, y)], colour=INK, width=1))
        parts.append(Markup('<g class="halo">{}</g>').format(text(x + 7, y + 4, label, anchor="start", colour=INK)))
    return [*parts, Markup("</g>")]


def _share(axis: Axis, trial: StoredTrial, name: str) -> float:
    return axis.share(trial.params[name]) if name in trial.params else _NOT_THERE


def _short(name: str, *, log: bool) -> str:
    named = f"{name} (log)" if log and len(name) <= 12 else name
    return named if len(named) <= 19 else f"{named[:18]}…"


def importances_chart(shares: Mapping[str, Mapping[str, Spread]], *, objective: str, trials: int) -> Chart:
    """The share of each field by each evaluator, with the range that resampling the trials gives.

    Args:
        shares: By evaluator and field.
        objective: What they explain.
        trials: How many they come from.
    """
    first = next(iter(shares.values()))
    order = sorted(first, key=lambda name: -first[name].share)[:MOST_COLUMNS]
    left = 20 + 7 * min(max(map(len, order)), 24)
    width, foot = 720, 34 + _ROW_PX * len(order)
    across = (width - left - 60) / 1.0
    colours = (COMPLETE, SECOND)
    parts = [legend([(name, colour, "line") for name, colour in zip(shares, colours, strict=False)], x=left, y=14)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * across
        parts.append(line([(x, 28), (x, foot)], colour="#e2e2e2", width=1))
        parts.append(text(x, foot + 16, f"{share:g}"))
    for row, name in enumerate(order):
        top = 34 + _ROW_PX * row
        parts.append(text(left - 8, top + _ROW_PX / 2, _short(name, log=False), anchor="end", colour=INK))
        for place, (each, colour) in enumerate(zip(shares.values(), colours, strict=False)):
            one, y = each[name], top + 3 + 18 * place
            parts.append(bar(left, y, one.share * across, 14, colour=colour))
            low, high = left + one.low * across, left + one.high * across
            parts.append(line([(low, y + 7), (high, y + 7)], colour=INK, width=1.6))
            parts += [line([(x, y + 3), (x, y + 11)], colour=INK, width=1.6) for x in (low, high)]
            end = max(high, left + one.share * across)
            parts.append(text(end + 6, y + 11, f"{one.share:.2f}", anchor="start", colour=INK))
    title = f"which field decides {objective}"
    leader = order[0]
    about = "; ".join(f"by {name}, {leader} has {each[leader].share:.2f}" for name, each in shares.items())
    svg = drawing(parts, width=width, height=foot + 24, title=title, about=about)
    note = (
        f"Shares from {counted(trials, 'complete trial')}. The lines are the range over ten resamplings of the "
        "trials; where they are wide, or the two evaluators disagree, trust neither alone."
    )
    return Chart(title, svg, note=note)


def confirmation_chart(confirmation: Confirmation, *, objective: str, maximized: bool) -> Chart | None:
    """Each setting's trainings: the search's own, those under other seeds, and their mean with its standard deviation;
    None where no setting has a finite value under another seed.
    """
    settings = [one for one in confirmation.settings if math.isfinite(one.mean)][:_MOST_SETTINGS]
    if not settings:
        return None
    values = [value for one in settings for value in _all(one)]
    names = tuple(f"trial {one.trial}" for one in settings)
    plot = Plot(
        Axis(names, -0.5, len(names) - 0.5), value_axis(values, maximized=maximized), x_name="setting", y_name=objective
    )

    def at(place: float, value: float) -> tuple[float, float]:
        return plot.across(plot.x.share_of(place)), plot.up(plot.y.share(value))

    parts = []
    for place, one in enumerate(settings):
        spread = one.std if math.isfinite(one.std) else 0.0
        x, middle = at(place + 0.12, one.mean)
        low, high = (at(place, edge)[1] for edge in (_within(one.mean - spread, values), one.mean + spread))
        parts += [
            dots([at(place - 0.12, one.searched_value)], colour=PRUNED, square=True),
            dots([at(place, value) for value in one.values.values()], colour=COMPLETE),
            line([(x, low), (x, high)], colour=BEST, width=2),
            line([(x - 8, middle), (x + 8, middle)], colour=BEST, width=2),
        ]
    entries = [
        ("under other seeds", COMPLETE, "dot"),
        ("mean ± std", BEST, "line"),
        ("as the search saw it", PRUNED, "square"),
    ]
    best = settings[0]
    title = f"{objective} of the best settings under other seeds"
    about = f"the best mean is {value_text(best.mean)}, of trial {best.trial}"
    return Chart(title, plot.drawing(parts, title=title, about=about, key=entries))


def _all(one: ConfirmedSetting) -> list[float]:
    """All values of a setting that are drawn, the ends of its spread among them."""
    spread = one.std if math.isfinite(one.std) else 0.0
    low = one.mean - spread
    searched = [one.searched_value] if math.isfinite(one.searched_value) else []
    # Where a spread reaches down to 0, the axis of an error could have no decades.
    return [*one.values.values(), *searched, one.mean + spread, *([low] if low > 0 or one.mean <= 0 else [])]


def _within(value: float, values: Sequence[float]) -> float:
    return max(value, min(values))


def together_chart(studies: Sequence[Pictured]) -> Chart | None:
    """The best value so far of several studies by the number of the trial; None unless they have one objective."""
    found = [(of, best) for of in studies if (best := best_so_far(of))]
    if len(found) < 2 or len({(of.objective, of.maximized) for of in studies}) > 1:
        return None
    objective, maximized = studies[0].objective, studies[0].maximized
    axis = value_axis([value for _, best in found for _, value in best], maximized=maximized)
    last = max(best[-1][0] for _, best in found)
    plot = Plot(Axis((), 0.0, float(max(last, 1)), whole=True), axis, x_name="trial", y_name=objective)
    parts, entries, series = [], [], []
    numbers = sorted({number for _, best in found for number, _ in best})
    for index, (of, best) in enumerate(found[: len(LINES)]):
        colour = LINES[index]
        places = [(plot.across(plot.x.share_of(float(n))), plot.up(plot.y.share(v))) for n, v in best]
        parts.append(line(places, colour=colour, steps=True, width=2, title=of.study))
        entries.append((of.study, colour, "line"))
        reached = [next((v for n, v in reversed(best) if n <= number), None) for number in numbers]
        series.append({"label": of.study, "colour": colour, "steps": True, "values": reached})
    title = f"best {objective} so far"
    about = "; ".join(f"{of.study} ends at {value_text(best[-1][1])}" for of, best in found)
    data = {"x": numbers, "series": series, "x_name": "trial", "y_name": objective, "log": axis.log}
    return Chart(title, plot.drawing(parts, title=title, about=about, key=entries), data)


def front_chart(front: Sequence[StoredTrial], behind: Sequence[StoredTrial], *, chosen: int | None) -> Chart | None:
    """The trials of several objectives by the first two of them; None where there is no front."""
    if not front:
        return None
    names, others = front[0].aims.names, best_and_others(behind, count=MOST_LINES * 2)
    ways = [objective.maximized for objective in front[0].aims.objectives]
    every = [*front, *others]
    x, y = (value_axis([t.values[place] for t in every], maximized=ways[place]) for place in (0, 1))
    plot = Plot(x, y, x_name=names[0], y_name=names[1])

    def at(trial: StoredTrial) -> tuple[float, float]:
        return plot.across(x.share(trial.values[0])), plot.up(y.share(trial.values[1]))

    picked = [at(trial) for trial in front if trial.number == chosen]
    parts = [
        dots([at(trial) for trial in others], colour=PALE, size=5),
        dots([at(trial) for trial in front], colour=COMPLETE, size=8),
        dots(picked, colour=BEST, size=11),
    ]
    key = [("front", COMPLETE, "dot"), ("behind it", PALE, "dot"), ("chosen", BEST, "dot")]
    title = f"the front of {' and '.join(names)}"
    about = counted(len(front), "trial") + " on the front"
    return Chart(title, plot.drawing(parts, title=title, about=about, key=key))


def _value(trial: StoredTrial) -> float:
    assert trial.latest is not None, "only trials with a value are drawn"
    return trial.latest
