"""A curve as one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
_LOG_FROM = 20
"""Where the largest value is so many times the smallest one, their logarithms are drawn."""


def sparkline(values: Sequence[float], *, width: int) -> str:
    """Draw values from left to right, the lowest as the lowest block; one that is not finite is an `x`.

    Args:
        values: In order.
        width: Characters at most; of more values each character shows the last one of its share.
    """
    count = min(width, len(values))
    shown = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return "x" * count
    log = min(finite) > 0 and max(finite) > _LOG_FROM * min(finite)
    # Halves, since the distance of two floats may be more than a float can be.
    heights = [(math.log(value) if log and math.isfinite(value) else value) / 2 for value in shown]
    known = [height for height in heights if math.isfinite(height)]
    low, span = min(known), max(known) - min(known)
    return "".join(
        _block((height - low) / span if span else 0.0) if math.isfinite(height) else "x" for height in heights
    )


def _block(share: float) -> str:
    return BLOCKS[min(int(share * len(BLOCKS) + 1e-9), len(BLOCKS) - 1)]
