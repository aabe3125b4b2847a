"""The one driver of a study.

    take over the trials an earlier driver left open
    until every trial is finished, or a stop is asked for:
        while a slot is free: start the next segment; when every open trajectory is busy, ask for one more trial
        wait for an event; tell the trials whose view it completes
    write the report

The driver alone writes to Optuna's storage and to tracking. Everything a segment gives lies in the trajectory store
before the driver hears of it, so a driver that dies anywhere is replaced by starting another: what is in the store is
not trained again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deepcolor.config.schema import Setting
from deepcolor.errors import DeepcolorError
from deepcolor.execution.executor import Event, Executor, Failed, Finished
from deepcolor.search.board import Board, OpenTrial
from deepcolor.search.projection import Projection
from deepcolor.search.report import write_report
from deepcolor.search.schedule import Ask, next_ask
from deepcolor.search.space import Params, grid_points, point_key
from deepcolor.search.study import Outcome, Place, StoredStudy, StoredTrial, now_ms
from deepcolor.search.summary import Snapshot, Summary, Watcher, summarise
from deepcolor.tracking.records import State, Tracker
from deepcolor.training.early_stopping import view_of
from deepcolor.training.figures import read_result
from deepcolor.training.trajectory import InitWeights, Segment, Trajectory, TrajectoryPaths

EVENT_WAIT_S = 0.5
TRACK_EVERY_S = 5.0
LOOKAHEAD_TRIALS = 64
"""Open trials waiting for a busy trajectory, at most, while looking for one that is free."""


@dataclass(frozen=True)
class Places:
    """Where a driver's segments find and leave their files, and how they run."""

    store: Path
    cache: Path
    report: Path
    stop_file: Path
    device: str = "auto"
    checkpoint_every_s: float = 30.0


class Driver:
    """Owns one study for as long as it runs."""

    def __init__(
        self,
        study: StoredStudy,
        *,
        executor: Executor,
        tracker: Tracker,
        watcher: Watcher,
        projection: Projection,
        places: Places,
        parent_of: Callable[[Setting], InitWeights | None],
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            study: The study to drive; its lock is held by the caller.
            executor: Runs the segments.
            tracker: Is shown every trial.
            watcher: Is shown the whole, a few times a second.
            projection: Builds the records for the tracker.
            places: Where files lie.
            parent_of: Finds and pins the weights a setting starts from.
        """
        self._study = study
        self._sweep = study.sweep
        self._executor = executor
        self._tracker = tracker
        self._watcher = watcher
        self._projection = projection
        self._places = places
        self._parent_of = parent_of
        self._board = Board(self._sweep, places.store)
        self._points: Iterator[Params] = iter(())
        self._stopping = False

    def run(self) -> Summary:
        """Train until every trial is finished or a stop is asked for, and say what came of it."""
        self._places.stop_file.unlink(missing_ok=True)
        self._study.use_sampler(self._sweep.search)
        self._take_over()
        try:
            while self._step():
                self._watcher.update(self.snapshot())
        finally:
            self._places.stop_file.unlink(missing_ok=True)
        return self._conclude()

    def request_stop(self) -> None:
        """End every running segment after its epoch, with a checkpoint. Safe to call from a signal handler."""
        self._stopping = True
        self._places.stop_file.touch()

    def snapshot(self) -> Snapshot:
        """Say where the study stands."""
        return self._board.snapshot(stopping=self._stopping)

    # --- the loop

    def _step(self) -> bool:
        if not self._stopping:
            self._fill()
        if not self._board.busy:
            return False
        for event in self._executor.events(EVENT_WAIT_S):
            self._handle(event)
        return True

    def _fill(self) -> None:
        board = self._board
        while len(board.busy) < self._executor.slots:
            ask = next_ask(board.asks(), board.busy)
            if ask is not None:
                self._submit(ask)
            elif len(board.open) >= LOOKAHEAD_TRIALS + self._executor.slots or not self._start_trial():
                return

    def _handle(self, event: Event) -> None:
        board = self._board
        if isinstance(event, Finished):
            ask = board.end(event.digest)
            board.trained_now += event.outcome.trained_epochs
            board.put_history(event.digest, event.outcome.history)
            for open_ in board.on(event.digest):
                self._complete(open_, host=event.outcome.host, device=event.outcome.device)
            if event.outcome.view is not None and ask.number in board.open:
                # Asking for the same segment again would give the same, for ever.
                self._fail(ask.number, f"its result cannot be read ({event.outcome.result})")
        elif isinstance(event, Failed):
            self._fail(board.end(event.digest).number, event.reason)
        else:
            board.put_epoch(event.digest, event.metrics)
            self._track_open(event.digest)

    # --- starting trials

    def _take_over(self) -> None:
        trials = self._study.trials()
        self._board.finished = {trial.number: trial for trial in trials if trial.finished}
        self._tracker.put_study(self._projection.parent(trials, None, state="running", ended_ms=None))
        for trial in self._board.finished.values():
            self._track(trial)
        there = {point_key(trial.params) for trial in trials if trial.state != "failed"}
        if self._sweep.search.sampler == "grid":
            self._points = iter([point for point in grid_points(self._sweep.search) if point_key(point) not in there])
        for trial in trials:
            if not trial.finished:
                self._resume(trial)

    def _resume(self, trial: StoredTrial) -> None:
        if set(trial.params) == set(self._sweep.search_names):
            self._open_trial(trial)
        else:
            # The driver died while the sampler was writing the parameters; the sampler draws another trial instead.
            self._fail(trial.number, "its start was cut off")
            self._board.failed_now -= 1

    def _start_trial(self) -> bool:
        """Ask for one more trial; False when the study has them all."""
        search, board = self._sweep.search, self._board
        if search.sampler == "grid":
            point = next(self._points, None)
            if point is not None:
                self._open_trial(self._study.add(point, search))
            return point is not None
        if board.complete + len(board.open) + board.failed_now >= (search.trials or 0):
            return False
        self._open_trial(self._study.ask(search))
        return True

    def _open_trial(self, trial: StoredTrial) -> None:
        try:
            trajectory = self._trajectory(self._sweep.setting(trial.params))
        except (DeepcolorError, ValidationError) as error:
            self._fail(trial.number, " ".join(str(error).split()))
            return
        digest, training = trajectory.digest, trajectory.setting.training
        if trial.place is None:
            parent = trajectory.init.ref if trajectory.init else None
            trial = self._study.place(trial.number, Place(digest, len(self._board.history(digest)), parent))
        ask = Ask(trial.number, digest, training.epochs, trajectory.setting.patience)
        open_ = self._board.open[trial.number] = OpenTrial(trial, trajectory, ask)
        if digest not in self._board.busy:
            self._complete(open_)

    def _trajectory(self, setting: Setting) -> Trajectory:
        return Trajectory(
            setting=setting,
            data_digest=self._projection.provenance.data_digest,
            init=self._parent_of(setting),
            objective=self._sweep.search.objective,
        )

    def _submit(self, ask: Ask) -> None:
        self._board.start(ask)
        self._executor.submit(
            Segment(
                trajectory=self._board.open[ask.number].trajectory,
                to_epoch=ask.epochs,
                patience=ask.patience,
                store=self._places.store,
                cache=self._places.cache,
                device=self._places.device,
                checkpoint_every_s=self._places.checkpoint_every_s,
                stop_file=self._places.stop_file,
            )
        )
        self._track_open(ask.trajectory)

    # --- finishing trials

    def _complete(self, open_: OpenTrial, *, host: str = "", device: str = "") -> None:
        """Tell a trial if the store holds all that it asks for; else leave it open."""
        ask, objective = open_.ask, self._sweep.search.objective
        view = view_of(
            self._board.history(ask.trajectory), epochs=ask.epochs, patience=ask.patience, objective=objective
        )
        if view is None:
            return
        if view.diverged:
            self._tell(ask.number, Outcome(view, host=host, device=device))
            return
        folder = TrajectoryPaths(self._places.store, ask.trajectory).result(view)
        metrics = read_result(folder)
        if (
            metrics is not None
        ):  # else the epochs are there but their result is not: a segment that trains nothing makes it
            self._tell(ask.number, Outcome(view, str(folder.relative_to(self._places.store)), metrics, host, device))

    def _tell(self, number: int, outcome: Outcome) -> None:
        self._close(self._study.tell(number, outcome))

    def _fail(self, number: int, reason: str) -> None:
        self._board.failed_now += 1
        self._close(self._study.fail(number, reason))

    def _close(self, trial: StoredTrial) -> None:
        self._board.open.pop(trial.number, None)
        self._board.finished[trial.number] = trial
        self._track(trial)
        self._watcher.finished(trial, self.snapshot())

    def _conclude(self) -> Summary:
        for open_ in self._board.open.values():
            self._put(open_.trial, "interrupted")
        trials = self._study.trials()
        summary = summarise(
            self._study.name,
            trials,
            interrupted=self._stopping and self._board.complete < self._board.total,
            trained_now=self._board.trained_now,
            wall_s=time.monotonic() - self._board.started_at,
        )
        write_report(self._study, summary, self._places.report)
        ended = max((trial.ended_ms or 0 for trial in trials), default=now_ms())
        state: State = "interrupted" if summary.state == "interrupted" else "complete"
        self._tracker.put_study(self._projection.parent(trials, summary, state=state, ended_ms=ended))
        return summary

    # --- tracking

    def _track(self, trial: StoredTrial) -> None:
        self._put(trial, None)

    def _track_open(self, digest: str) -> None:
        now = time.monotonic()
        for open_ in self._board.on(digest):
            if now - open_.tracked_at >= TRACK_EVERY_S:
                open_.tracked_at = now
                self._put(open_.trial, None)

    def _put(self, trial: StoredTrial, state: State | None) -> None:
        if trial.place is not None:
            self._tracker.put_trial(
                self._projection.trial(trial, self._board.history(trial.place.trajectory), state=state)
            )
