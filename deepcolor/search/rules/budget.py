"""Decide whether a study has spent its budget, and keep account of it across all of its starts."""

from __future__ import annotations

import time
from collections.abc import Iterable

from deepcolor.config.schema import BudgetConfig, Limit
from deepcolor.fields.objective import Objective
from deepcolor.search.rules.summary import first_of
from deepcolor.search.study.storage import Spent, StoredStudy, StoredTrial
from deepcolor.search.study.trials import searched

SAVE_EVERY_S = 5.0
"""How much a killed driver may leave uncounted."""


def exhausted(budget: BudgetConfig, *, spent: Spent, trials: Iterable[StoredTrial]) -> Limit | None:
    """Return the limit that a study has reached, or None. Pure.

    `budget.trials` is not among them: no more trials are asked for then, but none is stopped.

    Args:
        budget: The sweep's budget.
        spent: By all starts of the study's driver.
        trials: The study's trials. Those that gave no value do not count, nor do those that confirm others. Of several
            objectives, the first one counts.
    """
    known = [trial for trial in searched(trials) if trial.gave_value]
    best = first_of(known)
    if best is not None and budget.target is not None:
        wanted = Objective(direction=best.direction).loss(budget.target)
        if best.loss <= wanted:
            return "target"
    if (limit := overspent(budget, spent=spent)) is not None:
        return limit
    since = sum(trial.number > best.number for trial in known) if best is not None else 0
    return "patience_trials" if budget.patience_trials is not None and since >= budget.patience_trials else None


def overspent(budget: BudgetConfig, *, spent: Spent) -> Limit | None:
    """Return the limit of time or work that a study has reached, or None. Confirmations keep these limits too. Pure."""
    reached: dict[Limit, bool] = {
        "epochs": budget.epochs is not None and spent.epochs >= budget.epochs,
        "wall_s": budget.wall_s is not None and spent.wall_s >= budget.wall_s,
        "gpu_hours": budget.gpu_hours is not None and spent.gpu_s >= budget.gpu_hours * 3600,
    }
    return next((limit for limit, is_reached in reached.items() if is_reached), None)


class Account:
    """What a study has spent: what earlier starts recorded in its storage, and what this start adds."""

    def __init__(self, study: StoredStudy, *, on_gpu: bool) -> None:
        """Start counting.

        Args:
            study: Stores the account.
            on_gpu: Whether a running segment is assumed to run on a GPU; once it has returned, it is known.
        """
        self._study = study
        self._earlier = study.spent
        self._started = self._saved_at = time.monotonic()
        self._on_gpu = on_gpu
        self._gpu_s = 0.0
        self._running: dict[str, float] = {}

    def segment_starts(self, digest: str) -> None:
        """Count a segment that has been submitted."""
        self._running[digest] = time.monotonic()

    def segment_ends(self, digest: str, *, device: str, train_s: float) -> None:
        """Count a segment that has returned."""
        self._running.pop(digest, None)
        if device.startswith("cuda"):
            self._gpu_s += train_s

    def segment_fails(self, digest: str) -> None:
        """Count a segment that has failed: only the clock tells what it has cost."""
        started = self._running.pop(digest, None)
        if self._on_gpu and started is not None:
            self._gpu_s += time.monotonic() - started

    def spent(self, *, trained_now: int) -> Spent:
        """Return the total, and store it now and then.

        Args:
            trained_now: Epochs trained since this start.
        """
        now = time.monotonic()
        running_s = sum(now - started for started in self._running.values()) if self._on_gpu else 0.0
        spent = Spent(
            wall_s=self._earlier.wall_s + now - self._started,
            gpu_s=self._earlier.gpu_s + self._gpu_s + running_s,
            epochs=self._earlier.epochs + trained_now,
        )
        if now - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now
            self._study.put_spent(spent)
        return spent

    def close(self, *, trained_now: int) -> None:
        """Store the total."""
        self._study.put_spent(self.spent(trained_now=trained_now))
