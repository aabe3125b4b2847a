"""The frozen models a sweep or pipeline file is parsed into; nothing further in ever sees a dict.

A *setting* is what one trial trains: the sweep with one value for every searched parameter. Its sections `data`,
`model`, `training` and `init` are those that its stage says; every field of the last three can be searched under its
own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self, SupportsIndex

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.sections import AugmentConfig, DataConfig, InitConfig, ModelConfig, TrainingConfig
from deepcolor.config.space import STAGE, Choices, Dimension, Range, SearchConfig
from deepcolor.config.stopping import BudgetConfig, Limit, PrunerConfig
from deepcolor.errors import CodeError
from deepcolor.fields.frozen import Frozen, ParamValue, config_name, digest_of
from deepcolor.fields.named import PRUNERS, Named, named_fields
from deepcolor.fields.objective import DEFAULT_OBJECTIVE, Direction, Objective
from deepcolor.fields.refusal import Refusal, nearest, unknown_key, unknown_name, written
from deepcolor.plugins import folders, look_in
from deepcolor.stages.contract import Stage, UnknownStage
from deepcolor.stages.finding import SHIPPED, STAGES, label_of, stage_of
from deepcolor.stages.sections import (
    INIT_REF,
    DataSection,
    InitSection,
    ModelSection,
    TrainingSection,
    UnknownTraining,
)

__all__ = [
    "INIT_REF",
    "AugmentConfig",
    "BudgetConfig",
    "Choices",
    "ConfirmConfig",
    "DataConfig",
    "Dimension",
    "InitConfig",
    "Limit",
    "ModelConfig",
    "ParamValue",
    "Pipeline",
    "PrunerConfig",
    "Range",
    "SearchConfig",
    "Setting",
    "Sweep",
    "TrainingConfig",
    "digest_of",
    "unknown_name",
]

_SHA256 = re.compile("[0-9a-f]{64}")
_PARTS = ("data", "model", "training", "init")
LENIENT = "lenient"
"""In the context of a validation: take a stage that is not at hand as it is written, to look at what it has left."""


class _Staged(Frozen):
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
    def final_metrics(self) -> Mapping[str, Direction]:
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
    """What a sweep of a stage optimises unless it says so: the first metric that is not of the training itself."""
    return next((name for name in stage.metrics if not name.startswith("train/")), next(iter(stage.metrics)))


def _arrived(kind: type[Frozen], content: dict[str, Any], known: tuple[Any, ...]) -> Frozen:
    for folder in reversed(known):
        look_in(folder)
    return kind.model_validate(content, context={LENIENT: True})


class Setting(_Staged):
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


class Sweep(_Staged):
    """One file under experiments/: one Optuna study, one MLflow parent run."""

    first_fields = frozenset({"study", "stage", "description", "data", "model", "training", "init", "search"})

    study: str
    """The study's name, unique in the workspace."""
    stage: Annotated[str, STAGES]
    """What is trained: one of the shipped stages, or your own as `FILE.py:NAME` or `package.module:NAME`. It says which
    keys `data`, `model`, `training` and `init` have."""
    description: str = ""
    """Shown in MLflow and in the report."""
    code: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of code of your own that the sweep names, by file or module. Filled in when the sweep is read; given, it
    is what the study began with, and the files themselves are not needed any more."""
    data: SerializeAsAny[DataSection] = Field(default_factory=dict, validate_default=True)
    """The data set; the shipped stages need its name."""
    model: SerializeAsAny[ModelSection] = Field(default_factory=dict, validate_default=True)
    """The network's form."""
    training: SerializeAsAny[TrainingSection] = Field(default_factory=dict, validate_default=True)
    """How it is trained."""
    init: SerializeAsAny[InitSection] = Field(default_factory=dict, validate_default=True)
    """What it starts from."""
    search: SearchConfig
    """What is searched, and how."""

    @field_validator("study")
    @classmethod
    def _name(cls, value: str) -> str:
        return config_name(value)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        fields = self.stage_class.searchable_fields()
        for dimension in self.search.space:
            if dimension.name not in fields and self.stage_class is not UnknownStage:
                raise unknown_key(dimension.name, fields).below(f"search.space.{dimension.name}")
        self._check_metrics()
        self._check_ignored()
        self._check_start()
        self.stage_class.check(self._values)
        if self.study in self.search.warm_start:
            advice = "Leave it out: its own trials are always learnt from."
            raise Refusal("a study cannot start from itself", got=self.study, key="search.warm_start", advice=advice)
        if self.search.confirm is not None and self.training.seed + self.search.confirm.seeds >= 2**31:
            rule = "must leave room below 2147483648 for the seeds of search.confirm"
            raise Refusal(rule, got=str(self.training.seed), key="training.seed", advice="Choose a smaller seed.")
        return self

    @property
    def objective(self) -> Objective:
        """What the search optimises, with the direction that its stage says."""
        metric = self.search.objective
        return Objective(metric, self.search.direction or self._directions.get(metric) or "minimize")

    @property
    def search_names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.search.space)

    @property
    def most_epochs(self) -> int:
        """Epochs of the longest trial this sweep can have."""
        for dimension in self.search.space:
            if dimension.name == "epochs":
                ends = dimension.values if isinstance(dimension, Choices) else (dimension.high,)
                return max(int(end) for end in ends if isinstance(end, int | float))
        return self.training.epochs

    def settled(self, before: Sweep | None = None) -> Sweep:
        """Return the sweep with its first rung written out, so that it stays where it is when the study grows.

        Args:
            before: What the study ran until now; where that had a pruner, its rungs are kept unless others are given.
        """
        pruner = self.search.pruner
        if pruner.name == "none" or pruner.brought or pruner.min_epochs is not None:
            return self
        kept = before.search.pruner.min_epochs if before is not None and before.search.pruner.name != "none" else None
        first = kept or pruner.first_rung(most_epochs=self.most_epochs)
        search = self.search.model_copy(update={"pruner": pruner.model_copy(update={"min_epochs": first})})
        return self.model_copy(update={"search": search})

    def setting(self, params: Mapping[str, ParamValue]) -> Setting:
        """Put one value for each searched parameter into place.

        Args:
            params: Values by field name, as an Optuna trial holds them.
        Raises:
            pydantic.ValidationError: A value is outside of what its field allows.
        """
        stage = self.stage_class
        sections, fields = stage.sections(), stage.searchable_fields()
        parts = {part: getattr(self, part).model_dump() for part in sections}
        for name, value in params.items():
            parts[fields.get(name, "training")][name] = value
        made: dict[str, Any] = {part: section(**parts[part]) for part, section in sections.items()}
        return Setting(stage=self.stage, code=self._code_of(parts), data=self.data, **made)

    def named(self) -> Iterator[tuple[str, str, Named]]:
        """Every value that names something, with the key it is written under, and what may be named there."""
        yield "stage", self.stage, STAGES
        for section in self.stage_class.sections().values():
            for field, named in named_fields(section):
                for key, value in self._values(field):
                    yield from ((key, str(each), named) for each in _each(value))
        for field, named in named_fields(SearchConfig):
            yield f"search.{field}", getattr(self.search, field), named
        yield "search.pruner.name", self.search.pruner.name, PRUNERS

    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides the search's outcome; what follows the search, and the description,
        are no part of it.
        """
        content = self.identity()
        search = {key: value for key, value in content["search"].items() if key != "confirm"}
        return digest_of({**{key: content[key] for key in content if key != "description"}, "search": search})

    def _code_of(self, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """The code that sections with these values use."""
        used = [
            STAGES.reference(self.stage),
            *(
                named.reference(each)
                for part, section in self.stage_class.sections().items()
                for field, named in named_fields(section)
                for each in _each(parts[part][field])
            ),
        ]
        return {one.place: self.code[one.place] for one in used if one is not None and one.place in self.code}

    def _touches(self, field: str) -> bool:
        part = getattr(self, self.stage_class.searchable_fields()[field])
        return field in self.search_names or getattr(part, field) != type(part).model_fields[field].default

    def _values(self, field: str) -> tuple[tuple[str, ParamValue], ...]:
        """Every value a field can take in this sweep, with the key it is written under; none for an unknown field."""
        for dimension in self.search.space:
            if dimension.name == field and isinstance(dimension, Choices):
                return tuple((f"search.space.{field}", value) for value in dimension.values)
        section = self.stage_class.searchable_fields().get(field)
        if section is None:
            return ()
        return ((f"{section}.{field}", getattr(getattr(self, section), field)),)

    @property
    def _directions(self) -> Mapping[str, Direction | None]:
        """The metrics that all its trainings have, and which values are the better ones."""
        choices = {each.name: each.values for each in self.search.space if isinstance(each, Choices)}
        trainings = [
            self.training.model_copy(update={name: value})
            for name in type(self.training).model_fields
            for value in choices.get(name, (getattr(self.training, name),))
        ]
        return self.stage_class.directions(trainings)

    def _check_metrics(self) -> None:
        search, known = self.search, self._directions
        if self.stage_class is UnknownStage:
            return
        for key, metric in (("objective", search.objective), *(("watch", metric) for metric in search.watch)):
            if metric not in known:
                near = nearest(metric, known)
                advice = f"{f'Did you mean {near}? ' if near else ''}Allowed: {', '.join(known)}."
                rule = f"must be what a {self.label} measures after every epoch"
                raise Refusal(rule, got=written(metric), advice=advice, key=f"search.{key}")
        wanted = known[search.objective]
        if search.direction not in (None, wanted) and wanted is not None:
            rule, advice = f"{search.objective} is {wanted}d", "Leave direction out."
            raise Refusal(rule, got=str(search.direction), key="search.direction", advice=advice)
        if search.objective in search.watch:
            advice = "Leave it out of watch."
            raise Refusal("the objective is shown already", got=search.objective, key="search.watch", advice=advice)

    def _check_ignored(self) -> None:
        for field, reason in self.stage_class.ignores.items():
            if self._touches(field):
                key = self._values(field)[0][0]
                raise Refusal(f"{reason}, so {field} means nothing to it", key=key, advice="Leave it out.")

    def _check_start(self) -> None:
        stage, own = self.stage_class, self.label
        allowed = stage.starts_from
        for key, ref in self._values("init_from"):
            if ref is None and stage.must_start:
                advice = f"Name one, such as {allowed[0]}@champion."
                raise Refusal(f"a {own} starts from a model", got="null", key=key, advice=advice)
            match = INIT_REF.fullmatch(str(ref)) if ref is not None else None
            if match is None or stage is UnknownStage:
                continue
            if not allowed:
                advice = "Leave it out."
                raise Refusal(f"a {own} starts from no other model", got=str(ref), key=key, advice=advice)
            if match["stage"] and match["stage"] not in allowed:
                advice = f"Name one, such as {allowed[0]}@champion."
                raise Refusal(f"a {own} starts from a {allowed[0]}", got=str(ref), key=key, advice=advice)


class Pipeline(Frozen):
    """Several sweeps, run in order, with a promotion after each."""

    pipeline: str
    """The pipeline's name; its summary is in the folder of this name under studies/."""
    description: str = ""
    """Shown in the summary."""
    sweeps: tuple[Sweep, ...] = Field(min_length=1)
    """In the order they run; later ones may start from what earlier ones promote."""

    @field_validator("pipeline")
    @classmethod
    def _name(cls, value: str) -> str:
        return config_name(value)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for index, sweep in enumerate(self.sweeps):
            late = next((later for later in self.sweeps[index + 1 :] if later.label in _ancestors(sweep)), None)
            if late is not None:
                rule = f"a {late.label} must come before the {sweep.label} that may start from it"
                got = ", ".join(sweep.label for sweep in self.sweeps)
                raise Refusal(rule, got=got, key="sweeps", advice="Reorder them.")
        names = [sweep.study for sweep in self.sweeps]
        if len(set(names)) < len(names):
            rule = "each sweep needs a study name of its own"
            raise Refusal(rule, got=", ".join(names), key="sweeps", advice="Rename one of them.")
        return self


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _ancestors(sweep: Sweep) -> set[str]:
    """The labels of the stages from which a sweep's models may descend, its own apart."""
    found: set[str] = set()
    open_ = [sweep.stage_class]
    while open_:
        for label in open_.pop().starts_from:
            if label not in found:
                found.add(label)
                open_ += [stage_of(label)] if label in SHIPPED else []
    return found - {sweep.label}
