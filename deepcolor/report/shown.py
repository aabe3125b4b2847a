"""A figure that a notebook shows wherever a cell ends with it, whether pyplot has been imported there or not."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepcolor.data.marks import FIGURE_METADATA


class ShownFigure(Figure):
    """A figure of its own: pyplot, which keeps figures open and picks a window system, knows nothing of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """Return it as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png", metadata=FIGURE_METADATA)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()
