"""The third stage: a colorizer, trained further on another set of photos."""

from __future__ import annotations

from deepcolor.coloring.metrics import MSE
from deepcolor.config.sections import ModelConfig
from deepcolor.stages.contract import Stage


class Transfer(Stage):
    """Colours a grey photo; it starts from a whole colorizer, and has its form."""

    metrics = MSE
    starts_from = ("colorizer", "transfer")
    must_start = True
    takes_form = tuple(ModelConfig.model_fields)
    colours_pixels = True
