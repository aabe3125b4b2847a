"""Trials as Optuna's storage holds them, and what is stored with their parameters and values."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from deepcolor.columns import from_columns
from deepcolor.config.schema import ParamValue, PrunerConfig, Setting, Sweep
from deepcolor.fields.objective import Direction, Objective
from deepcolor.search.study.aims import Aims
from deepcolor.training.trajectory import View

PLACE, OUTCOME, ERROR, TARGET, FOREIGN, CONFIRMS = "place", "outcome", "error", "target_epoch", "foreign", "confirms"
FIRST, OUTLOOKS = "first", "outlooks"
"""Attributes of a trial: where it trains, what it gave, why it failed, how far its pruner lets it train, whose it is,
which one it confirms, which of the settings to try first it is, and what its curve was heading for at its rungs."""


def now_ms() -> int:
    """Unix time in milliseconds."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Place:
    """Where a trial's training is, recorded when the trial is asked."""

    trajectory: str
    in_store_epochs: int
    """Epochs whose figures the store held before this trial."""
    parent: str | None = None
    """The model it starts from, such as `colorizer@3`."""
    epochs: int | None = None
    """How many it asks for in total."""
    resumed_epochs: int | None = None
    """The epoch from which its training could continue; None if that was not recorded, and is `in_store_epochs`."""
    passed: tuple[int, ...] = ()
    """Rungs that it had reached in another training before it was placed here, but has yet to reach in this one."""
    started_ms: int = field(default_factory=now_ms)
    """Unix time: Optuna's own times are local and lose their zone."""
    data: str | None = None
    """The digest of its data, where that is searched; None: the study's."""


@dataclass(frozen=True)
class Outcome:
    """What a finished trial gave besides its value."""

    view: View
    result: str | None = None
    """Result folder, relative to the trajectory store."""
    metrics: dict[str, float] = field(default_factory=dict)
    host: str = ""
    device: str = ""
    threads: tuple[int, ...] = ()
    """The numbers of CPU threads that its weights were trained with; empty if unknown."""
    watched: dict[str, float] = field(default_factory=dict)
    """The other epoch metrics that the sweep watches, at the epoch whose weights it takes."""
    ended_ms: int = field(default_factory=now_ms)
    figures: dict[str, float] = field(default_factory=dict)
    """What the sweep's constraints and its other objectives are about, by name."""

    @property
    def known(self) -> dict[str, float]:
        """All of its numbers by name, whatever they are for."""
        return {**self.watched, **self.metrics, **self.figures}


@dataclass(frozen=True)
class Confirms:
    """What a trial that is not part of the search is for: it trains another one's setting under another seed."""

    trial: int
    """The number of the search's trial."""
    seed: int


@dataclass(frozen=True)
class Spent:
    """What a study has cost so far, over all starts of its driver."""

    wall_s: float = 0.0
    gpu_s: float = 0.0
    epochs: int = 0


_NO_AIMS = Aims()


@dataclass(frozen=True)
class StoredTrial:
    """One trial as the storage holds it."""

    number: int
    state: str
    """waiting, complete, pruned or failed; `attendance` knows which of the waiting ones are being trained."""
    params: dict[str, ParamValue]
    value: float | None
    started_ms: int
    ended_ms: int | None
    place: Place | None
    outcome: Outcome | None
    error: str | None
    failed_at: int | None = None
    """Epochs of its trajectory that were known when it failed; None if that was not recorded."""
    target_epoch: int | None = None
    """The epoch that its pruner has let it train to; None before it has reached its first rung."""
    reached: dict[int, float] = field(default_factory=dict)
    """The objective at each rung it has reached, by epoch."""
    outlooks: dict[int, float] = field(default_factory=dict)
    """What its curve was heading for at each rung, as a loss; empty if its pruner compares values."""
    confirms: Confirms | None = None
    """The trial of the search that it confirms; None for one of the search's own."""
    direction: Direction = "minimize"
    """Which values are better in its study."""
    first: str | None = None
    """Which of the settings that its sweep tries first it is, by what was given of it; None for any other."""
    aims: Aims = _NO_AIMS
    """What its study judges it by."""
    values: tuple[float, ...] = ()
    """In each objective of its study; empty while it has none."""

    def setting(self, sweep: Sweep) -> Setting:
        """What it trains, as a trial of this sweep.

        Raises:
            pydantic.ValidationError: A value is outside what its field allows.
        """
        own_seed = {"seed": self.confirms.seed} if self.confirms else {}
        return sweep.setting({**self.params, **own_seed})

    @property
    def finished(self) -> bool:
        return self.state != "waiting"

    @property
    def latest(self) -> float | None:
        """Its value or, while it has none, the objective at the last rung it has reached."""
        return self.value if self.finished or not self.reached else self.reached[max(self.reached)]

    @property
    def loss(self) -> float:
        """Its latest value as a number that is lower the better it is; infinite if it has none."""
        return Objective(direction=self.direction).loss(self.latest)

    @property
    def losses(self) -> dict[int, float]:
        """The same for each rung it has reached, by epoch."""
        if self.direction == "minimize":
            return self.reached  # Asked for of every open trial at every event.
        objective = Objective(direction=self.direction)
        return {epoch: objective.loss(value) for epoch, value in self.reached.items()}

    def compared(self, pruner: PrunerConfig) -> dict[int, float]:
        """What a pruner compares it by at each rung it has reached: lower is better."""
        return {**self.losses, **self.outlooks} if pruner.extrapolate else self.losses

    @property
    def gave_value(self) -> bool:
        """Whether it says something about its setting: it has an outcome, or waits at a rung with its value there.

        A failed trial says nothing, nor does one that has only begun.
        """
        waits = not self.finished and self.target_epoch in self.reached
        return self.outcome is not None or waits

    @property
    def figures(self) -> dict[str, float]:
        """What it is judged by, by name: its value, and what else constraints and objectives are about."""
        value, known = self.latest, self.outcome.figures if self.outcome else {}
        return {**({} if value is None else {self.aims.names[0]: value}), **known}

    @property
    def losses_of_all(self) -> tuple[float, ...]:
        """Its value in each objective, as numbers that are lower the better they are; empty while it has none."""
        return self.aims.losses(self.values)

    @property
    def excess(self) -> dict[str, float]:
        """By how much it breaks each constraint, as a share of its bound; empty if it keeps to all."""
        if not self.aims.constraints or self.outcome is None or self.diverged:
            return {}
        return {name: excess for name, excess in self.aims.excess(self.figures).items() if excess > 0}

    @property
    def breaks(self) -> tuple[str, ...]:
        """The constraints that it breaks."""
        return tuple(self.excess)

    @property
    def breaks_text(self) -> str:
        """The same with how far it is off: `epoch_s 3.4 (at most 3)`."""
        bounds, figures = self.aims.constraints, self.figures
        return ", ".join(f"{name} {figures[name]:.4g} ({bounds[name]})" for name in self.breaks)

    @property
    def diverged(self) -> bool:
        return self.outcome is not None and self.outcome.view.diverged


@dataclass(frozen=True)
class Planned:
    """What is known of a trial's training before the trial is stored, and so is stored with it."""

    place: Place
    to_epoch: int | None = None
    """How far its pruner lets it train; None: to its end, without a pruner."""


Plan = Callable[[StoredTrial], Planned | None]
"""Asked with a trial as it is about to be stored; None: what becomes of it will be said later."""


def unplanned(trial: StoredTrial) -> Planned | None:  # noqa: ARG001  # as a plan
    """Say nothing of a trial."""
    return None


def searched(trials: Iterable[StoredTrial]) -> list[StoredTrial]:
    """The trials of the search itself, without those that confirm its best ones."""
    return [trial for trial in trials if trial.confirms is None]


def finite(trials: Iterable[StoredTrial]) -> list[StoredTrial]:
    """The search's complete trials whose value is finite, and which keep to its constraints."""
    return [trial for trial in _finite(trials) if not trial.breaks]


def nearest_of(trials: Iterable[StoredTrial]) -> StoredTrial | None:
    """The search's complete trial that breaks its constraints the least, the better one of two equals."""
    broken = [trial for trial in _finite(trials) if trial.breaks]
    return min(broken, key=lambda t: (sum(t.excess.values()), t.loss, t.number), default=None)


def _finite(trials: Iterable[StoredTrial]) -> list[StoredTrial]:
    return [t for t in searched(trials) if t.state == "complete" and t.value is not None and math.isfinite(t.value)]


def stored_trial(trial: FrozenTrial, direction: Direction = "minimize", aims: Aims | None = None) -> StoredTrial:
    """Read a trial as Optuna holds it.

    Args:
        trial: Of one of deepcolor's studies.
        direction: The study's.
        aims: What the study judges it by; None: its value alone.
    """
    attrs = trial.user_attrs
    outcome = _outcome(attrs[OUTCOME]) if attrs.get(OUTCOME) else None
    place = _place(attrs[PLACE], outcome) if attrs.get(PLACE) else None
    error = attrs.get(ERROR) or {}
    return StoredTrial(
        number=trial.number,
        state=_STATES[trial.state],
        params=dict(trial.params),
        value=trial.values[0] if trial.values else None,
        started_ms=place.started_ms if place else _ms(trial.datetime_start) or 0,
        ended_ms=(outcome.ended_ms if outcome else error.get("ended_ms")) or _ms(trial.datetime_complete),
        place=place,
        outcome=outcome,
        error=error.get("reason"),
        failed_at=error.get("epochs"),
        target_epoch=attrs.get(TARGET),
        reached={e: v for e, v in trial.intermediate_values.items() if place is None or e not in place.passed},
        outlooks={int(epoch): loss for epoch, loss in attrs.get(OUTLOOKS, {}).items()},
        confirms=from_columns(Confirms, attrs[CONFIRMS]) if CONFIRMS in attrs else None,
        direction=direction,
        first=attrs.get(FIRST),
        aims=aims or Aims((Objective("value", direction),)),
        values=tuple(trial.values) if trial.values else (),
    )


def _place(content: Mapping[str, Any], outcome: Outcome | None) -> Place:
    # A result is where its training is, whatever was recorded before trials could be placed again.
    trained = {"trajectory": outcome.result.partition("/")[0]} if outcome and outcome.result else {}
    return from_columns(Place, {**content, **trained, "passed": tuple(content.get("passed", ()))})


def _outcome(content: Mapping[str, Any]) -> Outcome:
    view, threads = from_columns(View, content["view"]), tuple(content.get("threads", ()))
    return from_columns(Outcome, {**content, "view": view, "threads": threads})


def _ms(moment: Any) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None


_STATES = {
    TrialState.RUNNING: "waiting",
    TrialState.WAITING: "waiting",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
