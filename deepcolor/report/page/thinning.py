"""What is shown of very many: a page stays small whatever the size of its study. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from deepcolor.search.study.trials import StoredTrial

T = TypeVar("T")

MOST_DOTS = 1500
"""Trials in the history of a study."""
MOST_SLICE_DOTS = 600
MOST_SLICES = 24
MOST_LINES = 250
"""Trials in parallel coordinates."""
MOST_ROWS = 300
"""Trials in the leaderboard."""
MOST_CURVES = 8
"""Trainings whose epochs are drawn."""
MOST_EPOCHS = 300
"""Points of such a curve."""
MOST_COLUMNS = 40
"""Parameters in a table or a drawing."""
MOST_ERRORS = 10


def evenly(items: Sequence[T], *, count: int) -> list[T]:
    """Return at most so many items, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def best_and_others(trials: Sequence[StoredTrial], *, count: int) -> list[StoredTrial]:
    """Return at most so many trials by number: a third of them the best ones, the others from first to last."""
    if len(trials) <= count:
        return list(trials)
    best = sorted(trials, key=lambda trial: (trial.state != "complete", trial.loss, trial.number))[: count // 3]
    chosen = {trial.number for trial in best}
    rest = [trial for trial in trials if trial.number not in chosen]
    return sorted([*best, *evenly(rest, count=count - len(best))], key=lambda trial: trial.number)
