"""Show a study's trials to tracking as they change."""

from __future__ import annotations

import time
from collections.abc import Mapping

from deepcolor.search.driver.board import Board
from deepcolor.search.recording import Projection
from deepcolor.search.rules.summary import Summary
from deepcolor.search.study.storage import StoredTrial
from deepcolor.tracking.records import State, Tracker

TRACK_EVERY_S = 5.0


class Showing:
    """Hands records to a tracker, which stores them in its own time."""

    def __init__(self, tracker: Tracker, projection: Projection, board: Board) -> None:
        self._tracker = tracker
        self._projection = projection
        self._board = board
        self._shown_on_front: set[int] = set()

    def study(
        self,
        trials: list[StoredTrial],
        summary: Summary | None = None,
        *,
        state: State = "running",
        ended_ms: int | None = None,
    ) -> None:
        """Show the study, with its summary once there is one."""
        self._tracker.put_study(self._projection.parent(trials, summary, state=state, ended_ms=ended_ms))

    def trial(self, trial: StoredTrial, state: State | None = None) -> None:
        """Show a trial as it is, or in a state that its driver gives it; one without a training is not shown."""
        if trial.place is not None:
            history = self._board.seen(trial.place.trajectory)
            state = state or ("running" if self._board.trains(trial) else None)
            front = trial.number in {each.number for each in self._board.finished.front}
            self._shown_on_front = (
                {*self._shown_on_front, trial.number} if front else self._shown_on_front - {trial.number}
            )
            self._tracker.put_trial(self._projection.trial(trial, history, state=state, front=front))

    def front(self, finished: Mapping[int, StoredTrial]) -> None:
        """Show the trials again that are on the front now and were not when they were shown, or the other way round."""
        now = {trial.number for trial in self._board.finished.front}
        for number in sorted(now ^ self._shown_on_front):
            self.trial(finished[number])

    def training(self, digest: str) -> None:
        """Show the open trials on a trajectory: whenever one starts training or waiting, else every few seconds."""
        now = time.monotonic()
        for open_ in self._board.on(digest):
            runs = self._board.trains(open_.trial)
            if runs != open_.tracked_running or now - open_.tracked_at >= TRACK_EVERY_S:
                open_.tracked_at, open_.tracked_running = now, runs
                self.trial(open_.trial)
