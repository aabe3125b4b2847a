"""What a stage says of itself; nothing outside asks for its name. No torch in here: the command line asks, too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from deepcolor.errors import CodeError
from deepcolor.fields.frozen import Frozen, ParamValue, digest_of
from deepcolor.fields.objective import Better, Nearest
from deepcolor.stages.sections import (
    DataSection,
    InitSection,
    ModelSection,
    TrainingSection,
    UnknownData,
    UnknownInit,
    UnknownModel,
    UnknownTraining,
)
from deepcolor.stages.session import Job, Measured, SavedModel, Session, Size

AUGMENT = "data.augment"
"""The part of a data section that can be searched."""
EPOCH_S = "epoch_s"
"""The seconds of an epoch, which every training has beside its stage's own metrics."""

Values = Callable[[str], tuple[tuple[str, ParamValue], ...]]
"""Every value that a field takes in a sweep, with the key that it is written under."""


class Stage:
    """A kind of training. A subclass says what may be asked of it, and what becomes of it; all of it is said once.

    A stage of one's own needs `metrics` and `session`; what else it says makes it better searched, tested and served.
    `docs/extending.md` writes one.
    """

    # ---- what a sweep of it may say

    data: ClassVar[type[DataSection]] = DataSection
    model: ClassVar[type[ModelSection]] = ModelSection
    training: ClassVar[type[TrainingSection]] = TrainingSection
    init: ClassVar[type[InitSection]] = InitSection
    """Its sections of a sweep file. A docstring below a field says what the field means; every field of `model`,
    `training` and `init` can be searched, under its own name."""

    metrics: ClassVar[Mapping[str, Better]]
    """What it measures after every epoch, by public name (`val/mse`), and which values are the better ones: `minimize`,
    `maximize`, or `Nearest(0)` of one that is best at 0. One that begins with `train/` is of the training itself: where
    it is no number, the training has diverged."""

    final_metrics: ClassVar[Mapping[str, Better]] = {}
    """What `Session.finish` measures of the weights that a training leaves."""

    stops_early: ClassVar[bool] = True
    """Whether a training ends early unless its sweep says otherwise."""

    starts_from: ClassVar[tuple[str, ...]] = ()
    """The stages whose models it may start from, by label (`colorizer`), the usual one first; empty: from none."""

    must_start: ClassVar[bool] = False
    """Whether it has to start from a model."""

    takes_form: ClassVar[tuple[str, ...]] = ()
    """The fields of `model` that must be those of the model it starts from; left out, they are taken over."""

    ignores: ClassVar[Mapping[str, str]] = {}
    """Fields that mean nothing to it, so that a sweep must not set them, and why."""

    version: ClassVar[int] = 1
    """Raise it where the same setting would no longer give the same numbers, and the stage's own source is the same."""

    # ---- its data

    pictures: ClassVar[bool] = False
    """Whether it trains on a data set that `deepcolor data prepare` made; its data section is a `DataConfig` then, and
    its sessions get the folder of the decoded pictures (`deepcolor.data.cache.arrays.CachedData`)."""

    # ---- what becomes of its models

    about: ClassVar[str] = ""
    """What its models do, in a sentence for their cards."""

    use: ClassVar[tuple[str, ...]] = ("result = model.predict(inputs)",)
    """How a loaded model is used, in lines of Python, for their cards."""

    units: ClassVar[str] = ""
    """What the figures on their cards mean."""

    colours_pixels: ClassVar[bool] = False
    """Whether its models colour pictures, so that `deepcolor colorize` can use them."""

    gate_metric: ClassVar[str] = "error"
    """What `measure` calls the mean of a model's errors."""

    items: ClassVar[str] = "item"
    """What those are errors of: `picture`."""

    baseline_name: ClassVar[str] = ""
    """What a model has to be better than to be promoted at all, as `baseline` measures it; empty: than nothing."""

    output_columns: ClassVar[Mapping[str, str]] = {}
    """The columns of what a served model answers, and their MLflow types; empty: told from the answer to `example`."""

    requirements: ClassVar[tuple[str, ...]] = ()
    """Packages that a served model needs, beside NumPy and safetensors: `("scikit-learn",)`."""

    @classmethod
    def requirements_of(cls, model: ModelSection) -> tuple[str, ...]:  # noqa: ARG003  # may say more
        """Return the packages that a served model of this form needs; `requirements`, unless its form says more."""
        return cls.requirements

    @classmethod
    def session(cls, job: Job) -> Session:  # noqa: ARG003  # for those that have one
        """Return what trains a job."""
        raise _lacking(cls, "session")

    @classmethod
    def data_digest(cls, data: DataSection, *, root: Path) -> str:  # noqa: ARG003  # for stages that read files
        """Return what names the content of the data that a sweep is about, in hex digits.

        As it stands it is the section alone, which will do for a stage that makes up its data, or carries it. A stage
        that reads files has to tell their content (`deepcolor.stages.digest_of_files`).

        Args:
            data: Its section.
            root: The workspace, where the paths in it begin.
        """
        return digest_of(data.identity())

    @classmethod
    def also_decides(cls, *, data: DataSection, model: ModelSection) -> Mapping[str, Any]:  # noqa: ARG003  # as above
        """Return what decides the numbers of a training beside its sections and `data_digest`, as JSON; it is part of
        what the training is named by. Weights that go by a name, for one, by their content.
        """
        return {}

    @classmethod
    def make_ready(cls, values: Values, *, root: Path) -> None:
        """Fetch what trainings need beside their data, once, before any of them begins.

        Args:
            values: As for `check`.
            root: The workspace.
        Raises:
            ModelError: It cannot be had; the message says what to do.
        """

    @classmethod
    def credits(cls, model: ModelSection) -> tuple[str, ...]:  # noqa: ARG003  # for stages that have some
        """Return whose work a model of this form rests on, and its licence: sentences for its card."""
        return ()

    @classmethod
    def check(cls, values: Values) -> None:
        """Refuse what no training of this stage can do, though each field alone allows it.

        Asked once for each combination of the values that conditions and labels of a space connect, so that what only
        occurs together is judged together.

        Args:
            values: Gives every value of a field, with its key; of a range, both ends.
        Raises:
            Refusal: With the key of what is wrong.
        """

    @classmethod
    def title(cls, job: Job) -> str:
        """Name a setting in one line, for pictures: what differs from the defaults."""
        parts = [job.stage]
        for section in (job.model, job.training):
            for name, field in type(section).model_fields.items():
                value = getattr(section, name)
                if value != field.get_default(call_default_factory=True):
                    parts.append(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}")
        return "  ".join(parts)

    weighs: ClassVar[tuple[str, ...]] = ()
    """The fields of `training` and `init` that decide, beside the model, how long an epoch takes."""
    weighs_if_set: ClassVar[tuple[str, ...]] = ()
    """More of them, which cost the same whatever they are, and nothing where they are null, 0 or empty."""

    @classmethod
    def cost(cls, job: Job) -> tuple[float, int]:  # noqa: ARG003  # for stages that can tell
        """Return what a step costs, in any unit, and how many there are in an epoch: a form that was not measured is
        priced by others that differ from it in numbers of the section `model` alone, by what an epoch costs of each.
        """
        return 1.0, 1

    @classmethod
    def size(cls, job: Job) -> Size | None:  # noqa: ARG003  # for stages that can tell
        """Return how large the model of a job is, without building it on a device: `search.constraints` and
        `search.objective` may name its `parameters` and `mb`. It may depend on the sections `data` and `model` alone,
        and is asked before there is any data: `job.folder` means nothing here. None: the stage cannot tell.
        """
        return None

    @classmethod
    def measure(
        cls,
        saved: SavedModel,  # noqa: ARG003  # for stages that can be promoted
        *,
        folder: Path,  # noqa: ARG003
        data: DataSection,  # noqa: ARG003
        split: str,  # noqa: ARG003
        device: str,  # noqa: ARG003
        conditions: Any,  # noqa: ARG003
    ) -> Measured:
        """Measure a model on a split of the data, for the gate of promotion.

        Args:
            saved: The model.
            folder: As `Job.folder`.
            data: The section of the sweep that asks.
            split: `test`: what no search has seen.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            conditions: How torch computed in its training (`deepcolor.training.conditions`).
        """
        raise _lacking(cls, "measure")

    @classmethod
    def baseline(cls, *, folder: Path, data: DataSection, split: str) -> tuple[float, ...] | None:  # noqa: ARG003
        """Return the errors of what has learnt nothing, on the same items; None where there is no such thing."""
        return None

    @classmethod
    def opened(cls, saved: SavedModel, *, device: str) -> Any:  # noqa: ARG003  # as above
        """Return what `deepcolor.load` gives. It has a method `predict(inputs)`, which MLflow's server calls with a
        DataFrame.
        """
        raise _lacking(cls, "opened")

    @classmethod
    def example(cls) -> Any:
        """Return a small input for `predict`, which MLflow keeps with a version and shows; None: none."""
        return None

    # ---- what follows from it

    @classmethod
    def sections(cls) -> Mapping[str, type[Frozen]]:
        """Return the sections that can be searched."""
        return {"model": cls.model, "training": cls.training, "init": cls.init}

    @classmethod
    def searchable_fields(cls) -> Mapping[str, str]:
        """Return every field that may stand in a search space, with the section it belongs to."""
        own = {name: part for part, section in cls.sections().items() for name in section.model_fields}
        augment = cls._augment()
        # A field of the stage's own comes first, whatever else can be searched beside it.
        others = {name: AUGMENT for name in (augment.model_fields if augment else ()) if name not in own}
        return MappingProxyType({**own, **others})

    @classmethod
    def section_of(cls, field: str) -> type[Frozen]:
        """Return the section that a searchable field belongs to."""
        part = cls.searchable_fields()[field]
        section = cls._augment() if part == AUGMENT else cls.sections()[part]
        assert section is not None, "it has fields that can be searched"
        return section

    @classmethod
    def _augment(cls) -> type[Frozen] | None:
        """The augmentation of a stage that trains on prepared pictures: the part of its data that can be searched."""
        field = cls.data.model_fields.get("augment") if cls.pictures else None
        kind = field.annotation if field is not None else None
        return kind if isinstance(kind, type) and issubclass(kind, Frozen) else None

    @classmethod
    def metrics_of(cls, training: TrainingSection) -> Mapping[str, Better | None]:  # noqa: ARG003  # may say more
        """What a training measures after every epoch; `metrics`, unless its section says more. None leaves it to the
        sweep which values are the better ones.
        """
        return cls.metrics

    @classmethod
    def final_metrics_of(cls, training: TrainingSection) -> Mapping[str, Better]:  # noqa: ARG003  # as above
        """What is measured of the weights that a training leaves; `final_metrics`, unless its section says more."""
        return cls.final_metrics

    @classmethod
    def readable(cls, metrics: Mapping[str, float]) -> Mapping[str, float]:  # noqa: ARG003  # for stages that have some
        """Return figures that say the same as some of these in units that a person can read, by public name.

        They are shown beside the metrics and never searched by, as they follow from what is recorded.

        Args:
            metrics: What was measured after an epoch; not all of the stage's metrics need be there.
        """
        return {}

    @classmethod
    def directions(cls, trainings: Iterable[TrainingSection]) -> Mapping[str, Better | None]:
        """Return what all of these trainings measure after every epoch, and which values are the better ones."""
        first, *others = (cls.metrics_of(training) for training in trainings)
        common = {name: first[name] for name in first if all(name in other for other in others)}
        return {**common, EPOCH_S: "minimize"}

    @classmethod
    def check_itself(cls) -> None:
        """Raise CodeError where the stage does not keep the contract."""
        name = cls.__name__
        _check_sections(cls)
        if cls.pictures and not {"name", "size_px"} <= cls.data.model_fields.keys():
            rule = f"{name} has pictures = True, so it must have data = DataConfig (deepcolor.config.sections), or more"
            raise CodeError(rule, got=f"data = {cls.data.__name__}", advice=_FIX)
        if cls.session.__func__ is Stage.session.__func__:  # type: ignore[attr-defined]  # of class methods
            raise CodeError(f"{name} must have a class method session(cls, job)", advice=_FIX)
        if not getattr(cls, "metrics", None):
            raise CodeError(f"{name}.metrics must name what is measured after an epoch", advice=_FIX)
        for metric, direction in {**cls.metrics, **cls.final_metrics}.items():
            is_number = isinstance(direction, Nearest) and math.isfinite(direction.value)
            if not is_number and direction not in {"minimize", "maximize"}:
                rule = f"{name}.metrics must say minimize, maximize or Nearest(VALUE) of {metric}"
                raise CodeError(rule, got=repr(direction), advice=_FIX)


def _check_sections(stage: type[Stage]) -> None:
    bases = {"data": DataSection, "model": ModelSection, "training": TrainingSection, "init": InitSection}
    for part, base in bases.items():
        if not (isinstance(getattr(stage, part), type) and issubclass(getattr(stage, part), base)):
            raise CodeError(f"{stage.__name__}.{part} must be a subclass of {base.__name__}", advice=_FIX)
    seen: dict[str, str] = {}
    for part, section in stage.sections().items():
        for field in section.model_fields:
            if seen.setdefault(field, part) != part:
                rule = f"{stage.__name__}: a field must stand in one section alone, as it is searched by its name"
                raise CodeError(rule, got=f"{field} in {seen[field]} and {part}", advice=_FIX)


_FIX = "Fix the stage."


def _lacking(stage: type[Stage], method: str) -> CodeError:
    rule = f"the stage {stage.__name__} must have a method {method} for this"
    return CodeError(rule, advice="See docs/extending.md.")


class UnknownStage(Stage):
    """Stands for a stage that is not at hand, where its studies are only looked at."""

    data, model, training, init = UnknownData, UnknownModel, UnknownTraining, UnknownInit
    metrics: ClassVar[Mapping[str, Better]] = {}
