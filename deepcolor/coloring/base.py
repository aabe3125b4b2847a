"""What the three stages have in common: networks from the lightness of a photo to colour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from deepcolor.config.sections import WITH_MOMENTUM, DataConfig, InitConfig, ModelConfig, TrainingConfig
from deepcolor.fields.named import NETWORKS, public_names
from deepcolor.fields.objective import Direction
from deepcolor.fields.refusal import Refusal
from deepcolor.stages.contract import Stage, Values
from deepcolor.stages.sections import DataSection, TrainingSection
from deepcolor.stages.session import Job, Measured, SavedModel, Session, Size

TRAIN_MSE, TRAIN_LOSS = "train/mse", "train/loss"

MSE: Mapping[str, Direction] = {
    TRAIN_MSE: "minimize",
    "val/mse": "minimize",
    "val/mse_a": "minimize",
    "val/mse_b": "minimize",
}
"""In the normalised units (value + 128) / 255: of a* and b* together, and of each alone."""

PICTURE_METRICS: Mapping[str, Direction] = {"psnr_db": "maximize", "ssim": "maximize", "colourfulness": "maximize"}
"""Of the coloured validation pictures, in RGB (`deepcolor.coloring.measuring`)."""


class Colouring(Stage):
    """What all three say."""

    data, model, training, init = DataConfig, ModelConfig, TrainingConfig, InitConfig
    metrics = MSE
    final_metrics = PICTURE_METRICS
    pictures = True
    units = "MSE in normalised units, (value + 128) / 255; colourfulness relative to the originals."
    gate_metric = "mse"
    items = "picture"
    baseline_name = "predicting the training mean"
    output_columns = {"image": "string"}  # noqa: RUF012  # read only
    use = ('rgb = model.colorize("photo.jpg")  # numpy array, (H, W, 3)',)

    target: ClassVar[Literal["pixels", "mean"]] = "pixels"
    """What the network predicts: a colour for each pixel, or the mean colour."""
    weighs = ("batch_size", "optimizer", "freeze", "mixed_precision", "loss")
    takes_whole: ClassVar[bool] = False
    """Whether it starts from all weights of its parent, not from its encoder alone."""

    @classmethod
    def session(cls, job: Job) -> Session:
        """Train a network."""
        from deepcolor.coloring.session import NetworkSession

        return NetworkSession(job, target=cls.target, whole=cls.takes_whole)

    @classmethod
    def metrics_of(cls, training: TrainingSection) -> Mapping[str, Direction | None]:
        """Another loss than mse has units of its own, and is called by another name; a user's metrics come last."""
        shipped: dict[str, Direction | None] = dict(cls.metrics)
        if training.loss != "mse":
            del shipped[TRAIN_MSE]
            shipped = {TRAIN_LOSS: "minimize", **shipped}
        return {**shipped, **dict.fromkeys(public_names(training.metrics, prefix="val/"))}

    @classmethod
    def final_metrics_of(cls, training: TrainingSection) -> Mapping[str, Direction]:
        """The figures of pictures, and a user's."""
        return {**cls.final_metrics, **dict.fromkeys(public_names(training.final_metrics, prefix=""), "minimize")}

    @classmethod
    def check(cls, values: Values) -> None:
        """Freezing needs weights to start from, and momentum an optimizer that has it."""
        freezing = [key for key, value in values("freeze") if value == "encoder"]
        if freezing and any(ref is None for _, ref in values("init_from")):
            advice = "Set init.init_from, or leave freeze out."
            raise Refusal("freezing needs weights to start from", got="init_from: null", key=freezing[0], advice=advice)
        moments = [key for key, value in values("momentum") if value is not None]
        others = [str(value) for _, value in values("optimizer") if value not in WITH_MOMENTUM]
        if moments and others:
            names = ", ".join(WITH_MOMENTUM)
            rule, got = "means something to sgd and rmsprop only", f"optimizer {others[0]} beside it"
            advice = f"Leave it out, or search it under the condition when: {{optimizer: [{names}]}}."
            raise Refusal(rule, got=got, key=moments[0], advice=advice)

    @classmethod
    def title(cls, job: Job) -> str:
        """Name a setting in one line: the stage, and what differs most between trials."""
        model, training, init = cast(ModelConfig, job.model), cast(TrainingConfig, job.training), job.init
        both = f"{model.hidden_activation}/{model.output_activation}"
        parts = [
            job.stage,
            f"lr={_short(training.lr)}",
            f"wd={_short(training.weight_decay)}",
            *([model.network] if model.network not in NETWORKS.shipped else []),
            f"fm={model.feature_maps}{' doubling' if model.growth == 'double' else ''}",
            f"batch={training.batch_size}",
            f"{training.optimizer}{' cosine' if training.lr_schedule == 'cosine' else ''}",
            *([f"momentum={training.momentum:g}"] if training.momentum is not None else []),
            *([training.loss] if training.loss != "mse" else []),
            both if cls.target == "pixels" else model.output_activation,
        ]
        if model.skip_connections:
            parts.append("skip")
        if job.parent is not None:
            frozen = " (encoder frozen)" if cast(InitConfig, init).freeze == "encoder" else ""
            parts.append(f"from {job.parent.ref}{frozen}")
        return "  ".join([*parts, f"seed={training.seed}"])

    @classmethod
    def cost(cls, job: Job) -> tuple[float, int]:
        """Tell it by the operations of one picture's way through the network."""
        from deepcolor.coloring.cost import steps_of_epoch, work_per_picture

        batch_size = cast(TrainingConfig, job.training).batch_size
        size_px = cast(DataConfig, job.data).size_px
        work = work_per_picture(cls.target, cast(ModelConfig, job.model), size_px, code=job.code)
        return work * batch_size, steps_of_epoch(job.folder, batch_size=batch_size)

    @classmethod
    def size(cls, job: Job) -> Size:
        """Count the weights of the network, built without memory for them."""
        from deepcolor.coloring.cost import size_of_network

        size_px = cast(DataConfig, job.data).size_px
        return size_of_network(cls.target, cast(ModelConfig, job.model), size_px, code=job.code)

    @classmethod
    def measure(
        cls,
        saved: SavedModel,
        *,
        folder: Path,
        data: DataSection,  # noqa: ARG003  # the decoded data set says it all
        split: str,
        device: str,
        conditions: Any,
    ) -> Measured:
        """Measure the squared error of each picture."""
        from deepcolor.coloring.measuring import measure

        found = measure(saved.folder, folder, split=split, device=device, conditions=conditions)  # type: ignore[arg-type]
        figures = {name: float(value) for name, value in vars(found).items() if name != "per_image_mse"}
        return Measured(found.per_image_mse, figures)

    @classmethod
    def baseline(cls, *, folder: Path, data: DataSection, split: str) -> tuple[float, ...]:  # noqa: ARG003  # as above
        """Always predict the training pictures' mean colour."""
        from deepcolor.coloring.measuring import baseline_errors

        return baseline_errors(folder, cls.target, split=split)  # type: ignore[arg-type]

    @classmethod
    def opened(cls, saved: SavedModel, *, device: str) -> Any:
        """Return a `ColorModel`."""
        from deepcolor.coloring.color_model import ColorModel
        from deepcolor.models.modelfile import load_model

        return ColorModel(*load_model(saved.folder, device))

    @classmethod
    def example(cls) -> Any:
        """Return one small grey picture in the form a server is sent it: PNG in base64."""
        from deepcolor.coloring.example import example_input

        return example_input()


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-")
