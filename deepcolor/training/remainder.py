"""How much of a training the store can give back, so that it need not be done again. No torch: plans ask here too."""

from __future__ import annotations

from collections.abc import Iterable

from deepcolor.training.checkpoint import records
from deepcolor.training.result_files import read_result
from deepcolor.training.trajectory import TrajectoryPaths, View


def resumable_epochs(paths: TrajectoryPaths, view: View | None, final_metrics: Iterable[str]) -> int:
    """Return the epoch from which a training would go on towards the weights of a view.

    A history alone gives no weights: where the checkpoints were collected, or lie beyond the view, this is less than
    the history is long.

    Args:
        paths: Of the trajectory.
        view: None while the trajectory has not been trained that far.
        final_metrics: Names of those of its stage.
    Returns:
        The view's chosen epoch where nothing has to be trained for its weights, 0 where everything has to be.
    """
    if view is not None and (view.diverged or read_result(paths.result(view), final_metrics) is not None):
        return view.chosen_epoch
    for record in records(paths):  # The furthest one first.
        if view is None or record.epoch <= view.chosen_epoch:
            return record.epoch
        if record.best_epoch == view.chosen_epoch:
            return view.chosen_epoch
    return 0
