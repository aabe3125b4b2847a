"""What a confirmation adds to a study's report: its settings as CSV, and a picture of all their trainings."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepcolor.report.figures import COMPLETE, INK, PRUNED, light_frame, new_figure, put_title
from deepcolor.search.rules.confirmation import ConfirmedSetting, confirmation_line
from deepcolor.search.rules.summary import Summary
from deepcolor.tracking.layout import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES_A_SETTING = 1.3
_MOST_INCHES = 14.0
_LONGEST_LABEL = 3
"""Parameters written below a setting."""


def confirmation_csv(settings: tuple[ConfirmedSetting, ...]) -> str:
    """Write one row per setting: its trial, the value in the search, mean and standard deviation, the value under each
    seed.
    """
    names = list(settings[0].params) if settings else []
    seeds = sorted({seed for setting in settings for seed in setting.values})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", *names, "searched_value", "mean", "std", *(f"seed_{seed}" for seed in seeds)])
    for one in settings:
        figures = [one.searched_value, one.mean, one.std, *(one.values.get(seed, "") for seed in seeds)]
        writer.writerow([one.trial, *(one.params[name] for name in names), *figures])
    return file.getvalue()


def confirmation_png(summary: Summary, *, objective: str) -> bytes | None:
    """Draw each setting's trainings: the search's own hollow, those under other seeds filled, with mean and standard
    deviation. None if no setting has a finite value under another seed.
    """
    settings = [s for s in summary.confirmation.settings if math.isfinite(s.mean)] if summary.confirmation else []
    if summary.confirmation is None or not settings:
        return None
    figure = new_figure(min(_MOST_INCHES, max(7.0, _INCHES_A_SETTING * len(settings))), 4.8)
    _draw(figure.subplots(), settings, objective=objective)
    put_title(figure, f"{summary.study}: {confirmation_line(summary.confirmation)}")
    return figure.png()


def _draw(axes: Axes, settings: Sequence[ConfirmedSetting], *, objective: str) -> None:
    for place, one in enumerate(settings):
        _draw_setting(axes, place, one, labelled=place == 0)
    axes.set_xticks(range(len(settings)), [_label(one) for one in settings], fontsize=8)
    axes.set_xlim(-0.6, len(settings) - 0.4)
    axes.set_ylabel(objective, color=INK)
    light_frame(axes)
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")


def _draw_setting(axes: Axes, place: int, one: ConfirmedSetting, *, labelled: bool) -> None:
    names = ("under other seeds", "mean ± std", "as the search saw it") if labelled else (None, None, None)
    axes.plot([place] * len(one.values), list(one.values.values()), "o", color=COMPLETE, alpha=0.6, label=names[0])
    spread = one.std if math.isfinite(one.std) else 0.0
    bar: dict[str, Any] = {"fmt": "_", "color": COMPLETE, "markersize": 18, "capsize": 4}
    axes.errorbar(place + 0.18, one.mean, yerr=spread, label=names[1], **bar)
    axes.plot(place - 0.18, one.searched_value, "o", color=PRUNED, fillstyle="none", label=names[2])


def _label(one: ConfirmedSetting) -> str:
    shown = list(one.params.items())[:_LONGEST_LABEL]
    lines = [f"{name}={short(value)}" for name, value in shown]
    return "\n".join([f"trial {one.trial}", *lines, *(["..."] if len(one.params) > len(shown) else [])])
