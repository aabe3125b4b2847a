"""Studies or trials beside each other: what differs between their settings, what they gave, what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepcolor.app.naming import Named, say_name
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.studies import Standing
    from deepcolor.search.study.trials import StoredTrial

MOST = 8
"""What can be compared at once: more would not fit beside each other."""
_OWN = ("study", "description")
"""Keys of a sweep that differ between any two."""


@dataclass(frozen=True)
class Side:
    """One of those that are compared."""

    name: Named
    trial: StoredTrial | None
    """The one that is named, or the best of the study; None while that has none."""
    objectives: tuple[str, ...]
    data_digest: str
    """Of what it was trained on; empty where nothing says so."""
    asked: Mapping[str, Any]
    """The keys of its sweep, flat; of a single trial none."""
    setting: Mapping[str, Any]
    """The fields of its trial's setting, flat."""
    figures: Mapping[str, float]
    """What its trial came to, by name, its objectives first."""
    seeds: tuple[float, float, int] | None
    """Mean and standard deviation of its setting under other seeds, and how many these were."""
    cost: Mapping[str, float]
    """What it cost, by name: counts, and seconds under names that end in `_s`."""

    def as_dict(self) -> dict[str, Any]:
        """The side as a JSON object."""
        mean, std, count = self.seeds or (None, None, 0)
        return {
            "name": str(self.name),
            "study": self.name.study,
            "trial": self.trial.number if self.trial else None,
            "objectives": list(self.objectives),
            "figures": dict(self.figures),
            "other_seeds": {"mean": mean, "std": std, "seeds": count} if count else None,
            "cost": dict(self.cost),
        }


@dataclass(frozen=True)
class Comparison:
    """What several studies or trials have beside each other."""

    sides: tuple[Side, ...]
    warnings: tuple[str, ...] = ()
    """Why their figures may not be compared, a line each."""
    asked: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Keys of their sweeps that differ, with the value of each side; None where it has no such key."""
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """The same for the settings of their trials."""

    def as_dict(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        differs = {"sweep": self.asked, "setting": self.settings}
        return {
            "compared": [side.as_dict() for side in self.sides],
            "differs": {name: {key: list(row) for key, row in rows.items()} for name, rows in differs.items()},
            "warnings": list(self.warnings),
        }


def compare(workspace: Workspace, names: Sequence[str], *, reporter: Reporter = SILENT) -> Comparison:
    """Compare studies or single trials; a study stands for its best trial.

    Args:
        workspace: Where the studies are.
        names: Two or more of `STUDY` or `STUDY#NUMBER`.
        reporter: Is told what is being read, where that takes a while.
    Raises:
        StudyError: There is no such study or trial; or there are too few or too many.
    """
    named = [Named.of(name) for name in dict.fromkeys(names)]
    if not 2 <= len(named) <= MOST:
        raise StudyError(
            f"compare: must be of 2 to {MOST} different studies or trials; got {len(named)}. "
            "Name a trial as STUDY#NUMBER."
        )
    found = []
    with reporter.starting("compare") as steps:
        for name in named:
            steps.step(f"reading {name}")
            found.append(_side(workspace, name))
            say_name(name.study, found[-1].name.study, reporter.note)
    sides = tuple(found)
    all_studies = all(name.trial is None for name in named)
    return Comparison(
        sides,
        tuple(_warnings(sides)),
        asked=_differing([side.asked for side in sides]) if all_studies else {},
        settings=_differing([side.setting for side in sides if side.trial], of=[bool(side.trial) for side in sides]),
    )


def _side(workspace: Workspace, name: Named) -> Side:
    from deepcolor.app.studies import standing_of
    from deepcolor.search.study.starts import read_start

    standing = standing_of(workspace, name.study)
    name = replace(name, study=standing.study.name)
    trial = standing.best if name.trial is None else name.among(standing.trials)
    sweep = standing.study.sweep
    start = read_start(workspace.study(name.study))
    digest = (trial.place.data if trial and trial.place else None) or (start.provenance.data_digest if start else "")
    # What is searched has no value of the sweep's own: its space says what it can be.
    unused = {*_OWN, *(f"{part}.{name}" for part in ("data", "model", "training") for name in sweep.searched_fields)}
    asked = {key: value for key, value in _flat(sweep.model_dump(mode="json")) if key not in unused}
    return Side(
        name,
        trial,
        objectives=tuple(sweep.search.objectives),
        data_digest=digest,
        asked=asked if name.trial is None else {},
        setting=dict(_flat(trial.setting(sweep).model_dump(mode="json"))) if trial else {},
        figures=_figures(trial, sweep.search.objectives) if trial else {},
        seeds=_seeds(standing, trial) if trial else None,
        cost=_cost_of_study(standing) if name.trial is None else _cost_of_trial(workspace, trial),
    )


def _figures(trial: StoredTrial, objectives: Sequence[str]) -> dict[str, float]:
    value, done = trial.latest, trial.outcome
    known = done.known if done else {}
    first = {} if value is None else {objectives[0]: value}
    return {**first, **{name: number for name, number in known.items() if name != objectives[0]}}


def _seeds(standing: Standing, trial: StoredTrial) -> tuple[float, float, int] | None:
    """What other seeds said of a trial's setting."""
    settings = standing.confirmation.settings if standing.confirmation else ()
    found = next((one for one in settings if one.trial == trial.number and one.values), None)
    return (found.mean, found.std, len(found.values)) if found else None


def _cost_of_study(standing: Standing) -> dict[str, float]:
    from deepcolor.search.rules.summary import shares, summarise
    from deepcolor.search.study.trials import searched

    spent = standing.study.spent
    told = summarise(
        standing.study.name, standing.trials, interrupted=False, trained_now=0, wall_s=spent.wall_s, epoch_s={}
    )
    again = len(standing.trials) - len(searched(standing.trials))
    return {
        "trials": told.trials,
        "trials that failed": told.failed,
        "trials that were pruned": told.pruned,
        "trainings under other seeds": again,
        "epochs asked for": told.requested_epochs,
        "epochs trained": told.trained_epochs,
        "trajectories": len({share.trajectory for share in shares(standing.trials)}),
        "wall_s": spent.wall_s,
        **({"gpu_s": spent.gpu_s} if spent.gpu_s else {}),
    }


def _cost_of_trial(workspace: Workspace, trial: StoredTrial | None) -> dict[str, float]:
    from deepcolor.training.checkpoint import read_history
    from deepcolor.training.trajectory import TrajectoryPaths

    if trial is None or trial.place is None:
        return {}
    end = trial.outcome.view.end_epoch if trial.outcome else max(trial.reached, default=0)
    rows = read_history(TrajectoryPaths(workspace.trajectories, trial.place.trajectory))[:end]
    return {"epochs trained": end, **({"training_s": sum(row.epoch_s for row in rows)} if rows else {})}


def _warnings(sides: Sequence[Side]) -> Iterator[str]:
    """Why figures of one side say nothing about another's."""
    if len({side.objectives for side in sides}) > 1:
        told = "; ".join(f"{side.name}: {', '.join(side.objectives)}" for side in sides)
        yield f"they were searched for different objectives ({told})"
    if len({side.data_digest for side in sides if side.data_digest}) > 1:
        yield "they were trained and validated on different pictures, or on these in another form"
    for side in sides:
        if side.trial is None:
            yield f"{side.name} has no best trial yet"


def _differing(sides: Sequence[Mapping[str, Any]], *, of: Sequence[bool] | None = None) -> dict[str, tuple[Any, ...]]:
    """The keys under which mappings differ; with `of`, None in the places of those that are not there."""
    there = [True] * len(sides) if of is None else of
    keys = dict.fromkeys(key for side in sides for key in side)
    found: dict[str, tuple[Any, ...]] = {}
    for key in keys:
        values = [side.get(key) for side in sides]
        if any(value != values[0] for value in values):
            given = iter(values)
            found[key] = tuple(next(given) if is_there else None for is_there in there)
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by their dotted keys; lists are leaves."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
