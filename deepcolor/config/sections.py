"""The sections of the shipped stages' sweeps: data, model, training, init. The last three can be searched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from deepcolor.fields.frozen import Frozen, config_name
from deepcolor.fields.named import LOSSES, METRICS, NETWORKS, OPTIMIZERS
from deepcolor.stages.sections import DataSection, InitSection, ModelSection, TrainingSection


class AugmentConfig(Frozen):
    """The reports' five augmentations (torchvision v2); each one switched on adds a copy of every training image."""

    first_fields = frozenset(
        {
            "random_crop",
            "random_horizontal_flip",
            "random_vertical_flip",
            "random_rotation",
            "random_adjust_sharpness",
            "mode",
        }
    )

    random_crop: int | None = Field(default=8, ge=1, le=64)
    """Pixels of reflected border before a crop back to the full size; null leaves this copy out."""
    random_horizontal_flip: float | None = Field(default=1.0, gt=0, le=1)
    """Probability that the copy is mirrored left to right (1: none equals its original); null leaves this copy out."""
    random_vertical_flip: float | None = Field(default=1.0, gt=0, le=1)
    """Probability that the copy is mirrored top to bottom; null leaves this copy out."""
    random_rotation: float | None = Field(default=15.0, gt=0, le=180)
    """Largest angle in degrees, either way; null leaves this copy out."""
    random_adjust_sharpness: float | None = Field(default=2.0, ge=0, le=10)
    """Sharpness factor (0 blurs, 1 changes nothing, 2 sharpens); null leaves this copy out."""
    mode: Literal["fixed", "fresh"] = "fixed"
    """`fixed` draws the copies once, into the cache (fast); `fresh` draws them again every epoch from (seed, epoch)."""

    @property
    def active(self) -> tuple[tuple[str, float], ...]:
        """(name, strength) of each augmentation switched on, in the order of their copies in the cache."""
        pairs = ((name, getattr(self, name)) for name in type(self).model_fields if name != "mode")
        return tuple((name, float(strength)) for name, strength in pairs if strength is not None)


class DataConfig(DataSection):
    """Which prepared data set to train on, and in what form."""

    first_fields = frozenset({"name", "size_px", "augment"})

    name: str
    """A name given to `deepcolor data prepare`."""
    size_px: int = Field(default=128, ge=64, le=1024, multiple_of=64)
    """Side of the square the networks see, in pixels; a multiple of 64."""
    augment: AugmentConfig = AugmentConfig()
    """Augmented copies of the training images."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return config_name(value)


class ModelConfig(ModelSection):
    """The network's form. In a transfer sweep a field left out is taken over from the model it starts from."""

    first_fields = frozenset({"feature_maps", "growth", "hidden_activation", "output_activation", "skip_connections"})

    feature_maps: int = Field(default=3, ge=1, le=512)
    """Width of the first block, in channels."""
    growth: Literal["constant", "double"] = "constant"
    """`constant`: every block as wide as the first (first report); `double`: x 1 2 4 8 8 16 (second report)."""
    hidden_activation: Literal["relu", "leaky_relu", "tanh"] = "relu"
    """Between the colorizer's transposed convolutions. The encoder is LeakyReLU always: encoders can be exchanged."""
    output_activation: Literal["sigmoid", "tanh"] = "sigmoid"
    """At the end; targets are scaled to its range. Metrics are in the same units for both."""
    skip_connections: bool = False
    """Hand each encoder block's output to the decoder block of the same size (colorizer and transfer)."""
    network: Annotated[str, NETWORKS] = "reports"
    """The course reports' six blocks down and six up; or your own, as `FILE.py:NAME` or `package.module:NAME`: made as
    Network(model, target=..., size_px=...), a torch `Module` from lightness to a* and b*."""


WITH_MOMENTUM = ("sgd", "rmsprop")
"""The shipped optimizers that have it."""


class TrainingConfig(TrainingSection):
    """How the network is trained."""

    first_fields = frozenset(
        {
            "epochs",
            "lr",
            "weight_decay",
            "batch_size",
            "optimizer",
            "lr_schedule",
            "early_stopping",
            "patience",
            "seed",
            "mixed_precision",
        }
    )

    epochs: int = Field(default=100, ge=1, le=100_000)
    """Passes over the training images, augmented copies included."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty (decoupled for adamw)."""
    batch_size: int = Field(default=32, ge=2, le=4096)
    """Images a step."""
    optimizer: Annotated[str, OPTIMIZERS] = "adam"
    """torch.optim's, at its defaults but for `momentum`. Or your own, as `FILE.py:NAME` or `package.module:NAME`: a
    torch `Optimizer`."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of sgd and rmsprop; null: 0.9 for sgd, 0 for rmsprop. Search it with `when: {optimizer: sgd}`."""
    loss: Annotated[str, LOSSES] = "mse"
    """What is minimised, as a mean over the batch, in units of the output (0 to 1, or -1 to 1 for tanh); smooth_l1 is
    squared below a twentieth of that range. Or your own, as for `optimizer`: loss(output, target), a tensor with one
    number. `train/mse` is recorded for mse, `train/loss` for any other."""
    metrics: Annotated[tuple[str, ...], METRICS] = ()
    """Metrics of your own, measured after every epoch on the validation pictures: `own/metrics.py:hue` is recorded as
    `val/hue`, and can be the objective. Called as metric(predicted, true), a number for each picture."""
    final_metrics: Annotated[tuple[str, ...], METRICS] = ()
    """The same, measured once, of the weights that a training leaves, and recorded as `hue`: for what takes long."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` falls to 0 over `epochs`, so trials that differ in epochs can then share no training."""
    early_stopping: bool | None = None
    """End after `patience` epochs without a better objective, taking the best. null: on for colorizer and transfer."""
    patience: int = Field(default=5, ge=1, le=100_000)
    """Epochs without a better objective before an early stop."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of weights, shuffling and fresh augmentation."""
    mixed_precision: bool = False
    """bfloat16 autocast on CUDA; no effect on the CPU."""

    @property
    def knows_its_end(self) -> bool:
        return self.lr_schedule != "constant"

    @property
    def reduced_precision(self) -> bool:
        return self.mixed_precision


class InitConfig(InitSection):
    """What a training starts from."""

    first_fields = frozenset({"init_from", "freeze"})

    init_from: str | None = None
    """`STAGE@ALIAS` or `STAGE@VERSION` (a registered model; `STAGE-NAME@ALIAS` where it was promoted with `--as NAME`),
    or `study:NAME` (of those of the same width, its confirmed winner or else its best trial). A colorizer takes a
    regressor's encoder; a transfer takes a whole colorizer. null: random weights."""
    freeze: Literal["none", "encoder"] = "none"
    """`encoder`: only the decoder is trained (needs `init_from`)."""
