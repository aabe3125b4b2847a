"""The frozen models a sweep or pipeline file is parsed into; nothing further in ever sees a dict.

A *setting* is what one trial trains: the sweep with one value for every searched parameter. Every field of
`ModelConfig`, `TrainingConfig` and `InitConfig` can be searched under its own name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.named import PRUNERS, Named, named_fields
from deepcolor.config.sections import (
    INIT_REF,
    SECTIONS,
    AugmentConfig,
    DataConfig,
    InitConfig,
    ModelConfig,
    TrainingConfig,
    searchable_fields,
)
from deepcolor.config.space import Choices, Dimension, Range, SearchConfig
from deepcolor.config.stopping import BudgetConfig, Limit, PrunerConfig
from deepcolor.fields.frozen import Frozen, ParamValue, config_name
from deepcolor.fields.objective import Direction, Objective
from deepcolor.fields.refusal import Refusal, nearest, unknown_key, unknown_name, written
from deepcolor.stages.finding import stage_named

__all__ = [
    "INIT_REF",
    "STAGES",
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
    "StageName",
    "Sweep",
    "TrainingConfig",
    "digest_of",
    "searchable_fields",
    "unknown_name",
]

StageName = Literal["regressor", "colorizer", "transfer"]
STAGES: tuple[StageName, ...] = ("regressor", "colorizer", "transfer")
_SHA256 = re.compile("[0-9a-f]{64}")


class Setting(Frozen):
    """Everything that decides one trial's training."""

    first_fields = frozenset({"stage", "data", "model", "training", "init"})

    stage: StageName
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    init: InitConfig
    code: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of the code that it uses, by the place that it names."""

    @property
    def patience(self) -> int | None:
        """Epochs without improvement before an early stop; None when early stopping is off."""
        early = self.training.early_stopping
        on = stage_named(self.stage).stops_early if early is None else early
        return self.training.patience if on else None


class Sweep(Frozen):
    """One file under experiments/: one Optuna study, one MLflow parent run."""

    first_fields = frozenset({"study", "stage", "description", "data", "model", "training", "init", "search"})

    study: str
    """The study's name, unique in the workspace."""
    stage: StageName
    """Which of the three trainings: regressor, colorizer, transfer."""
    description: str = ""
    """Shown in MLflow and in the report."""
    data: DataConfig
    """The data set."""
    model: ModelConfig = ModelConfig()
    """The network's form."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    init: InitConfig = InitConfig()
    """What it starts from."""
    search: SearchConfig
    """What is searched, and how."""
    code: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of code of your own that the sweep names, by file or module. Filled in when the sweep is read; given, it
    is what the study began with, and the files themselves are not needed any more."""

    @field_validator("code")
    @classmethod
    def _digests(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for place, digest in value.items():
            if not _SHA256.fullmatch(digest):
                advice = "Leave code out: it is filled in."
                raise Refusal("must be a SHA-256, 64 hex digits", got=written(digest), key=place, advice=advice)
        return value

    @field_validator("study")
    @classmethod
    def _name(cls, value: str) -> str:
        return config_name(value)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for dimension in self.search.space:
            if dimension.name not in searchable_fields():
                raise unknown_key(dimension.name, searchable_fields()).below(f"search.space.{dimension.name}")
        self._check_metrics()
        self._check_ignored()
        self._check_start()
        self._check_freeze()
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
        return Objective(self.search.objective, self._directions[self.search.objective])

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
        parts = {part: getattr(self, part).model_dump() for part in SECTIONS}
        for name, value in params.items():
            parts[searchable_fields()[name]][name] = value
        return Setting(
            stage=self.stage,
            data=self.data,
            model=ModelConfig(**parts["model"]),
            training=TrainingConfig(**parts["training"]),
            init=InitConfig(**parts["init"]),
            code=self._code_of(parts),
        )

    def named(self) -> Iterator[tuple[str, str, Named]]:
        """Every value that names something, with the key it is written under, and what may be named there."""
        for section in SECTIONS.values():
            for field, named in named_fields(section):
                yield from ((key, str(value), named) for key, value in self._values(field))
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
        used = (
            named.reference(parts[part][field])
            for part, section in SECTIONS.items()
            for field, named in named_fields(section)
        )
        return {one.place: self.code[one.place] for one in used if one is not None and one.place in self.code}

    def _touches(self, field: str) -> bool:
        part = getattr(self, searchable_fields()[field])
        return field in self.search_names or getattr(part, field) != type(part).model_fields[field].default

    def _values(self, field: str) -> tuple[tuple[str, ParamValue], ...]:
        """Every value a field can take in this sweep, with the key it is written under."""
        for dimension in self.search.space:
            if dimension.name == field and isinstance(dimension, Choices):
                return tuple((f"search.space.{field}", value) for value in dimension.values)
        section = searchable_fields()[field]
        return ((f"{section}.{field}", getattr(getattr(self, section), field)),)

    @property
    def _directions(self) -> Mapping[str, Direction]:
        """The metrics that all its trainings have, and which values are the better ones."""
        return stage_named(self.stage).directions(str(loss) for _, loss in self._values("loss"))

    def _check_metrics(self) -> None:
        search, known = self.search, self._directions
        for key, metric in (("objective", search.objective), *(("watch", metric) for metric in search.watch)):
            if metric not in known:
                near = nearest(metric, known)
                advice = f"{f'Did you mean {near}? ' if near else ''}Allowed: {', '.join(known)}."
                rule = f"must be what a {self.stage} measures after every epoch"
                raise Refusal(rule, got=written(metric), advice=advice, key=f"search.{key}")
        if search.objective in search.watch:
            advice = "Leave it out of watch."
            raise Refusal("the objective is shown already", got=search.objective, key="search.watch", advice=advice)

    def _check_ignored(self) -> None:
        for field, reason in stage_named(self.stage).ignores.items():
            if self._touches(field):
                key = self._values(field)[0][0]
                raise Refusal(f"{reason}, so {field} means nothing to it", key=key, advice="Leave it out.")

    def _check_start(self) -> None:
        stage = stage_named(self.stage)
        allowed = stage.starts_from
        for key, ref in self._values("init_from"):
            if ref is None and stage.must_start:
                advice = f"Name one, such as {allowed[0]}@champion."
                raise Refusal(f"a {self.stage} starts from a model", got="null", key=key, advice=advice)
            match = INIT_REF.fullmatch(str(ref)) if ref is not None else None
            if match and match["stage"] and match["stage"] not in allowed:
                advice = f"Name one, such as {allowed[0]}@champion."
                raise Refusal(f"a {self.stage} starts from a {allowed[0]}", got=str(ref), key=key, advice=advice)

    def _check_freeze(self) -> None:
        freezing = [key for key, value in self._values("freeze") if value == "encoder"]
        random_start = any(ref is None for _, ref in self._values("init_from"))
        if freezing and random_start:
            advice = "Set init.init_from, or leave freeze out."
            raise Refusal("freezing needs weights to start from", got="init_from: null", key=freezing[0], advice=advice)


class Pipeline(Frozen):
    """The three sweeps, run in order, with a promotion after each."""

    pipeline: str
    """The pipeline's name; its summary lies in the folder of this name under studies/."""
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
        stages = [STAGES.index(sweep.stage) for sweep in self.sweeps]
        if stages != sorted(stages):
            got = ", ".join(sweep.stage for sweep in self.sweeps)
            rule = "must come in the order regressor, colorizer, transfer"
            raise Refusal(rule, got=got, key="sweeps", advice="Reorder them.")
        names = [sweep.study for sweep in self.sweeps]
        if len(set(names)) < len(names):
            rule = "each sweep needs a study name of its own"
            raise Refusal(rule, got=", ".join(names), key="sweeps", advice="Rename one of them.")
        return self


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
