"""A stage whose epochs cost nothing: five hyperparameters and an epoch give a loss by formula, as in LCBench.

What is measured with it is what a trial costs beside its training. `peers/bare_trials.py` holds the same formula.
"""

import math

import numpy as np

from deepcolor.stages import Arrays, Field, ModelSection, Result, Session, Stage, TrainingSection


class Model(ModelSection):
    """Its form."""

    units: int = Field(default=128, ge=64, le=512)
    """Width of the layers."""
    layers: int = Field(default=3, ge=1, le=5)
    """How many there are."""


class Training(TrainingSection):
    """How it is trained."""

    learning_rate: float = Field(default=1e-2, ge=1e-4, le=1e-1)
    """Of the optimizer."""
    batch_size: int = Field(default=64, ge=16, le=512)
    """Rows of a step."""
    weight_decay: float = Field(default=1e-3, ge=1e-5, le=1e-1)
    """Of the optimizer."""


def loss(epoch: int, *, learning_rate: float, batch_size: int, weight_decay: float, units: int, layers: int) -> float:
    """Falls with the epochs: how fast, and to what, the hyperparameters decide."""
    rate, batch, width = math.log10(learning_rate), math.log2(batch_size), math.log2(units)
    floor = 0.3 + 0.1 * (rate + 2.2) ** 2 + 0.02 * (batch - 6) ** 2 + 0.03 * (width - 8) ** 2
    floor += 0.02 * (layers - 3) ** 2 + 2 * weight_decay
    return floor + 1.5 * math.exp(-epoch * 10 ** (0.5 * rate) * (1 + 64 / batch_size) / 2)


class Curve(Session):
    """Knows its settings and the epochs it has done, which is all there is of it."""

    def begin(self) -> None:
        self.epochs = 0

    def train_epoch(self, epoch: int) -> dict[str, float]:
        self.epochs = epoch
        training, model = self.job.training, self.job.model
        value = loss(
            epoch,
            learning_rate=training.learning_rate,
            batch_size=training.batch_size,
            weight_decay=training.weight_decay,
            units=model.units,
            layers=model.layers,
        )
        return {"val/loss": value}

    def state(self) -> dict[str, np.ndarray]:
        return {"epochs": np.array(self.epochs)}

    def restore(self, state: Arrays) -> None:
        self.epochs = int(state["epochs"])

    def finish(self, weights: Arrays, *, label: str) -> Result:  # noqa: ARG002  # the contract's names
        return Result({})


class Curves(Stage):
    """Named by the sweep of `benchmarks/per_trial.py`."""

    model, training = Model, Training
    metrics = {"val/loss": "minimize"}  # noqa: RUF012  # as docs/extending.md writes a stage
    stops_early = False

    @classmethod
    def session(cls, job: object) -> Curve:
        return Curve(job)  # type: ignore[arg-type]
