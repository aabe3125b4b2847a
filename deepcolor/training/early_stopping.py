"""Decide, from a history alone, how far a trial looks and which epoch it takes. Pure: the worker and the driver both
ask here.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.fields.objective import Objective
from deepcolor.training.trajectory import EpochMetrics, View


def view_of(history: Sequence[EpochMetrics], *, epochs: int, patience: int | None, objective: Objective) -> View | None:
    """Return what a trial of `epochs` epochs sees of a trajectory, or None while the trajectory is not that far.

    Args:
        history: The trajectory's epochs, the first one first; it may reach further than the trial looks.
        epochs: The trial's number of epochs.
        patience: Epochs without a better objective before an early stop, and the best epoch is taken; None: the last
            one is.
        objective: What the epochs are compared by.
    """
    best_epoch, best = 0, objective.worst
    for row in history[:epochs]:
        if row.diverged(objective):
            return View(end_epoch=row.epoch, chosen_epoch=row.epoch, value=objective.worst, diverged=True)
        value = row.metrics[objective.metric]
        if objective.loss(value) < objective.loss(best):
            best_epoch, best = row.epoch, value
        if patience is not None and row.epoch - best_epoch >= patience:
            return View(end_epoch=row.epoch, chosen_epoch=best_epoch, value=best)
    if len(history) < epochs:
        return None
    if patience is None:
        return View(end_epoch=epochs, chosen_epoch=epochs, value=history[epochs - 1].metrics[objective.metric])
    return View(end_epoch=epochs, chosen_epoch=best_epoch, value=best)
