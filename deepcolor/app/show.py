"""One trial: what it was given, what it came to, its curve, and where its pictures are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.naming import Named
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.trials import StoredTrial

_PICTURES = (".png", ".jpg", ".webp")


@dataclass(frozen=True)
class ShownTrial:
    """A trial, as somebody looks at it."""

    name: Named
    trial: StoredTrial
    state: str
    """As `deepcolor studies` says it."""
    objectives: tuple[str, ...]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    """(epoch, value) of each metric that was recorded while it trained, its first objective before the others."""
    pictures: tuple[Path, ...]
    """The files of its pictures, its contact sheet first."""
    result: Path | None
    """The folder of its result; None while it has none, or where a clean-up has removed it."""
    traceback: Path | None
    """The file with the end of its traceback, where it has failed."""

    @property
    def figures(self) -> dict[str, float]:
        """What it came to beside its value, by name."""
        done = self.trial.outcome
        known = done.known if done else {}
        return {name: value for name, value in known.items() if name != self.objectives[0]}

    def as_dict(self) -> dict[str, Any]:
        """The trial as a JSON object."""
        trial, view, confirms = self.trial, self.trial.outcome and self.trial.outcome.view, self.trial.confirms
        return {
            "study": self.name.study,
            "trial": trial.number,
            "state": self.state,
            "objective": self.objectives[0],
            "value": trial.latest,
            "params": trial.params,
            "figures": self.figures,
            "confirms": vars(confirms) if confirms else None,
            "chosen_epoch": view.chosen_epoch if view else None,
            "end_epoch": view.end_epoch if view else None,
            "curves": {name: [list(point) for point in points] for name, points in self.curves.items()},
            "pictures": [str(file) for file in self.pictures],
            "result": str(self.result) if self.result else None,
            "trajectory": trial.place.trajectory if trial.place else None,
            "breaks": list(trial.breaks),
            "error": trial.error,
            "traceback": str(self.traceback) if self.traceback else None,
        }


def show_trial(workspace: Workspace, name: str, *, reporter: Reporter = SILENT) -> ShownTrial:
    """Return a trial as it is stored now; a study stands for its best trial.

    Args:
        workspace: Where its study is.
        name: `STUDY#NUMBER`, or `STUDY`.
        reporter: Is told what takes long.
    Raises:
        StudyError: There is no such study or trial, or the study has no best trial yet.
    """
    named = Named.of(name)
    with reporter.starting("show") as steps:
        steps.step(f"reading {named.study}")
        from deepcolor.app.studies import standing_of
        from deepcolor.search.study.starts import failure_file

        standing = standing_of(workspace, named.study)
    named = replace(named, study=standing.study.name)
    trial = standing.best if named.trial is None else named.among(standing.trials)
    if trial is None:
        raise StudyError(f"study: must have a best trial; got none yet of {named.study}. Name one: {named.study}#0.")
    result = workspace.trajectories / trial.outcome.result if trial.outcome and trial.outcome.result else None
    result = result if result is not None and result.is_dir() else None
    traceback = failure_file(workspace.study(named.study), trial.number)
    objectives = tuple(standing.study.sweep.search.objectives)
    return ShownTrial(
        Named(named.study, trial.number),
        trial,
        standing.state(trial),
        objectives,
        _curves(workspace, trial, first=objectives[0]),
        _pictures(result) if result else (),
        result,
        traceback if traceback.is_file() else None,
    )


def picture_codes(file: Path, *, environment: Mapping[str, str], most_px: int = 1200) -> str | None:
    """Return what to print for the terminal to show a picture; None where it cannot, as far as is known.

    Args:
        file: The picture.
        environment: Of the terminal: variables such as TERM.
        most_px: Its longest side; a larger one is made smaller.
    """
    from deepcolor.report.inline import escape_codes, protocol_of

    protocol = protocol_of(environment)
    if protocol is None:
        return None
    try:
        return escape_codes(file, protocol=protocol, most_px=most_px)
    except OSError:
        return None  # Its path is shown, and whoever opens that will see why.


def _curves(workspace: Workspace, trial: StoredTrial, *, first: str) -> dict[str, tuple[tuple[int, float], ...]]:
    from deepcolor.training.checkpoint import read_history
    from deepcolor.training.trajectory import TrajectoryPaths

    if trial.place is None:
        return {}
    rows = read_history(TrajectoryPaths(workspace.trajectories, trial.place.trajectory))
    rows = rows[: trial.outcome.view.end_epoch] if trial.outcome else rows
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    order = sorted(names, key=lambda name: name != first)
    return {name: tuple((row.epoch, row.metrics.get(name, math.nan)) for row in rows) for name in order}


def _pictures(folder: Path) -> tuple[Path, ...]:
    files = (path for path in folder.iterdir() if path.suffix in _PICTURES and path.is_file())
    return tuple(sorted(files, key=lambda path: (path.stem != "samples", path.name)))
