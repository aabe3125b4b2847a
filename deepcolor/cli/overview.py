"""One picture that shows what the demo learned: for each model, what it saw, what it made of it, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from deepcolor.data.marks import FIGURE_METADATA

_LABELS = ("lightness", "coloured", "truth")


def overview_png(rows: Sequence[tuple[str, list[Any], list[Any]]], *, grey: Callable[[Any], Any]) -> bytes:
    """Draw the overview.

    Args:
        rows: For each model its name, the true pictures, and the coloured ones. Shape (H, W, 3), uint8.
        grey: Takes the colour out of a picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(truth) for _, truth, _ in rows)
    figure = Figure(figsize=(1.35 * columns + 0.9, 1.42 * 3 * len(rows) + 0.3 * len(rows)), dpi=120)
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(len(rows), 1, hspace=0.02, squeeze=False)
    for part, (name, truth, coloured) in zip(parts.flat, rows, strict=True):
        part.suptitle(name, fontsize=11, fontweight="bold", x=0.02, ha="left")
        axes = part.subplots(3, columns, squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
        part.subplots_adjust(left=0.09, right=0.995, top=0.92, bottom=0.01)
        for axis in axes.flat:
            axis.axis("off")
        for line, pictures in enumerate(([grey(picture) for picture in truth], coloured, truth)):
            axes[line][0].text(
                -0.06, 0.5, _LABELS[line], fontsize=9, ha="right", va="center", transform=axes[line][0].transAxes
            )
            for column, picture in enumerate(pictures):
                axes[line][column].imshow(picture)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata=FIGURE_METADATA)
    return buffer.getvalue()
