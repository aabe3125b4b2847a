"""LCBench's learning curves as a kind of training: an epoch gives the next point of a curve that a surrogate computes.

A user's own stage in one file, as a sweep names it: `stage: benchmarks/parts/lcbench_stage.py:Curve`. It needs
`onnxruntime`, and the surrogate of YAHPO Gym for LCBench (Apache 2.0, github.com/slds-lmu/yahpo_data) in `data.folder`.
Source: Zimmer, Lindauer, Hutter, Auto-PyTorch Tabular, 2021; Pfisterer et al., YAHPO Gym, 2022.
"""

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from deepcolor.stages import DataSection, Field, Job, ModelSection, Session, Stage, TrainingSection, digest_of_files


class Data(DataSection):
    """The folder of the surrogate, and its number of the data set that the networks are trained on."""

    folder: str
    code: int = Field(ge=0, le=34)


class Model(ModelSection):
    """A funnel-shaped network; the units are those of its widest layer."""

    layers: int = Field(default=3, ge=1, le=5)
    units: int = Field(default=256, ge=64, le=1024)


class Training(TrainingSection):
    """How it is trained, by SGD with momentum 0.9 and dropout 0.5."""

    epochs: int = Field(default=52, ge=1, le=52)
    learning_rate: float = Field(default=1e-2, ge=1e-4, le=1e-1)
    batch_size: int = Field(default=64, ge=16, le=512)
    weight_decay: float = Field(default=1e-5, ge=1e-5, le=1e-1)


@cache
def surrogate(file: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


class Train(Session):
    """One curve: nothing is kept from one epoch to the next."""

    def begin(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {"nothing": np.zeros(1)}

    def restore(self, state: Any) -> None: ...

    def train_epoch(self, epoch: int) -> dict[str, float]:
        how, model, data = self.job.training, self.job.model, self.job.data
        row = [epoch, how.batch_size, how.learning_rate, 0.9, how.weight_decay, model.layers, model.units, 0.5]
        session = surrogate(self.job.folder / data.folder / "model.onnx")
        code, rest = session.get_inputs()
        kind = np.int32 if code.type == "tensor(int32)" else np.int64
        given = {code.name: np.full((1, 1), data.code, kind), rest.name: np.array([row], np.float32)}
        return {"val/cross_entropy": float(session.run(None, given)[0][0, 2])}


class Curve(Stage):
    """All of the surrogate's curves."""

    data, model, training = Data, Model, Training
    metrics: ClassVar = {"val/cross_entropy": "minimize"}

    @classmethod
    def session(cls, job: Job) -> Session:
        return Train(job)

    @classmethod
    def data_digest(cls, data: DataSection, *, root: Path) -> str:
        return digest_of_files([root / data.folder / "model.onnx"])[:32] + f"{data.code:02d}"
