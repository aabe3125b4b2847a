"""End a study's trials: with what the store holds of them, or with the reason why it holds nothing of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deepcolor.search.driver.board import Board, OpenTrial
from deepcolor.search.driver.ending import Ending
from deepcolor.search.driver.ladder import Ladder
from deepcolor.search.driver.showing import Showing
from deepcolor.search.rules.summary import Snapshot, Watcher
from deepcolor.search.study.storage import Outcome, StoredStudy, StoredTrial
from deepcolor.training.result_files import read_result, read_threads
from deepcolor.training.trajectory import TrajectoryPaths


class Settling:
    """Ends trials, and informs everyone: the study's storage, the board, tracking and the watcher."""

    def __init__(
        self,
        study: StoredStudy,
        *,
        board: Board,
        ladder: Ladder,
        showing: Showing,
        watcher: Watcher,
        ending: Ending,
        store: Path,
    ) -> None:
        self._study = study
        self._board = board
        self._ladder = ladder
        self._showing = showing
        self._watcher = watcher
        self._ending = ending
        self._store = store

    def snapshot(self) -> Snapshot:
        """Say where the study stands."""
        return self._board.snapshot(stopping=self._ending.due)

    def settle(self, open_: OpenTrial, *, host: str = "", device: str = "") -> None:
        """Tell a trial if the store holds all that it asks for; let it wait if it has reached its rung."""
        ask, view = open_.ask, self._ladder.view(open_, epochs=open_.epochs)
        if view is None:
            self._ladder.report(open_, up_to=ask.epochs)
            return
        self._ladder.report(open_, up_to=view.end_epoch)
        watched = self._ladder.watched(open_, view)
        if view.diverged:
            figures = self._ladder.figures(open_, view)
            self._tell(ask.number, Outcome(view, host=host, device=device, watched=watched, figures=figures))
            return
        folder = TrajectoryPaths(self._store, ask.trajectory).result(view)
        metrics = read_result(folder, self._study.sweep.final_metrics)
        if metrics is not None:
            threads = read_threads(folder)
            result = str(folder.relative_to(self._store))
            figures = self._ladder.figures(open_, view, metrics)
            self._tell(ask.number, Outcome(view, result, metrics, host, device, threads, watched, figures=figures))
        else:  # The epochs are there but their result is not: a segment that trains nothing will write it.
            self._board.change(open_, ask=replace(ask, epochs=open_.epochs, result=True))

    def fail(self, number: int, reason: str, *, epochs: int | None = None, counts: bool = True) -> None:
        """End a trial that gave no value.

        Args:
            number: Of the trial.
            reason: In one line.
            epochs: How many of its trajectory were known; None if it was not its training that failed.
            counts: Whether it counts as one of the search's trials until the next start.
        """
        trial = self._study.fail(number, reason, epochs=epochs)
        self._board.failed_now += counts and trial.confirms is None
        self._close(trial)

    def end(self, open_: OpenTrial) -> None:
        """End a trial at the rung where it waits."""
        self._close(self._ladder.end(open_))

    def stop(self, open_: OpenTrial, *, by: str) -> None:
        """End a trial where it is, because somebody asked for it: pruned, or failed where nothing of it is trained.

        Its value is the one at its last rung, so it is never the best by what it had not trained.
        """
        reached = min(len(self._board.history(open_.ask.trajectory)), open_.ask.epochs)
        view = self._ladder.view(open_, epochs=reached) if reached else None
        reason = f"stopped by {by}"
        if view is None or open_.trial.confirms is not None:
            self.fail(open_.trial.number, reason, epochs=reached)
            return
        outcome = Outcome(view, watched=self._ladder.watched(open_, view), figures=self._ladder.figures(open_, view))
        self._close(self._study.prune(open_.trial.number, outcome, reason=reason))

    def end_waiting(self) -> None:
        """End every trial that waits at a rung there."""
        for open_ in sorted(self._board.waiting, key=lambda one: one.trial.number):
            self.end(open_)

    def _tell(self, number: int, outcome: Outcome) -> None:
        self._close(self._study.tell(number, outcome))

    def _close(self, trial: StoredTrial) -> None:
        self._board.close(trial)
        self._showing.trial(trial)
        self._watcher.finished(trial, self.snapshot())
