"""Which settings keep to the constraints that are known before anything is trained: how large a model may be.

A stage says how large its models are. That follows from the form of a model, so it is asked once for each form, however
many settings have it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from deepcolor.config.constraints import KNOWN_BEFORE, MB, PARAMETERS
from deepcolor.config.schema import ParamValue, Setting, Sweep
from deepcolor.counting import counted
from deepcolor.errors import CodeError, StudyError
from deepcolor.plugins import Code
from deepcolor.search.study.space import Params, grid_points
from deepcolor.stages.session import Job, Size

DRAWS = 1000
"""How many settings are drawn for a trial before none of them is taken to fit."""
_KNOWN_FORMS = 50_000
_SIZES: dict[str, Size] = {}
"""By the form of the model, for as long as this process lives."""


def size_of(setting: Setting) -> Size:
    """Return how large the model of a setting is.

    Raises:
        CodeError: Its stage does not say it.
    """
    content = setting.model_dump(mode="json", include={"stage", "code", "data", "model"})
    key = json.dumps(content, sort_keys=True)
    if key not in _SIZES:
        if len(_SIZES) >= _KNOWN_FORMS:
            _SIZES.clear()
        _SIZES[key] = _asked(setting)
    return _SIZES[key]


def known_figures(setting: Setting) -> dict[str, float]:
    """The same by the names that a sweep calls them."""
    size = size_of(setting)
    return {PARAMETERS: float(size.parameters), MB: size.mb}


def _asked(setting: Setting) -> Size:
    job = Job(
        stage=setting.stage,
        data=setting.data,
        model=setting.model,
        training=setting.training,
        init=setting.init,
        folder=Path(),
        data_digest="",
        code=Code(setting.code),
    )
    size = setting.stage_class.size(job)
    if size is None:
        advice = "Return a Size (docs/extending.md), or leave parameters and mb out of the sweep."
        raise CodeError(f"the stage {setting.label} must say how large its models are", got="None", advice=advice)
    return size


@dataclass(frozen=True)
class LeftOut:
    """The settings of a grid that are not trained."""

    count: int
    of: int
    over: tuple[str, ...]
    """The constraints that they break."""

    def __str__(self) -> str:
        keys = ", ".join(f"search.constraints.{name}" for name in self.over)
        return f"{self.count} of {counted(self.of, 'setting')} left out: over {keys}"


@dataclass(frozen=True)
class Fitting:
    """Says which settings of a sweep are trained at all."""

    sweep: Sweep
    _smallest: dict[str, float] = field(default_factory=dict)

    @cached_property
    def bounded(self) -> bool:
        """Whether there is anything that a setting could break."""
        return any(name in self.sweep.search.constraints for name in KNOWN_BEFORE)

    def fits(self, params: Mapping[str, ParamValue]) -> bool:
        """Whether a setting may be trained."""
        return not self.bounded or not self.broken(params)

    def broken(self, params: Mapping[str, ParamValue]) -> tuple[str, ...]:
        """The constraints that a setting breaks."""
        found = known_figures(self.sweep.setting(params))
        bounds = self.sweep.search.constraints
        for name in KNOWN_BEFORE:
            self._smallest[name] = min(self._smallest.get(name, found[name]), found[name])
        return tuple(name for name in KNOWN_BEFORE if name in bounds and bounds[name].excess(found[name]) > 0)

    def none_fits(self, *, tried: str) -> StudyError:
        """Say that no setting fits, with the smallest that was seen.

        Args:
            tried: What was tried: `1000 draws`.
        """
        bounds = self.sweep.search.constraints
        keys = [name for name in KNOWN_BEFORE if name in bounds]
        smallest = ", ".join(f"{name} from {self._smallest.get(name, 0):.6g}" for name in keys)
        allowed = ", ".join(f"{name} {bounds[name]}" for name in keys)
        return StudyError(
            f"search.constraints: must leave something to train; got {allowed}, while {tried} have {smallest} (study "
            f"{self.sweep.study}). Raise the limit, or search smaller models."
        )


def fitting_points(sweep: Sweep) -> tuple[Params, ...]:
    """Return every point of a grid that may be trained, in the grid's order."""
    return _divided(sweep)[0]


def left_out(sweep: Sweep) -> LeftOut | None:
    """Return what of a grid is not trained; None if all of it is."""
    if sweep.search.sampler != "grid":
        return None
    points, over = _divided(sweep)
    count = sweep.grid_points() - len(points)
    return LeftOut(count, sweep.grid_points(), over) if count else None


def refuse_unfit(sweep: Sweep, *, draw: Callable[[], Params]) -> Sweep:
    """Return a sweep of which at least one setting may be trained.

    Args:
        sweep: To be begun.
        draw: Draws a setting at random, where there is no grid.
    Raises:
        StudyError: None of a grid fits, nor of many draws.
    """
    fitting = Fitting(sweep)
    if not fitting.bounded:
        return sweep
    if sweep.search.sampler == "grid":
        count = sweep.grid_points()
        if not any(fitting.fits(point) for point in grid_points(sweep)):
            raise fitting.none_fits(tried=f"the {counted(count, 'setting')} of the grid")
    elif not any(fitting.fits(draw()) for _ in range(DRAWS)):
        raise fitting.none_fits(tried=f"{DRAWS} draws")
    return sweep


def _divided(sweep: Sweep) -> tuple[tuple[Params, ...], tuple[str, ...]]:
    """The points of a grid that fit, and the constraints that the others break."""
    if not Fitting(sweep).bounded:
        return grid_points(sweep), ()
    parts = {"stage", "code", "data", "model", "training", "init"}
    known = sweep.model_dump_json(include=parts), sweep.search.model_dump_json(include={"space", "constraints"})
    return _divided_once(*known, _Hidden(sweep))


@dataclass(frozen=True)
class _Hidden:
    """A sweep that is compared by nothing: what is known of it stands beside it."""

    sweep: Sweep = field(compare=False, hash=False)


@lru_cache(maxsize=8)
def _divided_once(_parts: str, _search: str, of: _Hidden) -> tuple[tuple[Params, ...], tuple[str, ...]]:
    fitting = Fitting(of.sweep)
    fields = of.sweep.stage_class.searchable_fields()
    known: dict[str, tuple[str, ...]] = {}
    kept, over = [], Counter[str]()
    for point in grid_points(of.sweep):
        # What is not of the model changes nothing about its size, and a setting takes longer to make than to look up.
        form = repr([(name, value) for name, value in of.sweep.fields_of(point).items() if fields.get(name) == "model"])
        if form not in known:
            known[form] = fitting.broken(point)
        over.update(known[form])
        if not known[form]:
            kept.append(point)
    return tuple(kept), tuple(name for name in KNOWN_BEFORE if over[name])
