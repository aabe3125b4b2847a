"""What the three stages measure after every epoch."""

from __future__ import annotations

from collections.abc import Mapping

from deepcolor.fields.objective import Direction
from deepcolor.stages.contract import Stage

TRAIN_MSE, TRAIN_LOSS = "train/mse", "train/loss"

MSE: Mapping[str, Direction] = {
    TRAIN_MSE: "minimize",
    "val/mse": "minimize",
    "val/mse_a": "minimize",
    "val/mse_b": "minimize",
}
"""In the normalised units (value + 128) / 255: of a* and b* together, and of each alone."""


class Colouring(Stage):
    """What all three measure."""

    metrics = MSE

    @classmethod
    def metrics_under(cls, loss: str) -> Mapping[str, Direction]:
        """Another loss than mse has units of its own, and is called by another name."""
        if loss == "mse":
            return cls.metrics
        return {TRAIN_LOSS: "minimize", **{name: way for name, way in cls.metrics.items() if name != TRAIN_MSE}}
