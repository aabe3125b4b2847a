"""What a curve says of the epochs to come, so that a trial that gets better fast goes on before one that began well.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def outlook(losses: Sequence[float], *, value: float, at: int) -> float:
    """Return the loss that a training is heading for.

    What the second half of its epochs gained is taken to go on at the same pace with every doubling: a straight line
    over the logarithm of the epochs. That flatters most curves, but it is only compared with that of others at the
    same epoch.

    Args:
        losses: After each epoch trained, the first one first; lower is better.
        value: What it is worth now.
        at: The epoch that is asked about.
    Returns:
        At most `value`; `value` itself where nothing can be said: after one epoch, or if it diverged.
    """
    reached, half = len(losses), len(losses) // 2
    if half == 0 or reached >= at or not all(map(math.isfinite, (*losses, value))):
        return value
    gained = min(losses[:half]) - min(losses)
    return value - gained * math.log(at / reached) / math.log(reached / half)
