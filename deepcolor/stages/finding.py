"""Find a stage by its name."""

from __future__ import annotations

import importlib
from functools import cache

from deepcolor.stages.contract import Stage

SHIPPED = {
    "regressor": "deepcolor.coloring.regressor:Regressor",
    "colorizer": "deepcolor.coloring.colorizer:Colorizer",
    "transfer": "deepcolor.coloring.transfer:Transfer",
}
"""Where the shipped stages are, in the order in which one starts from another. The only place that names them all."""


@cache
def stage_named(name: str) -> type[Stage]:
    """Return the stage of a name.

    Raises:
        KeyError: There is none.
    """
    module, _, attribute = SHIPPED[name].partition(":")
    found: type[Stage] = getattr(importlib.import_module(module), attribute)
    return found
