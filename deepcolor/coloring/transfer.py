"""The third stage: a colorizer, trained further on another set of photos."""

from __future__ import annotations

from deepcolor.coloring.base import Colouring
from deepcolor.config.sections import ModelConfig


class Transfer(Colouring):
    """Colours a grey photo; it starts from a whole colorizer, and has its form."""

    about = "Colours a grey photo: a colorizer, trained further on another kind of photos."
    starts_from = ("colorizer", "transfer")
    must_start = True
    takes_form = tuple(ModelConfig.model_fields)
    takes_whole = True
    colours_pixels = True
