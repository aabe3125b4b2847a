"""The picture of several objectives: every trial by its figures, the front as steps, and the trial that is chosen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from deepcolor.config.constraints import MB, PARAMETERS
from deepcolor.counting import counted
from deepcolor.fields.objective import Objective
from deepcolor.report.figures import BEST, COMPLETE, INK, PALE, light_frame, new_figure, put_title
from deepcolor.search.rules.front import chosen_of, front_of, non_dominated
from deepcolor.search.study.aims import Aims
from deepcolor.search.study.trials import StoredTrial, searched
from deepcolor.stages.contract import EPOCH_S
from deepcolor.tracking.layout import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from deepcolor.report.shown import ShownFigure

_UNITS = {EPOCH_S: "seconds, median", MB: "megabytes", PARAMETERS: "weights"}
_DECADE = 10
_MOST_NUMBERS = 20
"""On a front; with more, their numbers would cover each other."""


@dataclass(frozen=True)
class Fronted:
    """What can be drawn of a study with several objectives."""

    study: str
    aims: Aims
    front: tuple[StoredTrial, ...]
    chosen: StoredTrial | None
    behind: tuple[StoredTrial, ...]
    """Complete trials that others dominate."""
    broken: tuple[StoredTrial, ...]
    """Complete trials that break a constraint."""

    @property
    def trials(self) -> tuple[StoredTrial, ...]:
        return (*self.front, *self.behind, *self.broken)


def fronted(study: str, aims: Aims, trials: Sequence[StoredTrial]) -> Fronted:
    """Collect what can be drawn of a study's front: the search's complete trials that have a finite value in all."""
    own = [trial for trial in searched(trials) if trial.state == "complete" and trial.values]
    whole = [trial for trial in own if all(map(math.isfinite, trial.values))]
    front = front_of(whole)
    numbers = {trial.number for trial in front}
    broken = tuple(trial for trial in whole if trial.breaks)
    behind = tuple(trial for trial in whole if trial.number not in numbers and not trial.breaks)
    return Fronted(study, aims, tuple(front), chosen_of(front), behind, broken)


def front_figure(of: Fronted) -> ShownFigure:
    """Draw each pair of objectives: the first one upwards where it is one of the two."""
    pairs = list(itertools.combinations(range(len(of.aims.objectives)), 2))
    figure = new_figure(7.6 if len(pairs) == 1 else 1.0 + 4.4 * len(pairs), 5.0)
    panels = figure.subplots(1, len(pairs), squeeze=False)
    for panel, (upwards, along) in zip(panels.flat, pairs, strict=True):
        _panel(panel, of, along=along, upwards=upwards)
    marks, said = panels.flat[0].get_legend_handles_labels()
    figure.legend(marks, said, fontsize=8, edgecolor="none", loc="outside lower center", ncols=len(said))
    chosen = f"; trial {of.chosen.number} is chosen" if of.chosen else "; none is chosen"
    put_title(figure, f"{of.study}: {counted(len(of.front), 'trial')} on the front of {len(of.trials)}{chosen}")
    return figure


def _panel(panel: Axes, of: Fronted, *, along: int, upwards: int) -> None:
    """One pair of objectives."""
    behind: dict[str, Any] = {"facecolors": "none", "edgecolors": COMPLETE, "s": 30, "label": "behind the front"}
    broken: dict[str, Any] = {"marker": "x", "color": PALE, "s": 34, "label": "breaks a constraint"}
    front: dict[str, Any] = {"color": COMPLETE, "s": 40, "zorder": 3, "label": "on the front"}
    for trials, style in ((of.broken, broken), (of.behind, behind), (of.front, front)):
        if trials:
            panel.scatter([t.values[along] for t in trials], [t.values[upwards] for t in trials], **style)
    _steps(panel, of, along=along, upwards=upwards)
    if of.chosen is not None:
        place = of.chosen.values[along], of.chosen.values[upwards]
        panel.scatter(
            *place, marker="*", s=240, color=BEST, edgecolors="white", linewidths=0.8, zorder=4, label="chosen"
        )
    if len(of.front) <= _MOST_NUMBERS:
        for trial in of.front:
            place = trial.values[along], trial.values[upwards]
            panel.annotate(
                str(trial.number), place, (6, 6), textcoords="offset points", fontsize=8, color=INK, zorder=5
            )
    for axis, scaled, which in ((panel.xaxis, panel.set_xscale, along), (panel.yaxis, panel.set_yscale, upwards)):
        _scale(axis, [trial.values[which] for trial in of.trials], scaled=scaled)
    panel.margins(0.09)
    panel.set_xlabel(_label(of.aims.objectives[along]), color=INK)
    panel.set_ylabel(_label(of.aims.objectives[upwards]), color=INK)
    panel.tick_params(labelsize=8)
    light_frame(panel)
    panel.grid(visible=True, axis="x", color="#e6e6e6", linewidth=0.6)


def _steps(panel: Axes, of: Fronted, *, along: int, upwards: int) -> None:
    """The best that is known upwards for what is given up along; of three objectives, of the two alone."""
    objectives = of.aims.objectives[along], of.aims.objectives[upwards]
    points = [(trial.values[along], trial.values[upwards]) for trial in of.front]
    losses = [tuple(o.loss(v) for o, v in zip(objectives, point, strict=True)) for point in points]
    line = sorted(points[place] for place in non_dominated(losses))
    where: Literal["pre", "post"] = "pre" if objectives[0].maximized else "post"
    panel.step([x for x, _ in line], [y for _, y in line], where=where, color=COMPLETE, linewidth=1.2, zorder=2)


def _label(objective: Objective) -> str:
    unit = _UNITS.get(objective.metric) or ("dB" if objective.metric.endswith("_db") else "")
    way = "higher is better" if objective.maximized else "lower is better"
    return f"{objective.metric} ({f'{unit}; ' if unit else ''}{way})"


def _scale(axis: Axis, values: Sequence[float], *, scaled: Callable[[str], object]) -> None:
    """A logarithmic scale where figures span a decade; short labels on either."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(values), max(values)
    if low > 0 and high / low >= _DECADE:
        scaled("log")
        axis.set_major_locator(LogLocator(subs=(1,) if high / low > 1e4 else (1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(nbins=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(float(value))))
