"""The standings of a study's trials, kept in order as they change.

They decide as `pruning.next_move` does, which is the rule; but that ranks all trials again at every move, and so would
get slower with every trial.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter

from deepcolor.config.schema import PrunerConfig
from deepcolor.search.rules.pruning import (
    Drop,
    GoOn,
    OwnPruner,
    Standing,
    ahead_of_the_winner,
    bracket_order,
    going_on,
    quota,
    skipped_rungs,
)


class Standings:
    """How far every trial has come that has reached a rung, or is training towards one."""

    def __init__(self, pruner: PrunerConfig, *, most_epochs: int, own: OwnPruner | None = None) -> None:
        """Begin without a trial.

        Args:
            pruner: The sweep's pruner.
            most_epochs: How many epochs the longest trial of the sweep asks for.
            own: The user's own pruner, if the sweep names one.
        """
        self._pruner = pruner
        self._most_epochs = most_epochs
        self._own = own
        self._brackets: dict[int | None, _Bracket] = {}
        self._known: dict[int, tuple[Standing, _Bracket]] = {}

    def put(self, standing: Standing) -> None:
        """Take note of where a trial stands now."""
        self.remove(standing.number)
        skipped = skipped_rungs(self._pruner, number=standing.number, most_epochs=self._most_epochs)
        bracket = self._brackets.setdefault(skipped, _Bracket())
        bracket.add(standing)
        self._known[standing.number] = standing, bracket

    def remove(self, number: int) -> None:
        """Forget a trial, if it is known: it says nothing any more."""
        if (known := self._known.pop(number, None)) is not None:
            standing, bracket = known
            bracket.take_out(standing)

    def next_move(self, *, more: bool) -> GoOn | Drop | None:
        """Return what becomes of a waiting trial, or None if all of them have to wait; see `pruning.next_move`."""
        for _, bracket in sorted(self._brackets.items(), key=bracket_order):
            move = self._move_in(bracket, more=more)
            if move is not None:
                return move
        if more or any(bracket.training for bracket in self._brackets.values()):
            return None
        # All of them are looked at, but once a trial that ends the search, not at every move.
        chosen = ahead_of_the_winner([standing for standing, _ in self._known.values()])
        return None if chosen is None else self._going_on(chosen)

    def _going_on(self, chosen: Standing) -> GoOn:
        return going_on(self._pruner, chosen, most_epochs=self._most_epochs, own=self._own)

    def _move_in(self, bracket: _Bracket, *, more: bool) -> GoOn | Drop | None:
        if not bracket.waiting:
            return None
        chosen = self._passing(bracket)
        if chosen is None and not self._pruner.resume:
            return Drop(min(bracket.waiting))
        if chosen is None and not more and self._pruner.name != "median" and not bracket.training:
            chosen = bracket.last_hope()
        return None if chosen is None else self._going_on(self._known[chosen][0])

    def _passing(self, bracket: _Bracket) -> int | None:
        """The number of the waiting trial that may continue first: of the highest rung, the best one."""
        for rung in bracket.with_waiting(highest_first=True):
            chosen = rung.first_of(quota(self._pruner, rung.losses, own=self._own))
            if chosen is not None:
                return chosen
        return None


_Ranked = tuple[float, int, str]
"""A loss, the number of the trial that has it, and its trajectory: in order, the best first."""


class _Bracket:
    """The trials that are compared with each other."""

    def __init__(self) -> None:
        self.waiting: set[int] = set()
        """Numbers of those that have reached their rung."""
        self.training = 0
        """How many neither wait nor have ended."""
        self._rungs: dict[int, _Rung] = {}

    def add(self, standing: Standing) -> None:
        self.training += standing.trains
        if standing.waits:
            self.waiting.add(standing.number)
        for epoch in standing.values:
            rung = self._rungs.get(epoch)
            if rung is None:
                rung = self._rungs[epoch] = _Rung()
            rung.add(standing, (standing.loss_at(epoch), standing.number, standing.trajectory), epoch)

    def take_out(self, standing: Standing) -> None:
        self.training -= standing.trains
        self.waiting.discard(standing.number)
        for epoch in standing.values:
            self._rungs[epoch].take_out(
                standing, (standing.loss_at(epoch), standing.number, standing.trajectory), epoch
            )

    def with_waiting(self, *, highest_first: bool) -> list[_Rung]:
        """The rungs at which a trial waits."""
        epochs = sorted((epoch for epoch, rung in self._rungs.items() if rung.waiting), reverse=highest_first)
        return [self._rungs[epoch] for epoch in epochs]

    def last_hope(self) -> int | None:
        """The best trial of the lowest rung from which none has moved up, if it is waiting."""
        for rung in self.with_waiting(highest_first=False):
            best = rung.best_trajectory
            here = [number for _, number, trajectory in rung.waiting if trajectory == best]
            if here and not rung.above:
                return min(here)
        return None


class _Rung:
    """Those that have reached an epoch. A trajectory counts once, with the best of its trials."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        """Of each trajectory, best first."""
        self.waiting: list[_Ranked] = []
        """The trials that wait here and may continue, best first."""
        self.above: Counter[str] = Counter()
        """How many trials of a trajectory may train beyond, or have."""
        self._best: list[_Ranked] = []
        """The best trial of each trajectory, best first; beside its loss in `losses`."""
        self._of: dict[str, list[_Ranked]] = {}
        """All trials of each trajectory, best first."""
        self._shared = 0
        """How many trials are not the only one of their trajectory, the first of each not counted."""

    @property
    def best_trajectory(self) -> str:
        return self._best[0][2]

    def add(self, standing: Standing, ranked: _Ranked, epoch: int) -> None:
        there = self._of.setdefault(standing.trajectory, [])
        before = there[0] if there else None
        insort(there, ranked)
        self._shared += len(there) > 1
        self._replace(before, there[0])
        if standing.barred:
            return
        if standing.target > epoch:
            self.above[standing.trajectory] += 1
        elif standing.waits and standing.target == epoch:
            insort(self.waiting, ranked)

    def take_out(self, standing: Standing, ranked: _Ranked, epoch: int) -> None:
        there = self._of[standing.trajectory]
        before = there[0]
        self._shared -= len(there) > 1
        del there[bisect_left(there, ranked)]
        self._replace(before, there[0] if there else None)
        if not there:
            del self._of[standing.trajectory]
        if standing.barred:
            return
        if standing.target > epoch:
            self.above[standing.trajectory] -= 1
            if not self.above[standing.trajectory]:
                del self.above[standing.trajectory]
        elif standing.waits and standing.target == epoch:
            del self.waiting[bisect_left(self.waiting, ranked)]

    def first_of(self, count: int) -> int | None:
        """The number of the best waiting trial whose trajectory is among the best `count`, or has moved up before."""
        for ranked in self.waiting:
            trajectory = ranked[2]
            if trajectory in self.above or bisect_left(self._best, self._of[trajectory][0]) < count:
                return ranked[1]
            if not self._shared:
                return None  # Each trial has a trajectory of its own, and those behind this one rank lower.
        return None

    def _replace(self, before: _Ranked | None, after: _Ranked | None) -> None:
        """Keep the best trials of the trajectories in order, as that of one has changed."""
        if before == after:
            return
        if before is not None:
            place = bisect_left(self._best, before)
            del self._best[place], self.losses[place]
        if after is not None:
            place = bisect_left(self._best, after)
            self._best.insert(place, after)
            self.losses.insert(place, after[0])
