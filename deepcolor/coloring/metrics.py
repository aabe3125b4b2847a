"""What the three stages measure after every epoch."""

from __future__ import annotations

from collections.abc import Mapping

from deepcolor.fields.objective import Direction

MSE: Mapping[str, Direction] = {
    "train/mse": "minimize",
    "val/mse": "minimize",
    "val/mse_a": "minimize",
    "val/mse_b": "minimize",
}
"""In the normalised units (value + 128) / 255: of a* and b* together, and of each alone."""
