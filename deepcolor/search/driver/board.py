"""What a driver knows at one moment: trials, busy trajectories, histories; and what follows from them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deepcolor.config.schema import PrunerConfig, Sweep
from deepcolor.search.rules.pruning import OwnPruner, Standing
from deepcolor.search.rules.schedule import Ask
from deepcolor.search.rules.standings import Standings
from deepcolor.search.rules.summary import RunningTrial, Snapshot
from deepcolor.search.rules.tally import Finished
from deepcolor.search.study.sizes import fitting_points
from deepcolor.search.study.space import Params
from deepcolor.search.study.storage import StoredTrial
from deepcolor.stages.contract import EPOCH_S
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, Trajectory, TrajectoryPaths

_GROUND_S = 5.0
"""An estimate from fewer seconds of training would be one of how long libraries take to get going."""


@dataclass
class OpenTrial:
    """A trial that is being trained or is waiting for its turn. `Board.change` alone changes its first three fields."""

    trial: StoredTrial
    trajectory: Trajectory
    ask: Ask
    """What it may train now: up to its next rung, or to its end."""
    tracked_at: float = 0.0
    """Monotonic time of the last record sent to tracking."""
    tracked_running: bool = False
    """Whether that record said that it is being trained."""
    barred: bool = False
    """Its epochs take longer than a constraint allows."""

    @property
    def epochs(self) -> int:
        """How many it asks for in total."""
        return self.trajectory.setting.training.epochs

    @property
    def waits(self) -> bool:
        """Whether it has reached its rung: `standing.waits`, but cheaper."""
        return self.ask.epochs < self.epochs and self.ask.epochs in self.trial.reached

    def standing(self, pruner: PrunerConfig) -> Standing:
        """How far it has come, for its pruner."""
        return Standing(
            number=self.trial.number,
            trajectory=self.ask.trajectory,
            epochs=self.epochs,
            target=self.ask.epochs,
            values=self.trial.compared(pruner),
            barred=self.barred,
            losses=self.trial.losses,
        )


@dataclass
class Board:
    """A driver's memory. All of it can be restored from the two places of truth.

    What is asked of it at every event is kept in order as trials change, so that a driver does not get slower with
    every trial that waits or has ended.
    """

    sweep: Sweep
    store: Path
    own_pruner: OwnPruner | None = None
    """The user's own pruner, if the sweep names one."""
    open: dict[int, OpenTrial] = field(default_factory=dict)
    """Those that have not ended, by number; changed by `put`, `change` and `close` alone."""
    busy: dict[str, Ask] = field(default_factory=dict)
    """The ask that each running segment serves, by trajectory."""
    finished: Finished = field(default_factory=Finished)
    failed_now: int = 0
    """Trials of the search that have failed since this start."""
    confirming: bool = False
    """The search has ended, and its best settings are being trained again."""
    to_confirm: int = 0
    """Trainings that this takes in total."""
    trained_now: int = 0
    """Epochs of segments that have returned or failed."""
    started_at: float = field(default_factory=time.monotonic)
    trains_since: float | None = None
    """Monotonic time at which the first epoch of this start began, as far as is known: after libraries, data and
    worker processes were ready."""
    _histories: dict[str, Sequence[EpochMetrics]] = field(default_factory=dict)
    _live: dict[str, list[EpochMetrics]] = field(default_factory=dict)
    """Epochs that running segments have reported beyond the histories of their trajectories."""
    _on: defaultdict[str, dict[int, OpenTrial]] = field(default_factory=lambda: defaultdict(dict))
    """The open trials on each trajectory."""
    _waiting: dict[int, OpenTrial] = field(default_factory=dict)
    """The open trials that wait at a rung; all others may train."""
    _ready: dict[int, OpenTrial] = field(default_factory=dict)
    _waiting_epochs: int = 0
    """The sum of the epochs at which those wait."""
    _searching: int = 0
    """How many open trials are of the search."""

    @cached_property
    def standings(self) -> Standings | None:
        """How far every trial has come that has reached a rung, or is training towards one; None without a pruner."""
        pruner = self.sweep.search.pruner
        if pruner.name == "none":
            return None
        return Standings(pruner, most_epochs=self.sweep.most_epochs, own=self.own_pruner)

    def put(self, open_: OpenTrial) -> None:
        """Take up a trial that is open."""
        self.open[open_.trial.number] = open_
        self._searching += open_.trial.confirms is None
        self._enter(open_)

    def change(
        self,
        open_: OpenTrial,
        *,
        trial: StoredTrial | None = None,
        ask: Ask | None = None,
        barred: bool | None = None,
    ) -> None:
        """Take note of what has become of an open trial, or of what it may train now."""
        self._leave(open_)
        open_.trial, open_.ask = trial or open_.trial, ask or open_.ask
        open_.barred = open_.barred if barred is None else barred
        self._enter(open_)

    def close(self, trial: StoredTrial) -> None:
        """Take note of a trial that has finished."""
        open_ = self.open.pop(trial.number, None)
        if open_ is not None:
            self._searching -= open_.trial.confirms is None
            self._leave(open_)
        self.finished[trial.number] = trial
        if self.standings is None:
            return
        if (standing := _ended_standing(trial, self.sweep.search.pruner)) is not None:
            self.standings.put(standing)
        else:
            self.standings.remove(trial.number)

    def history(self, digest: str) -> Sequence[EpochMetrics]:
        """All epochs of a trajectory that the store holds; decisions rest on these alone."""
        if digest not in self._histories:
            self._histories[digest] = read_history(TrajectoryPaths(self.store, digest))
        return self._histories[digest]

    def seen(self, digest: str) -> Sequence[EpochMetrics]:
        """All epochs of a trajectory without a gap, including those that its running segment has only reported."""
        live = self._live.get(digest)
        return (*self.history(digest), *live) if live else self.history(digest)

    def put_progress(self, digest: str, rows: Sequence[EpochMetrics]) -> None:
        """Add epochs of a running segment, as far as they continue what is there.

        Others are left to the segment's outcome: messages may come late, get lost with a worker, or come again from
        the run that replaces it.
        """
        if digest in self.busy:
            if not self.trained and rows:
                self.trains_since = max(self.trains_since or 0.0, time.monotonic() - rows[0].epoch_s)
            live = self._live[digest]
            for row in rows:
                if row.epoch == len(self.history(digest)) + len(live) + 1:
                    live.append(row)

    def start(self, ask: Ask) -> None:
        """Mark an ask's trajectory as being trained."""
        if self.trains_since is None:
            self.trains_since = time.monotonic()
        self.busy[ask.trajectory] = ask
        self._live[ask.trajectory] = []

    def end(self, digest: str, history: Sequence[EpochMetrics]) -> Ask:
        """Mark a trajectory as idle, with its epochs as the segment returned them, and return the segment's ask."""
        del self._live[digest]
        self._histories[digest] = history
        return self.busy.pop(digest)

    def give_up(self, digest: str) -> Ask:
        """Mark a trajectory whose segment failed as idle, and return its ask.

        The epochs it reported count as trained. Only the store knows which of them it holds.
        """
        self.trained_now += len(self._live.pop(digest))
        self._histories.pop(digest, None)
        return self.busy.pop(digest)

    def on(self, digest: str) -> list[OpenTrial]:
        """The open trials on one trajectory."""
        return list(self._on[digest].values()) if digest in self._on else []

    def trains(self, trial: StoredTrial) -> bool:
        """Whether a segment is running for this trial."""
        ask = self.busy.get(trial.place.trajectory) if trial.place else None
        return ask is not None and ask.number == trial.number and not trial.finished

    def asks(self) -> list[Ask]:
        """What the open trials ask for that may train: those of the search while it lasts, then those that confirm."""
        return [one.ask for one in self._ready.values() if (one.trial.confirms is not None) == self.confirming]

    def idle(self) -> set[str]:
        """Trajectories that could be trained further now."""
        return {ask.trajectory for ask in self.asks()} - self.busy.keys()

    def left_s(self) -> dict[str, float]:
        """Seconds to the end of each idle trajectory at the pace of its last epoch; if not begun, at the mean pace."""
        last = {digest: row for digest in self.idle() | self.busy.keys() if (row := self._last(digest)) is not None}
        mean_s = sum(row.epoch_s for row in last.values()) / len(last) if last else 1.0
        most = self.sweep.most_epochs
        return {
            digest: (most - row.epoch) * row.epoch_s if (row := last.get(digest)) else most * mean_s
            for digest in self.idle()
        }

    @property
    def waiting(self) -> Collection[OpenTrial]:
        """The open trials that wait at a rung."""
        return self._waiting.values()

    def trials(self) -> list[StoredTrial]:
        """All of the study's trials, finished or open."""
        return [*self.finished.values(), *(open_.trial for open_ in self.open.values())]

    @property
    def searching(self) -> int:
        """Open trials of the search."""
        return self._searching

    @property
    def complete(self) -> int:
        return self.finished.count("complete")

    @property
    def pruned(self) -> int:
        return self.finished.count("pruned")

    @property
    def started(self) -> int:
        """Trials that count towards the number asked for; failed ones are run again on the next start."""
        return self.complete + self.pruned + self.searching + self.failed_now

    @property
    def trained(self) -> int:
        """Epochs trained since this start, including those of running segments."""
        return self.trained_now + sum(len(live) for live in self._live.values())

    @cached_property
    def _limit(self) -> int | None:
        return self.sweep.limit()

    @property
    def total(self) -> int:
        """Trials the study will have when it is done; 0 if only its budget ends it."""
        limit = self._limit or 0
        return min(limit, len(self._points)) if self.sweep.search.sampler == "grid" else limit

    def epoch_s(self) -> dict[str, float]:
        """Mean seconds per epoch of every trajectory that a finished trial lies on."""
        digests = {trial.place.trajectory for trial in self.finished.values() if trial.place}
        histories = {digest: self.history(digest) for digest in digests}
        return {digest: sum(row.epoch_s for row in rows) / len(rows) for digest, rows in histories.items() if rows}

    def snapshot(self, *, stopping: bool) -> Snapshot:
        """Say where the study stands."""
        elapsed, search = time.monotonic() - self.started_at, self.sweep.search
        trained = self.trained
        speed = trained / elapsed if elapsed > 0 else 0.0
        return Snapshot(
            total=self.total,
            complete=self.complete,
            pruned=self.pruned,
            waiting=self._open_now - sum(ask.number in self.open for ask in self.busy.values()),
            at_rung=len(self.waiting),
            failed=self.failed_now,
            running=tuple(
                self._running(self.open[ask.number]) for ask in self.busy.values() if ask.number in self.open
            ),
            best=self.finished.best,
            trained_epochs=trained,
            epochs_per_s=speed,
            remaining_s=self._remaining_s(trained),
            elapsed_s=elapsed,
            stopping=stopping,
            confirmed=self._confirmed,
            to_confirm=self.to_confirm,
            confirming=self.confirming,
            objective=search.objectives[0],
            front=len(self.finished.front),
        )

    def _enter(self, open_: OpenTrial) -> None:
        number = open_.trial.number
        self._on[open_.ask.trajectory][number] = open_
        if open_.waits:
            self._waiting[number] = open_
            self._waiting_epochs += open_.ask.epochs
        else:
            self._ready[number] = open_
        if self.standings is not None:
            self.standings.put(open_.standing(self.sweep.search.pruner))

    def _leave(self, open_: OpenTrial) -> None:
        number, there = open_.trial.number, self._on[open_.ask.trajectory]
        del there[number]
        if not there:
            del self._on[open_.ask.trajectory]
        if self._waiting.pop(number, None) is not None:
            self._waiting_epochs -= open_.ask.epochs
        self._ready.pop(number, None)

    @property
    def _open_now(self) -> int:
        """Open trials of the search while it lasts, then of those that confirm its best."""
        return len(self.open) - self.searching if self.confirming else self.searching

    @property
    def _confirmed(self) -> int:
        return self.finished.count("complete", searched=False)

    def _last(self, digest: str) -> EpochMetrics | None:
        """The last epoch that is known of a trajectory; looked up for every one at every snapshot."""
        known = self._live.get(digest) or self.history(digest)
        return known[-1] if known else None

    def _running(self, open_: OpenTrial) -> RunningTrial:
        last, search = self._last(open_.ask.trajectory), self.sweep.search
        return RunningTrial(
            number=open_.ask.number,
            params=open_.trial.params,
            epoch=last.epoch if last else 0,
            epochs=open_.ask.epochs,
            value=last.values[search.objectives[0]] if last else None,
            watched={name: last.values[name] for name in search.watch} if last else {},
            confirms=open_.trial.confirms.trial if open_.trial.confirms else None,
            seed=open_.trial.confirms.seed if open_.trial.confirms else None,
        )

    def _remaining_s(self, trained: int) -> float | None:
        """Seconds still to come at the pace so far; None while the first epochs, which are slower, are most of it."""
        trains_s = time.monotonic() - self.trains_since if self.trains_since is not None else 0.0
        return self._remaining_epochs() * trains_s / trained if trained and trains_s >= _GROUND_S else None

    def _remaining_epochs(self) -> float:
        """Epochs still to be trained; a trial not yet asked for counts as the mean of the others."""
        furthest: dict[str, int] = {}
        for ask in self.asks():
            furthest[ask.trajectory] = max(furthest.get(ask.trajectory, 0), ask.epochs)
        reached = {digest: row.epoch if (row := self._last(digest)) else 0 for digest in furthest}
        opened = sum(max(0, epochs - reached[digest]) for digest, epochs in furthest.items())
        unasked = 0 if self.confirming else max(0, self.total - self.started)
        unasked += max(0, self.to_confirm - self._confirmed - (len(self.open) - self.searching))
        return opened + unasked * self._mean_epochs()

    def _mean_epochs(self) -> float:
        """Epochs a trial costs on average."""
        if self.sweep.search.sampler == "grid":
            return self._mean_grid_epochs
        ended = self.finished.with_outcome + len(self.waiting)
        epochs = self.finished.end_epochs + self._waiting_epochs
        return epochs / ended if ended else self.sweep.training.epochs

    @cached_property
    def _mean_grid_epochs(self) -> float:
        """The same for a grid: points that differ only in epochs cost the longest once. Used at every snapshot."""
        points, training = self._points, self.sweep.training
        alone: dict[tuple[object, ...], int] = {}
        for point in points:
            rest = tuple((name, repr(value)) for name, value in point.items() if name != "epochs")
            epochs = point.get("epochs", training.epochs)
            alone[rest] = max(alone.get(rest, 0), int(epochs) if isinstance(epochs, int | float) else training.epochs)
        return sum(alone.values()) / max(1, len(points))

    @cached_property
    def _points(self) -> tuple[Params, ...]:
        """Those of its grid that are trained."""
        return fitting_points(self.sweep)


def _ended_standing(trial: StoredTrial, pruner: PrunerConfig) -> Standing | None:
    """A trial that ended on its way to a rung counts as having reached it, with the value it ended with; None for one
    that says nothing.
    """
    if not trial.place or trial.state == "failed" or not (trial.reached or trial.target_epoch):
        return None
    target = trial.target_epoch or max(trial.reached)
    values = {target: trial.loss, **trial.compared(pruner)}
    return Standing(
        trial.number,
        trial.place.trajectory,
        epochs=target,
        target=target,
        values=values,
        ended=True,
        barred=EPOCH_S in trial.breaks,
        losses={**trial.losses, target: trial.loss},
        complete=trial.state == "complete" and not trial.breaks,
    )
