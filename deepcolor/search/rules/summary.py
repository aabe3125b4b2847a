"""What is said about a study while it runs and when it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from deepcolor.config.schema import Limit, ParamValue
from deepcolor.search.rules.front import chosen_of, front_of, nearest_to_choice
from deepcolor.search.rules.schedule import Share, trained_epochs
from deepcolor.search.study.storage import Place, StoredStudy, StoredTrial
from deepcolor.search.study.trials import finite, nearest_of, searched

if TYPE_CHECKING:
    from deepcolor.search.rules.confirmation import Confirmation


@dataclass(frozen=True)
class RunningTrial:
    """An open trial, as the live view shows it."""

    number: int
    params: dict[str, ParamValue]
    epoch: int
    epochs: int
    value: float | None
    """The objective at the last epoch."""
    watched: Mapping[str, float] = field(default_factory=dict)
    """The other metrics that the sweep watches, at that epoch."""
    confirms: int | None = None
    """The trial that it confirms, under `seed`."""
    seed: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment of a driver's run."""

    total: int
    """Trials the study will have when it is done."""
    complete: int
    failed: int
    running: tuple[RunningTrial, ...]
    best: StoredTrial | None
    trained_epochs: int
    """Epochs trained since this start."""
    epochs_per_s: float
    remaining_s: float | None
    """None while there is too little to estimate from."""
    elapsed_s: float
    stopping: bool
    pruned: int = 0
    """Trials of the search that ended at a rung."""
    waiting: int = 0
    """Open trials that are not being trained: at a rung, or before their turn."""
    at_rung: int = 0
    """How many of these are at a rung: their pruner may let none of them continue."""
    confirmed: int = 0
    """Trainings of the best settings under other seeds that are done."""
    to_confirm: int = 0
    """How many there will be."""
    confirming: bool = False
    """The search has ended, and these are under way."""
    objective: str = "val/mse"
    front: int = 0
    """Trials on the front of several objectives; the best is the one of them that is chosen."""
    workers: str = ""
    """How the workers are, where they come and go: such as how many jobs wait, and why."""

    @property
    def done(self) -> int:
        """Trainings that are done as far as is known: a trial at a rung may continue or not."""
        return self.complete + self.pruned + self.at_rung + self.confirmed


class Watcher(Protocol):
    """Watches a study as it runs; prints or draws it."""

    def update(self, snapshot: Snapshot) -> None:
        """Show the study as it is now; called at most a few times a second."""

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        """Show a trial that has just finished or failed."""


class Report(Protocol):
    """What people look at when a study has ended."""

    @property
    def folder(self) -> Path:
        """Where it is."""

    def prepare(self) -> None:
        """Get ready to write; it may take seconds, and may be called from a thread."""

    def write(self, study: StoredStudy, summary: Summary) -> None:
        """Write it, as far as anything has changed."""


@dataclass(frozen=True)
class Summary:
    """A study at the end of a driver's run."""

    study: str
    state: str
    """complete or interrupted."""
    trials: int
    """Those of the search, as in all counts here; the ones that confirm its best only count in the epochs."""
    complete: int
    failed: int
    diverged: int
    requested_epochs: int
    """Epochs the finished trials would have trained if each had been trained by itself, and to its end."""
    trained_epochs: int
    """How many of these had to be trained for this study; the others were shared between trials, or already in the
    store."""
    trained_now: int
    """Epochs trained since this start."""
    wall_s: float
    best: StoredTrial | None
    pruned: int = 0
    """Trials that ended at a rung."""
    waiting: int = 0
    """Trials that are still open: at a rung, or before their turn."""
    saved_s: float = 0.0
    """Seconds that the epochs that needed no training would have taken, at the measured pace of their trajectories."""
    stopped_by: Limit | None = None
    """The limit of the budget that ended the search."""
    learnt_from: int = 0
    """Trials of other studies that the sampler learnt from."""
    confirmation: Confirmation | None = None
    """What is known of the best settings under other seeds; None if the sweep does not ask for it."""
    front: tuple[StoredTrial, ...] = ()
    """Of several objectives: the trials on the front, by their first objective; the best is the one that is chosen."""
    broken: int = 0
    """Complete trials that break a constraint."""
    nearest: StoredTrial | None = None
    """Where no trial keeps to all constraints, or to the rule of `search.choose`: the one that is nearest to that."""
    left_out: str = ""
    """What of its grid was not trained, in words."""
    stopped_why: str = ""
    """What `search.stop` ended the search for, in words; empty if it did not."""

    @property
    def saved(self) -> float:
        """Share of the requested epochs that needed no training, because trials shared them or were pruned; 0 to 1."""
        return 1 - self.trained_epochs / self.requested_epochs if self.requested_epochs else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        best = self.best
        apart = {"best", "confirmation", "front", "nearest"}
        fields = {key: value for key, value in vars(self).items() if key not in apart}
        return {
            **fields,
            "wall_s": round(self.wall_s, 3),
            "saved_s": round(self.saved_s, 3),
            "saved": round(self.saved, 4),
            "best": best_as_dict(best) if best else None,
            "confirmation": self.confirmation.as_dict() if self.confirmation else None,
            "front": [best_as_dict(trial) for trial in self.front],
            "nearest": best_as_dict(self.nearest) if self.nearest else None,
        }


def best_as_dict(trial: StoredTrial) -> dict[str, Any]:
    """A trial as a JSON object; if it has no value yet, with the one at its last rung."""
    return {
        "trial": trial.number,
        "value": trial.latest,
        "params": trial.params,
        "epoch": trial.outcome.view.chosen_epoch if trial.outcome else None,
        "metrics": {**trial.outcome.watched, **trial.outcome.metrics} if trial.outcome else {},
        **({"figures": trial.figures} if trial.aims.several or trial.aims.constraints else {}),
        **({"breaks": list(trial.breaks)} if trial.breaks else {}),
    }


def best_of(trials: Sequence[StoredTrial]) -> StoredTrial | None:
    """The search's complete trial with the best finite value, the earlier one of two equals; of several objectives, the
    one of the front that the sweep chooses. None that breaks a constraint.
    """
    return chosen_of(front_of(trials)) if trials and trials[0].aims.several else first_of(trials)


def first_of(trials: Sequence[StoredTrial]) -> StoredTrial | None:
    """The same by the first objective alone."""
    return min(finite(trials), key=lambda trial: (trial.loss, trial.number), default=None)


def improvements(trials: Sequence[StoredTrial]) -> tuple[tuple[int, int, float], ...]:
    """(trial number, unix ms of its end, value) of each trial of the search that was the best when it ended."""
    ended = sorted(
        (t for t in searched(trials) if t.state == "complete" and t.ended_ms), key=lambda t: (t.ended_ms or 0, t.number)
    )
    steps: list[tuple[int, int, float]] = []
    best = math.inf
    for trial in ended:
        if trial.loss < best and trial.value is not None and not trial.breaks:
            best = trial.loss
            steps.append((trial.number, trial.ended_ms or 0, trial.value))
    return tuple(steps)


def shares(trials: Sequence[StoredTrial]) -> list[Share]:
    """What each trial that has a trajectory asked of it."""
    return [_share(trial, trial.place) for trial in trials if trial.place is not None]


def _share(trial: StoredTrial, place: Place) -> Share:
    outcome = trial.outcome
    if outcome is None:
        return Share(trial.number, place.trajectory, 0, place.in_store_epochs, resumed_epochs=place.resumed_epochs)
    end = outcome.view.end_epoch
    return Share(
        trial.number,
        place.trajectory,
        place.epochs if trial.state == "pruned" and place.epochs else end,
        place.in_store_epochs,
        seen_epochs=end,
        resumed_epochs=place.resumed_epochs if outcome.result else None,
        weights_epoch=outcome.view.chosen_epoch if outcome.result else None,
    )


def summarise(
    study: str,
    trials: Sequence[StoredTrial],
    *,
    interrupted: bool,
    trained_now: int,
    wall_s: float,
    epoch_s: Mapping[str, float] = MappingProxyType({}),
    stopped_by: Limit | None = None,
    stopped_why: str = "",
    learnt_from: int = 0,
    confirmation: Confirmation | None = None,
    left_out: str = "",
) -> Summary:
    """Sum up a study's trials in figures.

    Args:
        study: The study's name.
        trials: All of its trials, including those that confirm its best ones.
        interrupted: The driver was stopped before the end.
        trained_now: Epochs trained since this start.
        wall_s: Seconds since this start.
        epoch_s: Mean seconds per epoch of each trajectory; those of unknown pace save no seconds.
        stopped_by: The limit of the budget that ended the search.
        stopped_why: Why `search.stop` ended it, if it did.
        learnt_from: Trials of other studies that the sampler learnt from.
        confirmation: What is known of the best settings under other seeds.
        left_out: What of its grid was not trained, in words.
    """
    asked = shares(trials)
    front, best = front_of(trials), best_of(trials)
    paid = trained_epochs(asked)
    own = searched(trials)
    return Summary(
        study=study,
        state="interrupted" if interrupted else "complete",
        trials=len(own),
        complete=sum(trial.state == "complete" for trial in own),
        failed=sum(trial.state == "failed" for trial in own),
        diverged=sum(trial.diverged for trial in own),
        requested_epochs=sum(share.requested_epochs for share in asked),
        trained_epochs=sum(paid.values()),
        trained_now=trained_now,
        wall_s=wall_s,
        best=best,
        pruned=sum(trial.state == "pruned" for trial in own),
        waiting=sum(not trial.finished for trial in own),
        saved_s=sum((s.requested_epochs - paid[s.number]) * epoch_s.get(s.trajectory, 0.0) for s in asked),
        stopped_by=stopped_by,
        stopped_why=stopped_why,
        learnt_from=learnt_from,
        confirmation=confirmation,
        front=tuple(front),
        broken=sum(trial.state == "complete" and bool(trial.breaks) for trial in own),
        nearest=None if best else nearest_to_choice(front) or nearest_of(trials),
        left_out=left_out,
    )
