"""The pictures of a study's report. Trials keep their numbers; a pruned trial is drawn hollow, with its value at its
last rung; every searched field is shown, whether it made a difference or not.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from deepcolor.config.schema import Sweep
from deepcolor.counting import counted
from deepcolor.report.axis import Axis, axis_of, is_logarithmic
from deepcolor.search.study.trials import StoredTrial, searched
from deepcolor.tracking.layout import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deepcolor.report.shown import ShownFigure

INK, PALE, GRID = "#222222", "#767676", "#e6e6e6"
COMPLETE, PRUNED, BEST = "#1f6fb2", "#8a8a8a", "#c8102e"
BAR_COLOURS = ("#1f6fb2", "#e08a1e")
_DPI = 110
_PANELS_A_ROW = 4
_TITLE_CHARS = 110
_LABELS_SIDE_BY_SIDE = 24
"""Characters that fit below a panel."""
_PALEST = 0.3
"""How far into the blues the worst trial is drawn: still visible on white."""
_NOT_THERE = -0.12
"""The height at which a line passes the axis of a parameter that its trial does not have."""


Shares = Mapping[str, Mapping[str, float]]
"""Of a field in the differences between trials, by the evaluator and the field; one that took one value has none."""


@dataclass(frozen=True)
class Pictured:
    """What can be drawn of a study."""

    study: str
    objective: str
    trials: tuple[StoredTrial, ...]
    """Those of the search that have a finite value: complete, or at their last rung; by number."""
    axes: Mapping[str, Axis]
    """One for each searched field."""
    left_out: int
    """Trials of the search without a finite value: diverged, failed, or not yet at a rung."""

    @property
    def maximized(self) -> bool:
        """Whether large values are better."""
        return any(trial.direction == "maximize" for trial in self.trials)

    @property
    def complete(self) -> tuple[StoredTrial, ...]:
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def varying(self) -> list[str]:
        """The searched fields that take several values in the complete trials."""
        found = {name: {repr(t.params[name]) for t in self.complete if name in t.params} for name in self.axes}
        return [name for name, values in found.items() if len(values) > 1]

    @property
    def note(self) -> str:
        """What a reader of the pictures needs to know, for a title; may be empty."""
        hollow = len(self.trials) - len(self.complete)
        said = [f"hollow: {counted(hollow, 'trial')} at the last rung reached"] if hollow else []
        said += [f"{counted(self.left_out, 'trial')} without a finite value left out"] if self.left_out else []
        return f" ({'; '.join(said)})" if said else ""


def pictured(sweep: Sweep, trials: Sequence[StoredTrial]) -> Pictured:
    """Collect what can be drawn of a study's trials."""
    own = searched(trials)
    shown = tuple(t for t in own if t.state != "failed" and t.latest is not None and math.isfinite(t.latest))
    axes = {
        dimension.name: axis_of(dimension, [t.params[dimension.name] for t in shown if dimension.name in t.params])
        for dimension in sweep.search.space
    }
    return Pictured(sweep.study, sweep.search.objectives[0], shown, axes, left_out=len(own) - len(shown))


def history_figure(of: Pictured) -> ShownFigure:
    """Draw the value of each trial by its number, and the best of the complete ones so far."""
    figure = new_figure(8.2, 4.6)
    axes = figure.subplots()
    _dots(axes, {trial.number: trial.number for trial in of.trials}, of)
    best: list[tuple[int, float]] = []
    least = math.inf
    for trial in of.complete:
        if trial.breaks:
            continue
        value = _value(trial) if trial.loss < least else best[-1][1]
        least = min(least, trial.loss)
        best.append((trial.number, value))
    if best:
        best.append((of.trials[-1].number, best[-1][1]))
        axes.step(*zip(*best, strict=True), where="post", color=BEST, linewidth=1.2, zorder=1, label="best so far")
    _name_dots(axes)
    _log_values(axes, of)
    axes.set_xlabel("trial", color=INK)
    axes.set_ylabel(of.objective, color=INK)
    axes.xaxis.set_major_locator(_whole_numbers())
    put_title(figure, f"{of.study}: {of.objective} of each trial{of.note}")
    return figure


def slices_figure(of: Pictured) -> ShownFigure:
    """Draw the value of each trial over every searched field."""
    columns = min(_PANELS_A_ROW, len(of.axes))
    rows = -(-len(of.axes) // columns)
    figure = new_figure(max(5.0, 0.7 + 2.5 * columns), 0.8 + 2.9 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, panel in enumerate(panels.flat):
        if place >= len(of.axes):
            panel.set_visible(False)
            continue
        name = list(of.axes)[place]
        _slice(panel, name, of.axes[name], of)
        if place % columns == 0:
            panel.set_ylabel(of.objective, color=INK)
    _name_dots(panels.flat[0])
    put_title(figure, f"{of.study}: {of.objective} over each searched field{of.note}")
    return figure


def _slice(panel: Axes, name: str, axis: Axis, of: Pictured) -> None:
    _dots(panel, {t.number: axis.place(t.params[name]) for t in of.trials if name in t.params}, of)
    ticks = axis.ticks(narrow=True)
    slanted = sum(len(label) + 2 for _, label in ticks) > _LABELS_SIDE_BY_SIDE
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    panel.set_xticks([at for at, _ in ticks], [label for _, label in ticks], fontsize=8, **turned)
    panel.set_xlim(*axis.limits)
    panel.set_xlabel(_named(name, axis), color=INK, fontsize=9)
    _log_values(panel, of)


def parallel_figure(of: Pictured) -> ShownFigure:
    """Draw each trial as a line from its value through its parameters, the best ones darkest."""
    from matplotlib.collections import LineCollection

    figure = new_figure(max(6.5, 2.2 + 1.7 * len(of.axes)), 4.8)
    axes = figure.subplots()
    value_axis = axis_of(None, [_value(trial) for trial in of.trials], maximized=of.maximized)
    columns = {_named(of.objective, value_axis): value_axis}
    columns |= {_named(name, axis): axis for name, axis in of.axes.items()}
    for whole, style in ((False, {"linewidths": 0.9, "linestyles": "dashed"}), (True, {"linewidths": 1.6})):
        trials = sorted((t for t in of.trials if (t.state == "complete") == whole), key=_loss, reverse=True)
        heights = [
            [value_axis.share(_value(trial)), *(_height(trial, name, axis) for name, axis in of.axes.items())]
            for trial in trials
        ]
        colours = [_blue(1 - row[0] if of.maximized else row[0]) for row in heights]
        axes.add_collection(LineCollection([[*enumerate(row)] for row in heights], colors=colours, **style))
    lacking = {name for name in of.axes if any(name not in trial.params for trial in of.trials)}
    for place, axis in enumerate(columns.values()):
        _upright(axes, place, axis, lacking=place > 0 and list(of.axes)[place - 1] in lacking)
    axes.set_xticks(range(len(columns)), list(columns), fontsize=9)
    axes.set_xlim(-0.25, len(columns) - 0.45)
    axes.set_ylim(_NOT_THERE - 0.04 if lacking else -0.04, 1.04)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    note = of.note.replace("hollow", "dashed")
    put_title(figure, f"{of.study}: settings and their {of.objective}, the best ones darkest{note}")
    return figure


def importances_figure(of: Pictured, shares: Mapping[str, Shares]) -> ShownFigure:
    """Draw what share of an objective's variation each searched field explains, by each evaluator.

    Args:
        of: The study.
        shares: By objective; one panel each. The first decides the order of the fields.
    """
    evaluators = next(iter(shares.values()))
    first = next(iter(evaluators.values()))
    order = sorted(of.axes, key=lambda name: -first.get(name, -1.0))
    figure = new_figure(8.2 if len(shares) == 1 else 1.6 + 3.6 * len(shares), max(2.6, 1.2 + 0.75 * len(order)))
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)
    for panel, (objective, each) in zip(panels.flat, shares.items(), strict=True):
        _bars(panel, order, each)
        if len(shares) > 1:
            panel.set_title(objective, fontsize=9, color=INK)
    panels.flat[0].set_yticks(range(len(order)), [name if name in first else f"{name} (one value)" for name in order])
    panels.flat[0].invert_yaxis()
    figure.supxlabel("share of the importance; where the two disagree, trust neither alone", color=INK, fontsize=10)
    marks = panels.flat[0].get_legend_handles_labels()
    figure.legend(*marks, fontsize=9, edgecolor="none", loc="outside upper right", ncols=len(evaluators))
    trials = counted(len(of.complete), "complete trial")
    decided = of.objective if len(shares) == 1 else "each objective"
    put_title(figure, f"{of.study}: which field decides {decided}, from {trials}")
    return figure


def _bars(panel: Axes, order: Sequence[str], shares: Shares) -> None:
    """One objective: a bar for each field and evaluator."""
    height = 0.8 / len(shares)
    for index, ((evaluator, values), colour) in enumerate(zip(shares.items(), BAR_COLOURS, strict=False)):
        known = [(row, values[name]) for row, name in enumerate(order) if name in values]
        places = [row + (index - (len(shares) - 1) / 2) * height for row, _ in known]
        bars = panel.barh(places, [share for _, share in known], height=height, color=colour, label=evaluator)
        panel.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, color=INK)
    panel.set_xlim(0, 1.12)
    light_frame(panel, grid="x")


def new_figure(width: float, height: float) -> ShownFigure:
    """Return an empty figure, its size in inches."""
    from deepcolor.report.shown import ShownFigure

    return ShownFigure(figsize=(width, height), dpi=_DPI, layout="constrained")


def put_title(figure: Figure, text: str) -> None:
    """Write a title, in as many lines as it needs."""
    width = int(_TITLE_CHARS * figure.get_figwidth() / 8.2)
    figure.suptitle(textwrap.fill(text, width), fontsize=10, color=INK, x=0.01, ha="left")


def _dots(axes: Axes, places: Mapping[int, float], of: Pictured) -> None:
    """Draw the values of trials over the places of their numbers."""
    both = len(of.complete) < len(of.trials)
    for whole in (False, True):
        trials = [t for t in of.trials if t.number in places and (t.state == "complete") == whole]
        style: dict[str, Any] = {"color": COMPLETE} if whole else {"color": PRUNED, "fillstyle": "none"}
        label = ("complete" if whole else "at its last rung") if both else None
        xs, ys = [places[trial.number] for trial in trials], [_value(trial) for trial in trials]
        axes.plot(xs, ys, "o", markersize=5.5, alpha=0.85, label=label, **style)


def _name_dots(axes: Axes) -> None:
    """Draw a legend if there is something to tell apart."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")


def _named(name: str, axis: Axis) -> str:
    return f"{name} (log)" if axis.log else name


def _height(trial: StoredTrial, name: str, axis: Axis) -> float:
    """Where a trial's line crosses an axis; below its foot if the trial has no such parameter."""
    return axis.share(trial.params[name]) if name in trial.params else _NOT_THERE


def _upright(axes: Axes, place: int, axis: Axis, *, lacking: bool) -> None:
    """One vertical axis of the parallel coordinates, with its ticks to the right of it."""
    axes.axvline(place, color=INK, linewidth=0.8)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    ticks = [(axis.share_of(at), label) for at, label in axis.ticks(narrow=False)]
    for height, label in [*ticks, *([(_NOT_THERE, "-")] if lacking else [])]:
        axes.plot([place, place + 0.03], [height, height], color=INK, linewidth=0.8)
        axes.text(place + 0.05, height, label, fontsize=8, va="center", color=INK, bbox=box, zorder=5)


def _log_values(axes: Axes, of: Pictured) -> None:
    """Let the vertical axis span the decades of an error, if it has any, with short labels and a light frame."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = (edge(map(_value, of.trials)) for edge in (min, max))
    if is_logarithmic(low, high, maximized=of.maximized):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 1e4 else (1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(float(value))))
    axes.tick_params(axis="y", labelsize=8)
    light_frame(axes)


def light_frame(axes: Axes, *, grid: Literal["x", "y"] = "y") -> None:
    """Keep only two sides of the frame, and draw a light grid behind everything else."""
    axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins=12, min_n_ticks=1, steps=[1, 2, 5, 10])


def _blue(share: float) -> Any:
    """The colour of a trial whose value is at `share` of the way from the best (0) to the worst (1)."""
    from matplotlib import colormaps

    return colormaps["Blues"](1 - (1 - _PALEST) * share)


def _loss(trial: StoredTrial) -> float:
    return trial.loss


def _value(trial: StoredTrial) -> float:
    assert trial.latest is not None, "only trials with a value are drawn"
    return trial.latest
