"""The frozen models a sweep or pipeline file is parsed into; nothing further in ever sees a dict.

A *setting* is what one trial trains: the sweep with one value for every searched parameter. Its sections `data`,
`model`, `training` and `init` are those that its stage says; every field of the last three can be searched under its
own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial, reduce
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self, SupportsIndex

from pydantic import Field, PrivateAttr, SerializeAsAny, ValidationInfo, field_validator, model_validator

from deepcolor.config.aims import check_aims, directed
from deepcolor.config.choice import Choice
from deepcolor.config.choosing import AUTO, chosen_sampler
from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.constraints import Bound
from deepcolor.config.dimensions import STAGE, Bundle, Choices, Dimension, Range
from deepcolor.config.first import STUDY, first_points
from deepcolor.config.points import MOST_COUNTED, Params, Space
from deepcolor.config.sections import AugmentConfig, DataConfig, InitConfig, ModelConfig, TrainingConfig
from deepcolor.config.space import MOST_GRID_POINTS, SearchConfig
from deepcolor.config.stopping import BudgetConfig, Limit, PrunerConfig, StopConfig
from deepcolor.errors import CodeError
from deepcolor.fields.frozen import Frozen, ParamValue, config_name, digest_of
from deepcolor.fields.named import PRUNERS, Named, named_fields
from deepcolor.fields.objective import DEFAULT_OBJECTIVE, Better, Direction, Nearest, Objective
from deepcolor.fields.refusal import Refusal, unknown_key, unknown_name, written
from deepcolor.plugins import folders, look_in
from deepcolor.stages.contract import AUGMENT, Stage, UnknownStage
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
    "Bound",
    "BudgetConfig",
    "Bundle",
    "Choice",
    "Choices",
    "ConfirmConfig",
    "DataConfig",
    "Dimension",
    "InitConfig",
    "Limit",
    "ModelConfig",
    "ParamValue",
    "Params",
    "Pipeline",
    "PrunerConfig",
    "Range",
    "SearchConfig",
    "Setting",
    "Space",
    "StopConfig",
    "Sweep",
    "TrainingConfig",
    "digest_of",
    "unknown_name",
]

_SHA256 = re.compile("[0-9a-f]{64}")
_PARTS = ("data", "model", "training", "init")
_MOST_FORMS = 64
_MOST_CASES = 2000
"""Combinations of what conditions connect that a stage is asked about."""
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
    _said: tuple[str, ...] = PrivateAttr(default=())

    @property
    def said(self) -> tuple[str, ...]:
        """What its reader should tell of how it was read."""
        return self._said

    def saying(self, *said: str) -> Self:
        """Return the sweep with something to tell of how it was read."""
        copy = self.model_copy()
        copy._said = said  # noqa: SLF001  # a copy of its own
        return copy

    @field_validator("study")
    @classmethod
    def _name(cls, value: str) -> str:
        return config_name(value)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self._check_space()
        self._check_first()
        self._check_metrics()
        self._check_ignored()
        self._check_start()
        for case in islice(self.space.cases(also=self._bundles), _MOST_CASES):
            self.stage_class.check(partial(self._values, case=case))
        if self.study in self.search.warm_start:
            advice = "Leave it out: its own trials are always learnt from."
            raise Refusal("a study cannot start from itself", got=self.study, key="search.warm_start", advice=advice)
        if self.search.confirm is not None and self.training.seed + self.search.confirm.seeds >= 2**31:
            rule = "must leave room below 2147483648 for the seeds of search.confirm"
            raise Refusal(rule, got=str(self.training.seed), key="training.seed", advice="Choose a smaller seed.")
        return self

    @property
    def objective(self) -> Objective:
        """What the search optimises, with the direction that its stage says; of several, the first."""
        return self.objectives[0]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All that the search optimises, in order."""
        search, known = self.search, directed({**self._directions, **self.final_metrics})
        asked: tuple[Direction | None, ...] = search.directions or (None,) * len(search.objectives)
        return tuple(
            Objective(metric, direction or known.get(metric) or "minimize")
            for metric, direction in zip(search.objectives, asked, strict=False)
        )

    @property
    def space(self) -> Space:
        """What is searched, and what every field has where it is not."""
        return Space(self.search.space, self._own)

    @property
    def search_names(self) -> tuple[str, ...]:
        """The searched parameters, as written."""
        return tuple(dimension.name for dimension in self.search.space)

    @property
    def searched_fields(self) -> frozenset[str]:
        """The fields that a search gives values to."""
        return frozenset(field for dimension in self.search.space for field in dimension.sets)

    @property
    def most_epochs(self) -> int:
        """Epochs of the longest trial this sweep can have."""
        return max(int(value) for value in self.values_of("epochs") if isinstance(value, int | float))

    def values_of(self, field: str) -> tuple[ParamValue, ...]:
        """Return every value that a field can take in this sweep; of a range, its ends."""
        return tuple(value for _, value in self._values(field))

    def limit(self) -> int | None:
        """How many trials the study will have; None when only its budget ends it."""
        limits = (
            self.grid_points() if self.sampler == "grid" else self.search.trials,
            self.search.budget.trials,
        )
        return min((limit for limit in limits if limit is not None), default=None)

    def grid_points(self) -> int:
        """How many settings a grid over this space has; 1 when nothing is searched."""
        return self.space.count()

    @property
    def sampler(self) -> str:
        """The sampler that the search would have, if it began now."""
        return self._chosen_sampler[0]

    @property
    def _chosen_sampler(self) -> tuple[str, str]:
        search = self.search
        if search.sampler != AUTO:
            return search.sampler, ""
        limits = (limit for limit in (search.trials, search.budget.trials) if limit is not None)
        return chosen_sampler(self.space, trials=min(limits, default=None), objectives=_count(search.objective))

    def with_sampler(self, before: Sweep | None = None) -> Sweep:
        """Return the sweep with the sampler that is chosen for it, if it leaves that open.

        Args:
            before: What its study ran until now. Its sampler is kept, but for a grid that has become too large.
        """
        if self.search.sampler != AUTO:
            return self
        name = self.sampler
        if before is not None and before.search.sampler not in ("grid", AUTO):
            name = before.search.sampler  # A grid is chosen again: it may have become larger than what is asked for.
        # A grid has as many trials as points, learns nothing, and tries all of them.
        without: dict[str, Any] = {"trials": None, "warm_start": (), "stop": None} if name == "grid" else {}
        return self.model_copy(update={"search": self.search.model_copy(update={"sampler": name, **without})})

    def why_sampler(self) -> str:
        """Say which sampler is chosen and why, where the sweep leaves that open; else nothing."""
        name, why = self._chosen_sampler
        return f"the sampler chosen is {name}: {why}" if why else ""

    def settled(self, before: Sweep | None = None) -> Sweep:
        """Return the sweep with its sampler and what its pruner does by default written out, so that they stay when the
        study grows.

        Args:
            before: What the study ran until now; where that had a pruner, its rungs are kept unless others are given.
        """
        if self.search.sampler == AUTO:
            return self.with_sampler(before).settled(before)
        had = before.search.pruner if before is not None and before.search.pruner.name != "none" else None
        pruner = self.search.pruner.settled(had, most_epochs=self.most_epochs)
        if pruner == self.search.pruner:
            return self
        return self.model_copy(update={"search": self.search.model_copy(update={"pruner": pruner})})

    def setting(self, params: Mapping[str, ParamValue]) -> Setting:
        """Put the parameters of a trial into place; a field that none of them sets keeps the sweep's own value.

        Args:
            params: Values by parameter, as an Optuna trial holds them.
        Raises:
            pydantic.ValidationError: A value is outside of what its field allows.
        """
        stage = self.stage_class
        sections, fields = stage.sections(), stage.searchable_fields()
        parts = {part: getattr(self, part).model_dump() for part in sections}
        augment: dict[str, ParamValue] = {}
        for name, value in self.fields_of(params).items():
            part = fields.get(name, "training")
            if part == AUGMENT:
                augment[name] = value
            else:
                parts[part][name] = value
        made: dict[str, Any] = {part: section(**parts[part]) for part, section in sections.items()}
        return Setting(stage=self.stage, code=self._code_of(parts), data=self._data_with(augment), **made)

    @property
    def data_forms(self) -> tuple[DataSection, ...]:
        """The forms of its data that its trials train on: the sweep's own, if that is one of them, comes first."""
        fields = {name for name, part in self.stage_class.searchable_fields().items() if part == AUGMENT}
        names = [dimension.name for dimension in self.search.space if fields & set(dimension.sets)]
        if not names:
            return (self.data,)
        points = self.space.combinations(names)
        searched = (self.fields_of(point) for point in islice(points, MOST_COUNTED))
        found = [self._data_with({name: each[name] for name in each if name in fields}) for each in searched]
        forms = {data.form: data for data in found}
        return tuple(sorted(forms.values(), key=lambda data: data.form != self.data.form))

    def _data_with(self, augment: Mapping[str, ParamValue]) -> Any:
        """Its data section, augmented in another way."""
        if not augment:
            return self.data
        own = self.data.augment
        changed = type(own).model_validate({**own.model_dump(), **augment})
        return self.data.model_copy(update={"augment": changed})

    def fields_of(self, params: Mapping[str, ParamValue]) -> Params:
        """Return the fields that the parameters of a trial set: a label's own, else the one of the parameter's name."""
        bundles = {each.name: each.members for each in self.search.space if isinstance(each, Bundle)}
        found: Params = {}
        for name, value in params.items():
            found |= bundles[name][str(value)] if name in bundles else {name: value}
        return found

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

    def values(self, field: str) -> tuple[tuple[str, ParamValue], ...]:
        """Return every value that a field can take, with the key it is written under; none for an unknown field."""
        return self._values(field)

    def with_values(self, part: str, field: str, replaced: Mapping[str, ParamValue]) -> Self:
        """Return the sweep with other values in the place of some of a field's.

        Args:
            part: The field's section, `model`, `training` or `init`.
            field: Its name.
            replaced: The new values, by the old ones, which are text.
        """

        def new(value: Any) -> Any:
            return replaced.get(value, value) if isinstance(value, str) else value

        section = getattr(self, part)
        space = tuple(
            each.model_copy(update={"values": tuple(map(new, each.values))})
            if each.name == field and isinstance(each, Choices)
            else each
            for each in self.search.space
        )
        return self.model_copy(
            update={
                part: section.model_copy(update={field: new(getattr(section, field))}),
                "search": self.search.model_copy(update={"space": space}),
            }
        )

    def make_ready(self, root: Path) -> None:
        """Fetch what its trainings need beside their data; see `Stage.make_ready`."""
        self.stage_class.make_ready(self._values, root=root)

    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides the search's outcome; what follows the search, and the description,
        are no part of it.
        """
        content = self.identity()
        search = {key: value for key, value in content["search"].items() if key not in {"confirm", "choose"}}
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
        part = self._part(self.stage_class.searchable_fields()[field])
        return field in self.searched_fields or getattr(part, field) != type(part).model_fields[field].default

    def _own(self, name: str) -> ParamValue:
        """What a field has where it is not searched; nothing, if there is no such field."""
        section = self.stage_class.searchable_fields().get(name)
        value: ParamValue = getattr(self._part(section), name, None) if section else None
        return value

    def _part(self, dotted: str) -> Any:
        return reduce(getattr, dotted.split("."), self)

    @property
    def _bundles(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.search.space if isinstance(dimension, Bundle))

    def _values(self, field: str, case: Mapping[str, ParamValue] | None = None) -> tuple[tuple[str, ParamValue], ...]:
        """Every value a field can take in this sweep, with the key it is written under; none for an unknown field.

        Args:
            field: Its name.
            case: The values of some parameters, by `Space.cases`, to tell what a field can be beside them;
                None tells nothing apart.
        """
        section = self.stage_class.searchable_fields().get(field)
        own = ((f"{section}.{field}", self._own(field)),) if section else ()
        setter = next((dimension for dimension in self.search.space if field in dimension.sets), None)
        if setter is None:
            return own
        told = {each.name for each in self.space.coupled} | set(self._bundles)
        if case is not None and setter.name in told and setter.name not in case:
            return own
        values = (case[setter.name],) if case and setter.name in case else setter.ends
        found = tuple(_set_by(setter, field, value) for value in values)
        may_keep = bool(setter.when) and case is None
        return (*(one for one in found if one is not None), *(own if may_keep or None in found else ()))

    @property
    def _directions(self) -> Mapping[str, Better | None]:
        """The metrics that all its trainings have, and which values are the better ones."""
        fields = [name for name in type(self.training).model_fields if name in self.searched_fields]
        # Each field by itself: what all of them have is what the trainings with any combination have.
        trainings = [self.training] if not fields else []
        trainings += [
            self.training.model_copy(update={name: value}) for name in fields for value in self.values_of(name)
        ]
        return self.stage_class.directions(trainings)

    def _check_space(self) -> None:
        """Refuse a space that names what is not there, or that no grid can go through."""
        fields, search = self.stage_class.searchable_fields(), self.search
        if self.stage_class is UnknownStage:
            return
        for dimension in search.space:
            if not isinstance(dimension, Bundle) and dimension.name not in fields:
                raise unknown_key(dimension.name, fields).below(f"search.space.{dimension.name}")
        try:
            self.space.check(fields=fields)
        except Refusal as refusal:
            raise refusal.below("search.space") from None
        self._check_forms(fields)
        if self.sampler == "grid" and (count := self.grid_points()) > MOST_GRID_POINTS:
            advice = "Search fewer values, or choose the sampler tpe or random."
            rule = f"a grid may have {MOST_GRID_POINTS} points at most"
            got = f"at least {count}" if count >= MOST_COUNTED and self.space.coupled else str(count)
            raise Refusal(rule, got=got, advice=advice, key="search.space")

    def _check_forms(self, fields: Mapping[str, str]) -> None:
        """Refuse more forms of the data than can be decoded."""
        for dimension in self.search.space:
            searched = [field for field in dimension.sets if fields.get(field) == AUGMENT]
            if searched and isinstance(dimension, Range) and dimension.step is None:
                rule, advice = "pictures are decoded for each of its values", "Write a list, or add a step."
                raise Refusal(rule, got="a range without steps", key=f"search.space.{dimension.name}", advice=advice)
            if searched and isinstance(dimension, Range) and dimension.points() > _MOST_FORMS:
                rule, got = f"pictures may be decoded in {_MOST_FORMS} forms at most", str(dimension.points())
                raise Refusal(rule, got=got, key=f"search.space.{dimension.name}", advice="Choose a larger step.")
        if (count := len(self.data_forms)) > _MOST_FORMS:
            rule = f"pictures may be decoded in {_MOST_FORMS} forms at most"
            raise Refusal(rule, got=str(count), key="search.space", advice="Search fewer values of data.augment.")

    def _check_first(self) -> None:
        first, limit = self.search.first, self.limit()
        if isinstance(first, str):
            named = STUDY.fullmatch(first)
            if named is not None and named["study"] == self.study:
                advice = "Leave it out: what it has tried is known."
                raise Refusal("a study cannot begin with its own trials", got=first, key="search.first", advice=advice)
            return
        try:
            first_points(self.space, first, grid=self.sampler == "grid")
        except Refusal as refusal:
            raise refusal.below("search.first") from None
        if limit is not None and len(first) > limit:
            rule, got = f"must be no more settings than the study has trials ({limit})", str(len(first))
            advice = "Leave some out (FILE.csv#3 takes the first 3 rows), or ask for more trials."
            raise Refusal(rule, got=got, key="search.first", advice=advice)

    def _check_metrics(self) -> None:
        if self.stage_class is not UnknownStage:
            check_aims(self, epoch=self._directions)

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


def _set_by(dimension: Dimension, field: str, value: ParamValue) -> tuple[str, ParamValue] | None:
    """What a value of a parameter makes of a field, with its key; None where a label leaves it as it is."""
    key = f"search.space.{dimension.name}"
    if not isinstance(dimension, Bundle):
        return key, value
    fields = dimension.members[str(value)]
    return (f"{key}.values.{value}.{field}", fields[field]) if field in fields else None


def _count(objective: object) -> int:
    return len(objective) if isinstance(objective, tuple | list) else 1


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
