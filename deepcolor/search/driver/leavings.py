"""What a driver and its workers were writing when they were killed: removed by the next driver of their study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deepcolor.atomic import remove_left_behind
from deepcolor.search.study.trials import StoredTrial
from deepcolor.training.trajectory import TrajectoryPaths


def clear_up(folders: Iterable[Path], store: Path, trials: Iterable[StoredTrial]) -> None:
    """Remove half-written files of dead processes; those of living ones, and of other machines, are left to `gc`.

    Args:
        folders: The study's own folder, and that of its report.
        store: Holds the trajectories.
        trials: The study's trials; only unfinished ones can have left anything.
    """
    for folder in folders:
        remove_left_behind(folder)
    for trial in trials:
        if not trial.finished and trial.place is not None:
            paths = TrajectoryPaths(store, trial.place.trajectory)
            for folder in (paths.folder, paths.checkpoints, paths.results, paths.samples):
                remove_left_behind(folder)
