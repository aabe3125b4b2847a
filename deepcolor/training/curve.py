"""The picture of a training's course: its objective over the epochs, beside what the training itself minimises."""

from __future__ import annotations

import io
from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from deepcolor.data.marks import FIGURE_METADATA
from deepcolor.fields.objective import Objective
from deepcolor.training.trajectory import TRAIN_PREFIX, EpochMetrics, View

_DPI = 100
_COMPRESSION = 1
"""Of a PNG file: quick to write is worth more here than the last tenth of the size."""
_INK = "#222222"
_TRAIN_COLOUR, _OBJECTIVE_COLOUR = "#8a8a8a", "#1f6fb2"


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
    figure = Figure(figsize=(6.4, 4.0), dpi=_DPI)
    axes = figure.add_axes((0.13, 0.12, 0.84, 0.75))  # Fixed: working out a layout would take longer than drawing it.
    curves = {name: [row.metrics[name] for row in shown] for name in _names(shown, objective)}
    for name, values in curves.items():
        _draw(axes, name, values, is_objective=name == objective.metric)
    _mark(axes, history[view.chosen_epoch - 1], objective)
    if all(value > 0 for values in curves.values() for value in values) and not objective.maximized:
        axes.set_yscale("log")
        # Plain text: typesetting powers of ten takes longer than the rest of the figure.
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.set_xlabel("epoch", color=_INK)
    axes.set_title(fill(title, width=88), fontsize=8, color=_INK, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.grid(visible=True, which="both", axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, framealpha=0.9, edgecolor="none")  # Light over the line of the chosen epoch.
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata=FIGURE_METADATA, pil_kwargs={"compress_level": _COMPRESSION})
    return buffer.getvalue()


def _names(shown: Sequence[EpochMetrics], objective: Objective) -> list[str]:
    own = TRAIN_PREFIX + objective.metric.partition("/")[2]
    return [name for name in dict.fromkeys((own, objective.metric)) if name in shown[0].metrics]


def _draw(axes: Axes, name: str, values: Sequence[float], *, is_objective: bool) -> None:
    style = (_OBJECTIVE_COLOUR, 1.8) if is_objective else (_TRAIN_COLOUR, 1.4)
    dots = "o" if len(values) < 2 else ""
    epochs = range(1, len(values) + 1)
    axes.plot(epochs, values, color=style[0], linewidth=style[1], marker=dots, label=name)


def _mark(axes: Axes, chosen: EpochMetrics, objective: Objective) -> None:
    value = chosen.metrics[objective.metric]
    axes.axvline(chosen.epoch, color=_OBJECTIVE_COLOUR, linewidth=0.8, linestyle=(0, (4, 3)))
    taken = f"taken: epoch {chosen.epoch}, {value:.4g}"
    axes.plot([chosen.epoch], [value], "o", markersize=6, color=_OBJECTIVE_COLOUR, label=taken)
