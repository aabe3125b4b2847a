"""The settings that a search tries first: those of another study, and those that a study has yet to begin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepcolor.config.dimensions import covers
from deepcolor.config.first import BEST, STUDY, first_points
from deepcolor.config.schema import Params, ParamValue, Sweep
from deepcolor.errors import StudyError
from deepcolor.search.study.sizes import Fitting
from deepcolor.search.study.space import point_key, values_in
from deepcolor.search.study.trials import StoredTrial, finite, searched

if TYPE_CHECKING:
    from deepcolor.search.study.stored import StoredStudy


def study_named(first: object) -> str | None:
    """Return the study whose best trials are to be tried first, if one is named."""
    match = STUDY.fullmatch(first) if isinstance(first, str) else None
    return match["study"] if match else None


def best_of_study(sweep: Sweep, other: StoredStudy) -> tuple[Params, ...]:
    """Return the best settings of another study, by parameter, as far as a sweep may train them.

    Args:
        sweep: Its `search.first` names the study, and how many settings.
        other: That study.
    Raises:
        StudyError: None of its complete trials has a value in the space.
    """
    match = STUDY.fullmatch(str(sweep.search.first))
    limit = sweep.limit()
    most = min(int(match["best"] or BEST) if match else BEST, limit or BEST)
    grid = sweep.search.sampler == "grid"
    fitting, found = Fitting(sweep), dict[Any, Params]()
    for trial in sorted(finite(other.trials()), key=lambda trial: (trial.loss, trial.number)):
        if len(found) >= most:
            break
        setting = trial.setting(other.sweep)
        values = values_in(sweep, setting) if setting.stage == sweep.stage else trial.params
        known = {dimension.name: dimension for dimension in sweep.search.space}
        fit = {name: value for name, value in values.items() if name in known}
        fit = {name: value for name, value in fit.items() if covers(known[name], value, grid=grid)}
        fit = _with_conditions(sweep, fit)
        if fit and (not sweep.space.is_whole(fit) or fitting.fits(fit)):
            found.setdefault(point_key(first_points(sweep.space, [fit], grid=grid)[0]), fit)
    if not found:
        raise StudyError(
            f"first: a study to begin with must have complete trials in the space; got {other.name} without any. "
            f"Name another, or leave it out."
        )
    return tuple(found.values())


def first_left(sweep: Sweep, trials: Iterable[StoredTrial]) -> list[Params]:
    """Return the points that a sweep is to try first and has not begun yet, as far as they are given.

    Args:
        sweep: With what `search.first` stands for.
        trials: The study's; those that failed are tried again.
    """
    entries = sweep.search.first
    if isinstance(entries, str):
        return []
    own = [trial for trial in searched(trials) if trial.state != "failed"]
    begun, there = {trial.first for trial in own}, {point_key(trial.params) for trial in own}
    points = first_points(sweep.space, entries, grid=sweep.search.sampler == "grid")
    return [point for point in points if first_key(point) not in begun and point_key(point) not in there]


def first_key(point: Mapping[str, ParamValue]) -> str:
    """Return what a trial is marked with that tries a point, of which the sampler may have drawn a part."""
    return json.dumps(dict(point), sort_keys=True)


def _with_conditions(sweep: Sweep, values: Params) -> Params:
    """Leave out what a setting cannot have beside the values that it keeps."""
    kept: Params = {}
    for dimension in sweep.space.in_order:
        parents: Sequence[str] = [name for name in dimension.when if name in sweep.space.names]
        known = dimension.name in values and all(name in kept for name in parents)
        if known and sweep.space.is_active(dimension, kept):
            kept[dimension.name] = values[dimension.name]
    return kept
