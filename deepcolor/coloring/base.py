"""What the three stages have in common: networks from the lightness of a photo to colour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from deepcolor.config.sections import (
    SIZE_MULTIPLE_PX,
    WITH_MOMENTUM,
    DataConfig,
    InitConfig,
    ModelConfig,
    TrainingConfig,
)
from deepcolor.fields.named import NETWORKS, public_names
from deepcolor.fields.objective import Better, Direction, Nearest
from deepcolor.fields.refusal import Refusal
from deepcolor.models.pretrained import RANDOM, credit, source_digest
from deepcolor.stages.contract import Stage, Values
from deepcolor.stages.sections import DataSection, ModelSection, TrainingSection
from deepcolor.stages.session import Job, Measured, SavedModel, Session, Size

TRAIN_MSE, TRAIN_LOSS = "train/mse", "train/loss"

MSE: Mapping[str, Direction] = {
    TRAIN_MSE: "minimize",
    "val/mse": "minimize",
    "val/mse_a": "minimize",
    "val/mse_b": "minimize",
}
"""In the normalised units (value + 128) / 255: of a* and b* together, and of each alone."""

PICTURE_METRICS: Mapping[str, Better] = {
    "psnr_db": "maximize",
    "ssim": "maximize",
    "colourfulness": Nearest(1),
    "ciede2000": "minimize",
    "bias_a": Nearest(0),
    "bias_b": Nearest(0),
}
"""Of the coloured validation pictures (`deepcolor.coloring.measuring`)."""


class Colouring(Stage):
    """What all three say."""

    data, model, training, init = DataConfig, ModelConfig, TrainingConfig, InitConfig
    metrics = MSE
    final_metrics = PICTURE_METRICS
    pictures = True
    units = (
        "MSE in normalised units, (value + 128) / 255; colourfulness relative to the originals; bias of a* and b* in "
        "CIELAB units, predicted minus true."
    )
    gate_metric = "mse"
    items = "picture"
    baseline_name = "predicting the training mean"
    output_columns = {"image": "string"}  # noqa: RUF012  # read only
    use = ('rgb = model.colorize("photo.jpg")  # numpy array, (H, W, 3)',)

    target: ClassVar[Literal["pixels", "mean"]] = "pixels"
    """What the network predicts: a colour for each pixel, or the mean colour."""
    weighs = (
        "batch_size",
        "optimizer",
        "freeze",
        "mixed_precision",
        "loss",
        "metrics",
        "final_metrics",
        "half_size_share",
    )
    # Dropout keeps a GPU from replaying its recorded steps.
    weighs_if_set = ("ema", "clip_norm", "saturation_weight", "dropout")
    heads: ClassVar[tuple[str, ...]] = ("regression", "bins")
    """The values of `model.head` that mean something to it."""
    takes_whole: ClassVar[bool] = False
    """Whether it starts from all weights of its parent, not from its encoder alone."""

    @classmethod
    def session(cls, job: Job) -> Session:
        """Train a network."""
        from deepcolor.coloring.session import NetworkSession

        return NetworkSession(job, target=cls.target, whole=cls.takes_whole)

    @classmethod
    def metrics_of(cls, training: TrainingSection) -> Mapping[str, Better | None]:
        """Another loss than mse has units of its own, and is called by another name; a user's metrics come last."""
        shipped: dict[str, Direction | None] = dict(cls.metrics)
        if training.loss != "mse":
            del shipped[TRAIN_MSE]
            shipped = {TRAIN_LOSS: "minimize", **shipped}
        return {**shipped, **dict.fromkeys(public_names(training.metrics, prefix="val/"))}

    @classmethod
    def readable(cls, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """The error in CIELAB units, such as 5.7, where the normalised MSE is 5e-4 and a chart's two decimals say 0."""
        from deepcolor.color import rmse_ab

        mse = metrics.get("val/mse")
        # Rounded for columns, which show all digits there are: the MSE beside it has them all.
        return {"val/rmse_ab": float(f"{rmse_ab(mse):.5g}")} if mse is not None and mse >= 0 else {}

    @classmethod
    def final_metrics_of(cls, training: TrainingSection) -> Mapping[str, Better]:
        """The figures of pictures, and a user's."""
        return {**cls.final_metrics, **dict.fromkeys(public_names(training.final_metrics, prefix=""), "minimize")}

    @classmethod
    def also_decides(cls, *, data: DataSection, model: ModelSection) -> Mapping[str, Any]:
        """Weights by their content, and how the pictures of a batch are changed."""
        digest = source_digest(cast(ModelConfig, model))
        geometry = cast(DataConfig, data).augment.geometry
        return {
            **({"encoder_weights": digest} if digest is not None else {}),
            **({"geometric": geometry} if geometry is not None else {}),
        }

    @classmethod
    def make_ready(cls, values: Values, *, root: Path) -> None:
        """Fetch the weights of encoders, where something starts from them."""
        encoders = [str(encoder) for _, encoder in values("encoder") if encoder is not None]
        again = any(source == "weights" for _, source in values("encoder_from"))
        if not encoders or (not again and all(ref is not None for _, ref in values("init_from"))):
            return
        from deepcolor.models.encoder_weights import ensure_weights
        from deepcolor.workspace import Workspace

        for encoder in encoders:
            for _, weights in values("encoder_weights"):
                model = ModelConfig.model_validate({"encoder": encoder, "encoder_weights": weights})
                ensure_weights(model, Workspace.at(root).weights)

    @classmethod
    def credits(cls, model: ModelSection) -> tuple[str, ...]:
        """Whose weights its encoder began with."""
        known = credit(cast(ModelConfig, model))
        return (known,) if known is not None else ()

    @classmethod
    def requirements_of(cls, model: ModelSection) -> tuple[str, ...]:
        """The encoders of torchvision are built by it."""
        encoder = cast(ModelConfig, model).encoder
        brought = encoder is None or encoder == "efficientnet_lite0"
        return cls.requirements if brought else (*cls.requirements, "torchvision")

    @classmethod
    def check(cls, values: Values) -> None:
        """Refuse freezing without weights to start from, a choice of colours beside a decoder that makes few of them,
        and momentum beside an optimizer that has none.
        """
        cls._check_head(values)
        _check_hint(values)
        _check_encoder_from(values)
        cls._check_half_size(values)
        freezing = [key for key, value in values("freeze") if value == "encoder"]
        random = any(ref is None for _, ref in values("init_from")) and (
            any(encoder is None for _, encoder in values("encoder"))
            or any(weights == RANDOM for _, weights in values("encoder_weights"))
        )
        if freezing and random:
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
    def _check_head(cls, values: Values) -> None:
        """Refuse another stage's head, one beside a decoder that makes too many pixels, and bins beside a term that is
        about something else.
        """
        for key, head in values("head"):
            if head not in cls.heads:
                rule = f"must be {' or '.join(cls.heads)} in this stage"
                raise Refusal(rule, got=str(head), key=key, advice="Choose one of these.")
            if head != "regression" and any(decoder == "transposed" for _, decoder in values("decoder")):
                advice = "Set model.decoder: bilinear, or leave head out."
                raise Refusal(f"{head} needs another decoder", got="decoder: transposed", key=key, advice=advice)
            heavy = [key for key, weight in values("saturation_weight") if weight]
            if head == "bins" and heavy:
                advice = "Leave one of them out; model.annealing makes their colours more vivid."
                rule = "saturation_weight is of the regression alone"
                raise Refusal(rule, got="head: bins", key=heavy[0], advice=advice)

    @classmethod
    def _check_half_size(cls, values: Values) -> None:
        halved = [key for key, share in values("half_size_share") if share]
        if not halved:
            return
        sizes = [size for _, size in values("size_px") if isinstance(size, int) and size % (2 * SIZE_MULTIPLE_PX)]
        if sizes:
            rule = f"half of size_px must be a multiple of {SIZE_MULTIPLE_PX}"
            advice = f"Set data.size_px: {2 * SIZE_MULTIPLE_PX}, or leave half_size_share out."
            raise Refusal(rule, got=f"size_px: {sizes[0]}", key=halved[0], advice=advice)
        if cls.target == "mean" and any(encoder is None for _, encoder in values("encoder")):
            rule, advice = "the reports' regressor takes one size only", "Set model.encoder, or leave it out."
            raise Refusal(rule, got="encoder: null beside it", key=halved[0], advice=advice)

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
            _encoder(model),
            f"batch={training.batch_size}",
            f"{training.optimizer}{_SCHEDULES[training.lr_schedule]}",
            *([f"momentum={training.momentum:g}"] if training.momentum is not None else []),
            *([training.loss] if training.loss != "mse" else []),
            both if cls.target == "pixels" else model.output_activation,
        ]
        if model.decoder != "transposed" and (cls.target == "pixels" or model.head == "pixel_mean"):
            parts.append(f"{model.decoder} {model.decoder_width}")
        if model.head != "regression":
            parts.append(model.head)
        if model.skip_connections:
            parts.append("skip")
        if model.mean_hint and cls.target == "pixels":
            parts.append("mean hint")
        if training.half_size_share:
            parts.append(f"half size for {training.half_size_share:.0%}")
        if job.parent is not None:
            begun = cast(InitConfig, init)
            notes = ["encoder anew"] if begun.encoder_from == "weights" else []
            notes += ["encoder frozen"] if begun.freeze == "encoder" else []
            parts.append(f"from {job.parent.ref}" + (f" ({', '.join(notes)})" if notes else ""))
        return "  ".join([*parts, f"seed={training.seed}"])

    @classmethod
    def cost(cls, job: Job) -> tuple[float, int]:
        """Tell it by the operations of one picture's way through the network."""
        from deepcolor.coloring.cost import steps_of_epoch, work_per_picture

        batch_size = cast(TrainingConfig, job.training).batch_size
        size_px = cast(DataConfig, job.data).size_px
        work = work_per_picture(cls.target, cast(ModelConfig, job.model), size_px, code=job.code)
        training = cast(TrainingConfig, job.training)
        work *= 1 - (1 - _HALF_SIZE_WORK) * training.half_size_epochs / training.epochs
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


_HALF_SIZE_WORK = 0.25
"""Of a picture at half its height and width, against that of a whole one."""
_SCHEDULES = {"constant": "", "cosine": " cosine", "one_cycle": " one-cycle"}


def _encoder(model: ModelConfig) -> str:
    if model.encoder is not None:
        return model.encoder if model.encoder_weights != RANDOM else f"{model.encoder} (random)"
    return f"fm={model.feature_maps}{' doubling' if model.growth == 'double' else ''}"


def _check_hint(values: Values) -> None:
    """Refuse a mean colour where no layer could tell it, or nothing could take it."""
    hinted = [key for key, hint in values("mean_hint") if hint]
    if not hinted:
        return
    if any(encoder is None for _, encoder in values("encoder")):
        advice = "Set model.encoder, or leave mean_hint out."
        raise Refusal("mean_hint needs a known encoder", got="encoder: null", key=hinted[0], advice=advice)
    if any(head == "bins" for _, head in values("head")):
        advice = "Leave one of them out."
        raise Refusal("mean_hint is of the regression alone", got="head: bins", key=hinted[0], advice=advice)


def _check_encoder_from(values: Values) -> None:
    """Refuse an encoder that begins anew where nothing else is taken over, or it would begin with random weights."""
    again = [key for key, source in values("encoder_from") if source == "weights"]
    if not again:
        return
    if any(ref is None for _, ref in values("init_from")):
        advice = "Set init.init_from, or leave encoder_from out."
        raise Refusal("needs a model to take the rest from", got="init_from: null", key=again[0], advice=advice)
    if any(weights == RANDOM for _, weights in values("encoder_weights")):
        advice = "Leave one of them out."
        raise Refusal("needs weights to begin with", got="encoder_weights: none", key=again[0], advice=advice)


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-")
