"""The second stage: the lightness of a photo -> a* and b* of every pixel."""

from __future__ import annotations

from deepcolor.coloring.metrics import MSE
from deepcolor.stages.contract import Stage


class Colorizer(Stage):
    """Colours a grey photo; it may start from a regressor's encoder."""

    metrics = MSE
    starts_from = ("regressor",)
    takes_form = ("feature_maps", "growth")
    colours_pixels = True
