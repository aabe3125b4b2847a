"""How much of a search its pruner lets be trained: its rules, played with trials whose order is drawn. Pure.

A trial that leads at its first rung is taken to lead at all of them, and the order in which good and bad ones come is
drawn, a few times over. How good the sampler gets is not foreseen: the better its later trials are, the more of them go
on.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from deepcolor.config.schema import Sweep
from deepcolor.search.rules.pruning import Drop, GoOn, Standing, rungs
from deepcolor.search.rules.standings import Standings

_PLAYED_TRIALS = 2000
"""Of all games together."""
_MOST_GAMES = 25


@dataclass(frozen=True)
class Run:
    """What one trial would take if no pruner ended it."""

    epochs: int
    epoch_s: float
    trial_s: float


@dataclass(frozen=True)
class Foreseen:
    """What is expected to be left of it."""

    epochs: float
    span_s: float
    """From the first segment to the last, on all workers."""


def foreseen(sweep: Sweep, runs: Sequence[Run], *, workers: int) -> Foreseen | None:
    """Play a search with its pruner; None if there is none, or a user's own, whose code is not run for a plan.

    Args:
        sweep: Its pruner is asked.
        runs: The trials, in their order, each on a training of its own.
        workers: How many train at a time.
    """
    pruner = sweep.search.pruner
    if pruner.name == "none" or pruner.brought or not runs:
        return None
    draw = random.Random(sweep.search.seed)
    games = [
        _Game(sweep, runs, workers=workers, losses=draw.sample(range(len(runs)), len(runs))).played()
        for _ in range(max(1, min(_MOST_GAMES, _PLAYED_TRIALS // len(runs))))
    ]
    return Foreseen(fmean(game.epochs for game in games), fmean(game.span_s for game in games))


class _Game:
    """One search, told by nothing but the order of its trials."""

    def __init__(self, sweep: Sweep, runs: Sequence[Run], *, workers: int, losses: Sequence[int]) -> None:
        self._sweep = sweep
        self._runs = runs
        self._losses = losses
        self._most_epochs = max(sweep.most_epochs, *(run.epochs for run in runs))
        self._standings = Standings(sweep.search.pruner, most_epochs=self._most_epochs)
        self._at: dict[int, Standing] = {}
        self._training: list[tuple[float, int]] = []
        """When each segment ends, and whose it is."""
        self._workers = workers
        self._trained = 0

    def played(self) -> Foreseen:
        now = 0.0
        while True:
            while len(self._training) < self._workers and self._begins(now):
                pass
            if not self._training:
                return Foreseen(self._trained, now)
            now, number = heapq.heappop(self._training)
            self._ends(number)

    def _begins(self, now: float) -> bool:
        """Begin one more segment as the driver would: what may continue, else a new trial, else a last hope."""
        while isinstance(move := self._standings.next_move(more=True), Drop):
            self._put(move.number, target=self._at[move.number].target, ended=True)
        if move is None and len(self._at) < len(self._runs):
            number = len(self._at)
            move = GoOn(number, self._rungs(number)[0])
        move = move or self._standings.next_move(more=False)
        if not isinstance(move, GoOn):
            return False
        run = self._runs[move.number]
        before = self._at[move.number].target if move.number in self._at else 0
        self._put(move.number, target=move.to_epoch)
        self._trained += move.to_epoch - before
        takes = (move.to_epoch - before) * run.epoch_s + (run.trial_s if move.to_epoch == run.epochs else 0.0)
        heapq.heappush(self._training, (now + takes, move.number))
        return True

    def _ends(self, number: int) -> None:
        target = self._at[number].target
        self._put(number, target=target, reached=True, ended=target >= self._runs[number].epochs)

    def _put(self, number: int, *, target: int, reached: bool = False, ended: bool = False) -> None:
        """Write down where a trial stands."""
        before = self._at.get(number)
        values = dict(before.values) if before else {}
        if reached:
            values[target] = float(self._losses[number])
        epochs = self._runs[number].epochs
        self._at[number] = Standing(number, str(number), epochs, target, values, ended, losses=values, complete=ended)
        self._standings.put(self._at[number])

    def _rungs(self, number: int) -> tuple[int, ...]:
        return rungs(
            self._sweep.search.pruner,
            number=number,
            epochs=self._runs[number].epochs,
            most_epochs=self._most_epochs,
        )
