"""Take a study's trials from rung to rung: do what `pruning` decides, and write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from deepcolor.search.driver.board import Board, OpenTrial
from deepcolor.search.driver.own_pruner import blamed_on, own_pruner
from deepcolor.search.rules.figures import figures_of, median_epoch_s, needs_size
from deepcolor.search.rules.pruning import Drop, GoOn, next_move, rungs
from deepcolor.search.rules.schedule import Ask
from deepcolor.search.study.sizes import known_figures
from deepcolor.search.study.storage import Outcome, StoredStudy, StoredTrial
from deepcolor.stages.contract import EPOCH_S
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import Trajectory, View


class Ladder:
    """The rungs of one study. It keeps no state: that is on the board and in the study's storage."""

    def __init__(self, study: StoredStudy, board: Board, *, code: Path | None) -> None:
        """Load the pruner if it is the user's own.

        Args:
            study: Whose trials these are.
            board: Knows where they stand.
            code: See `Segment.code`.
        Raises:
            CodeError: The user's pruner cannot be imported, or is not a pruner.
        """
        self._study = study
        self._sweep = study.sweep
        self._board = board
        self._own = own_pruner(study.sweep, code=code)

    def enter(self, trial: StoredTrial, trajectory: Trajectory) -> OpenTrial:
        """Put a trial back where it was, or on its way to its first rung."""
        epochs = trajectory.setting.training.epochs
        ladder = self._rungs(trial, epochs)
        target = next(rung for rung in ladder if rung >= min(trial.target_epoch or 1, epochs))
        if len(ladder) > 1 and trial.target_epoch != target:
            trial = self._study.let_on(trial.number, to_epoch=target)
        ask = Ask(trial.number, trajectory.digest, target, trajectory.setting.patience, result=target == epochs)
        return OpenTrial(trial, trajectory, ask)

    def move(self, *, more: bool) -> GoOn | Drop | None:
        """Let a waiting trial continue, or say which one is to end; None if all of them have to wait.

        Args:
            more: Whether more trials are still to come.
        """
        if not self._board.waiting():
            return None
        sweep = self._sweep
        pruner, standings = sweep.search.pruner, self._board.standings()
        with blamed_on(pruner):
            move = next_move(pruner, standings, most_epochs=sweep.most_epochs, more=more, own=self._own)
        if isinstance(move, GoOn):
            open_ = self._board.open[move.number]
            open_.trial = self._study.let_on(move.number, to_epoch=move.to_epoch)
            open_.ask = replace(open_.ask, epochs=move.to_epoch, result=move.to_epoch == open_.epochs)
        return move

    def report(self, open_: OpenTrial, *, up_to: int) -> None:
        """Record the trial's value at every rung that it has passed."""
        for rung in self._rungs(open_.trial, open_.epochs)[:-1]:
            view = self.view(open_, epochs=rung) if rung <= up_to and rung not in open_.trial.reached else None
            if view is not None and view.end_epoch == rung:
                figures = self.figures(open_, view)
                open_.trial = self._study.report(open_.ask.number, epoch=rung, value=view.value, figures=figures)
        open_.barred = open_.waits and self._is_barred(open_)

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
            return rungs(pruner, number=trial.number, epochs=epochs, most_epochs=most_epochs, own=self._own)
