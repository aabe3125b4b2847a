"""What one trial trains: the sweep with one value for every searched parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, SupportsIndex

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from deepcolor.config.dimensions import STAGE
from deepcolor.config.space import SearchConfig
from deepcolor.errors import CodeError
from deepcolor.fields.frozen import Frozen
from deepcolor.fields.objective import DEFAULT_OBJECTIVE, Better, Nearest
from deepcolor.fields.refusal import Refusal, written
from deepcolor.plugins import folders, look_in
from deepcolor.stages.contract import Stage, UnknownStage
from deepcolor.stages.finding import SHIPPED, label_of, stage_of
from deepcolor.stages.sections import DataSection, InitSection, ModelSection, TrainingSection, UnknownTraining

_SHA256 = re.compile("[0-9a-f]{64}")
_PARTS = ("data", "model", "training", "init")
LENIENT = "lenient"
"""In the context of a validation: take a stage that is not at hand as it is written, to look at what it has left."""


class Staged(Frozen):
    """What a stage's sections stand in: each becomes what the stage says that it is."""

    @property
    def stage_class(self) -> type[Stage]:
        """The stage; one that knows nothing, where its own is not at hand."""
        kept: Any = self
        return UnknownStage if isinstance(kept.training, UnknownTraining) else stage_of(kept.stage, kept.code)

    @property
    def label(self) -> str:
        """What the stage is called in names: `colorizer`, `my_stage`."""
        kept: Any = self
        return label_of(kept.stage)

    @property
    def final_metrics(self) -> Mapping[str, Better]:
        """What is measured of the weights that a training leaves."""
        kept: Any = self
        return self.stage_class.final_metrics_of(kept.training)

    @field_validator("code", check_fields=False)
    @classmethod
    def _digests(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for place, digest in value.items():
            if not _SHA256.fullmatch(digest):
                advice = "Leave code out: it is filled in."
                raise Refusal("must be a SHA-256, 64 hex digits", got=written(digest), key=place, advice=advice)
        return value

    @field_validator(*_PARTS, "search", mode="before", check_fields=False)
    @classmethod
    def _of_its_stage(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return value
        name = info.field_name or ""
        if not {"stage", "code"} <= info.data.keys():
            return (SearchConfig if name == "search" else getattr(UnknownStage, name)).model_construct()
        lenient = bool((info.context or {}).get(LENIENT))
        try:
            stage = stage_of(info.data["stage"], info.data["code"])
        except CodeError as error:
            if not lenient:
                raise Refusal(error.rule, got=error.got, advice=error.advice) from error
            stage = UnknownStage
        if name == "search":
            if "objective" not in value and stage.metrics and DEFAULT_OBJECTIVE.metric not in stage.metrics:
                value = {**value, "objective": _first_metric(stage)}
            return SearchConfig.model_validate(value, context={STAGE: stage})
        return getattr(stage, name).model_validate(value)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        kept: Any = self
        if kept.stage in SHIPPED:
            return super().__reduce_ex__(protocol)
        # The classes of its sections are a user's, which another process has to find first.
        return _arrived, (type(self), self.model_dump(mode="json"), folders())


def _first_metric(stage: type[Stage]) -> str:
    """What a sweep of a stage optimises unless it says so: the first metric that can be, and is not of the training."""
    names = [name for name, better in stage.metrics.items() if not isinstance(better, Nearest)]
    return next((name for name in names if not name.startswith("train/")), next(iter(names or stage.metrics)))


def _arrived(kind: type[Frozen], content: dict[str, Any], known: tuple[Any, ...]) -> Frozen:
    for folder in reversed(known):
        look_in(folder)
    return kind.model_validate(content, context={LENIENT: True})


class Setting(Staged):
    """Everything that decides one trial's training."""

    first_fields = frozenset({"stage", "data", "model", "training", "init"})

    stage: str
    code: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of the code that it uses, by the place that it names."""
    data: SerializeAsAny[DataSection]
    model: SerializeAsAny[ModelSection]
    training: SerializeAsAny[TrainingSection]
    init: SerializeAsAny[InitSection]

    @property
    def patience(self) -> int | None:
        """Epochs without improvement before an early stop; None when early stopping is off."""
        early = self.training.early_stopping
        on = self.stage_class.stops_early if early is None else early
        return self.training.patience if on else None
