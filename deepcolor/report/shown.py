"""A figure that a notebook shows when a cell ends with it, whether or not pyplot has been imported."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepcolor.data.marks import FIGURE_METADATA


class ShownFigure(Figure):
    """A figure unknown to pyplot, which would keep it open and pick a window system."""

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
