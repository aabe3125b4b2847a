# mypy: ignore-errors
"""A stage without a network: its weight is one number, which every epoch brings nearer to what the sweep names."""

import numpy as np
import pandas as pd

from deepcolor.stages import DataSection, Field, Measured, ModelSection, Result, Session, Stage, TrainingSection


class Data(DataSection):
    name: str = "numbers"
    """What the data is called."""
    wanted: float = 5.0
    """What is to be found."""


class Model(ModelSection):
    start: float = 0.0
    """Where it starts."""


class Training(TrainingSection):
    pull: float = Field(default=0.5, gt=0, le=1)
    """How much of the way an epoch goes."""


class Nearer(Session):
    def begin(self):
        self.x = self.job.model.start

    def state(self):
        return {"x": np.array(self.x)}

    def restore(self, state):
        self.x = float(state["x"])

    def train_epoch(self, epoch):
        draw = np.random.default_rng([self.job.training.seed, epoch])
        self.x += self.job.training.pull * (self.job.data.wanted - self.x) + draw.normal() / 1000
        return {"val/far": abs(self.job.data.wanted - self.x), "val/near": -abs(self.job.data.wanted - self.x)}

    def finish(self, weights, *, label):
        return Result({"x": float(weights["x"])}, {"note.txt": label.encode()})


class Told:
    def __init__(self, x):
        self.x = x

    def predict(self, numbers):
        return pd.DataFrame({"sum": np.asarray(numbers, float).reshape(-1) + self.x})


class MyFormula(Stage):
    data, model, training = Data, Model, Training
    metrics = {"val/far": "minimize", "val/near": "maximize"}
    final_metrics = {"x": "maximize"}
    gate_metric, items, baseline_name = "distance", "number", "saying nothing"
    about = "Finds a number."

    @classmethod
    def session(cls, job):
        return Nearer(job)

    @classmethod
    def measure(cls, saved, *, folder, data, split, device, conditions):
        far = abs(float(saved.arrays()["x"]) - data.wanted)
        return Measured(tuple(far * (1 + number / 100) for number in range(10)), {"found": float(saved.arrays()["x"])})

    @classmethod
    def baseline(cls, *, folder, data, split):
        return tuple(data.wanted * (1 + number / 100) for number in range(10))

    @classmethod
    def opened(cls, saved, *, device):
        return Told(float(saved.arrays()["x"]))

    @classmethod
    def example(cls):
        return pd.DataFrame({"number": [1.0, 2.0]})
