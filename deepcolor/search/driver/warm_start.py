"""Offer the finished trials of other studies to the sampler, as far as they are informative for this study's space."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deepcolor.config.schema import Setting
from deepcolor.errors import DeepcolorError
from deepcolor.search.study.space import misfits, params_of
from deepcolor.search.study.stored import StoredStudy
from deepcolor.search.study.trials import searched


def offer(study: StoredStudy, others: Sequence[StoredStudy], *, trajectory_of: Callable[[Setting], str]) -> int:
    """Add new complete trials of other studies, and return how many the sampler learns from in total.

    A trial is informative if its setting would be the same training in this study: the same stage, data, starting
    weights and objective, fixed fields included, at a point that the space covers.

    Args:
        study: The study that learns.
        others: The studies it learns from.
        trajectory_of: The digest of the trajectory that a setting has in this study.
    """
    sweep, there = study.sweep, study.foreign
    points = {repr(sorted(trial.params.items())) for trial in study.trials()}
    for other in others:
        if other.sweep.search.objectives != sweep.search.objectives:
            continue
        for trial in searched(other.trials()):
            if trial.state != "complete" or trial.value is None or trial.place is None:
                continue
            origin = (other.name, trial.number)
            setting = trial.setting(other.sweep)
            if any((name, trial.number) in there for name in other.names) or misfits(sweep, setting):
                continue
            params = params_of(sweep, setting)
            if repr(sorted(params.items())) in points or _digest(trajectory_of, setting) != trial.place.trajectory:
                continue
            study.add_foreign(params, trial.values, sweep.search, origin=origin, figures=trial.figures)
            there.add(origin)
    return len(there)


def _digest(trajectory_of: Callable[[Setting], str], setting: Setting) -> str | None:
    try:
        return trajectory_of(setting)
    except DeepcolorError:
        return None  # Its starting weights are gone, so it cannot be the same training.
