"""Take a study's trials from rung to rung: do what `pruning` decides, and write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

from deepcolor.search.driver.board import Board, OpenTrial
from deepcolor.search.driver.own_pruner import blamed_on
from deepcolor.search.rules.figures import figures_of, median_epoch_s, needs_size
from deepcolor.search.rules.outlook import outlook
from deepcolor.search.rules.pruning import Drop, GoOn, rungs
from deepcolor.search.rules.schedule import Ask
from deepcolor.search.study.sizes import known_figures
from deepcolor.search.study.storage import Outcome, StoredStudy, StoredTrial
from deepcolor.stages.contract import EPOCH_S
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import Trajectory, View


class Ladder:
    """The rungs of one study. It keeps no state: that is on the board and in the study's storage."""

    def __init__(self, study: StoredStudy, board: Board) -> None:
        """Do nothing yet.

        Args:
            study: Whose trials these are.
            board: Knows where they stand.
        """
        self._study = study
        self._sweep = study.sweep
        self._board = board

    def enter(self, trial: StoredTrial, trajectory: Trajectory) -> OpenTrial:
        """Put a trial back where it was, or on its way to its first rung."""
        epochs = trajectory.setting.training.epochs
        compared = self.first_target(trial, trajectory)
        if compared is not None and trial.target_epoch != compared:
            trial = self._study.let_on(trial.number, to_epoch=compared)
        target = epochs if compared is None else compared
        ask = Ask(trial.number, trajectory.digest, target, trajectory.setting.patience, result=target == epochs)
        return OpenTrial(trial, trajectory, ask)

    def first_target(self, trial: StoredTrial, trajectory: Trajectory) -> int | None:
        """The epoch up to which a trial may train now; None for one that is trained to its end without a comparison."""
        epochs = trajectory.setting.training.epochs
        ladder = self._rungs(trial, epochs)
        if len(ladder) == 1:
            return None
        return next(rung for rung in ladder if rung >= min(trial.target_epoch or 1, epochs))

    def move(self, *, more: bool) -> GoOn | Drop | None:
        """Let a waiting trial continue, or say which one is to end; None if all of them have to wait.

        Args:
            more: Whether more trials are still to come.
        """
        if not self._board.waiting or self._board.standings is None:
            return None
        with blamed_on(self._sweep.search.pruner):
            move = self._board.standings.next_move(more=more)
        if isinstance(move, GoOn):
            open_ = self._board.open[move.number]
            self._board.change(
                open_,
                trial=self._study.let_on(move.number, to_epoch=move.to_epoch),
                ask=replace(open_.ask, epochs=move.to_epoch, result=move.to_epoch == open_.epochs),
            )
        return move

    def report(self, open_: OpenTrial, *, up_to: int) -> None:
        """Record the trial's value at every rung that it has passed."""
        ladder = self._rungs(open_.trial, open_.epochs)
        for rung, following in pairwise(ladder):
            view = self.view(open_, epochs=rung) if rung <= up_to and rung not in open_.trial.reached else None
            if view is not None and view.end_epoch == rung:
                reported = self._study.report(
                    open_.ask.number,
                    epoch=rung,
                    value=view.value,
                    figures=self.figures(open_, view),
                    # Up to the first rung most curves bend, so that where they are heading is a guess.
                    outlook=None if rung == ladder[0] else self._outlook(open_, view, at=following),
                )
                self._board.change(open_, trial=reported)
        if EPOCH_S in self._sweep.search.constraints:
            self._board.change(open_, barred=open_.waits and self._is_barred(open_))

    def end(self, open_: OpenTrial) -> StoredTrial:
        """Finish a waiting trial where it is."""
        view = self.view(open_, epochs=open_.ask.epochs)
        assert view is not None, "a trial that waits has reached its rung"
        figures = self.figures(open_, view)
        return self._study.prune(open_.ask.number, Outcome(view, watched=self.watched(open_, view), figures=figures))

    def view(self, open_: OpenTrial, *, epochs: int) -> View | None:
        """What the trial would see of its trajectory if it asked for this many epochs; None until they are trained."""
        history, objective = self._board.history(open_.ask.trajectory), self._sweep.objective
        return view_of(history, epochs=epochs, patience=open_.ask.patience, objective=objective)

    def watched(self, open_: OpenTrial, view: View) -> dict[str, float]:
        """The other metrics that the sweep watches, at the epoch that a view takes."""
        row = self._board.history(open_.ask.trajectory)[view.chosen_epoch - 1]
        return {name: row.values[name] for name in self._sweep.search.watch}

    def figures(
        self, open_: OpenTrial, view: View, final: Mapping[str, float] = MappingProxyType({})
    ) -> dict[str, float]:
        """What the trial is judged by beside its value.

        Args:
            open_: The trial.
            view: What it sees of its trajectory.
            final: What was measured of its weights.
        """
        search, history = self._sweep.search, self._board.history(open_.ask.trajectory)
        size = known_figures(open_.trajectory.setting) if needs_size(search) else {}
        return figures_of(search, history, view, final=final, size=size)

    def _outlook(self, open_: OpenTrial, view: View, *, at: int) -> float | None:
        """What the curve is heading for at an epoch; None if the pruner compares values."""
        if not self._sweep.search.pruner.extrapolate:
            return None
        objective, history = self._sweep.objective, self._board.history(open_.ask.trajectory)[: view.end_epoch]
        losses = [objective.loss(row.metrics.get(objective.metric)) for row in history]
        return outlook(losses, value=objective.loss(view.value), at=at)

    def _is_barred(self, open_: OpenTrial) -> bool:
        """Whether a waiting trial's epochs take longer than they may; other metrics may still get better."""
        bound = self._sweep.search.constraints.get(EPOCH_S)
        if bound is None:
            return False
        history = self._board.history(open_.ask.trajectory)
        return bound.excess(median_epoch_s(history, up_to=open_.ask.epochs)) > 0

    def _rungs(self, trial: StoredTrial, epochs: int) -> tuple[int, ...]:
        if trial.confirms is not None:
            return (epochs,)  # It is not compared with the search's trials.
        pruner, most_epochs = self._sweep.search.pruner, self._sweep.most_epochs
        with blamed_on(pruner):
            return rungs(
                pruner, number=trial.number, epochs=epochs, most_epochs=most_epochs, own=self._board.own_pruner
            )
