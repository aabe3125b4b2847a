"""The frozen models a sweep or pipeline file is parsed into; nothing further in ever sees a dict.

A *setting* is what one trial trains: the sweep with one value for every searched parameter. Its sections `data`,
`model`, `training` and `init` are those that its stage says; every field of the last three can be searched under its
own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, SerializeAsAny, field_validator, model_validator

from deepcolor.config.aims import directed
from deepcolor.config.choice import Choice
from deepcolor.config.choosing import AUTO, chosen_sampler
from deepcolor.config.confirm import ConfirmConfig
from deepcolor.config.constraints import Bound
from deepcolor.config.dimensions import Bundle, Choices, Dimension, Range
from deepcolor.config.points import MOST_COUNTED, Params, Space
from deepcolor.config.possible import check_possible
from deepcolor.config.sections import AugmentConfig, DataConfig, InitConfig, ModelConfig, TrainingConfig
from deepcolor.config.setting import Setting, Staged
from deepcolor.config.space import SearchConfig
from deepcolor.config.stopping import BudgetConfig, Limit, PrunerConfig, StopConfig
from deepcolor.fields.frozen import Frozen, ParamValue, config_name, digest_of
from deepcolor.fields.named import PRUNERS, Named, named_fields
from deepcolor.fields.objective import Better, Direction, Objective
from deepcolor.fields.refusal import Refusal, unknown_name
from deepcolor.stages.contract import AUGMENT
from deepcolor.stages.finding import SHIPPED, STAGES, stage_of
from deepcolor.stages.sections import (
    INIT_REF,
    DataSection,
    InitSection,
    ModelSection,
    TrainingSection,
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

_MOST_CASES = 2000
"""Combinations of what conditions connect that a stage is asked about."""


class Sweep(Staged):
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
        check_possible(self)
        return self

    @property
    def objective(self) -> Objective:
        """What the search optimises, with the direction that its stage says; of several, the first."""
        return self.objectives[0]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All that the search optimises, in order."""
        search, known = self.search, directed({**self.directions, **self.final_metrics})
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
        return tuple(value for _, value in self.values(field))

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
                for key, value in self.values(field):
                    yield from ((key, str(each), named) for each in _each(value))
        for field, named in named_fields(SearchConfig):
            yield f"search.{field}", getattr(self.search, field), named
        yield "search.pruner.name", self.search.pruner.name, PRUNERS

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
        self.stage_class.make_ready(self.values, root=root)

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

    def touches(self, field: str) -> bool:
        """Whether a field is searched, or has another value than its default."""
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

    def cases(self) -> Iterator[Params]:
        """Go through the combinations of what conditions and labels connect, as far as there are not too many."""
        return islice(self.space.cases(also=self._bundles), _MOST_CASES)

    def values(self, field: str, case: Mapping[str, ParamValue] | None = None) -> tuple[tuple[str, ParamValue], ...]:
        """Every value a field can take in this sweep, with the key it is written under; none for an unknown field.

        Args:
            field: Its name.
            case: The values of some parameters, by `Space.cases`, to tell what a field can be beside them;
                None tells nothing apart.
        """
        section = self.stage_class.searchable_fields().get(field)
        if section is None and field in type(self.data).model_fields:
            return ((f"data.{field}", getattr(self.data, field)),)
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
    def directions(self) -> Mapping[str, Better | None]:
        """The metrics that all its trainings have, and which values are the better ones."""
        fields = [name for name in type(self.training).model_fields if name in self.searched_fields]
        # Each field by itself: what all of them have is what the trainings with any combination have.
        trainings = [self.training] if not fields else []
        trainings += [
            self.training.model_copy(update={name: value}) for name in fields for value in self.values_of(name)
        ]
        return self.stage_class.directions(trainings)


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
