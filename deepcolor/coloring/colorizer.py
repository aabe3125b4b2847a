"""The second stage: the lightness of a photo -> a* and b* of every pixel."""

from __future__ import annotations

from deepcolor.coloring.base import Colouring


class Colorizer(Colouring):
    """Colours a grey photo; it may start from a regressor's encoder."""

    about = "Colours a grey photo: predicts a* and b* of every pixel from its lightness."
    starts_from = ("regressor",)
    takes_form = ("feature_maps", "growth", "network", "encoder", "encoder_weights")
    colours_pixels = True
