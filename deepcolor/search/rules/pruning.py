"""Decide which waiting trial continues, and to which epoch. Pure: everything follows from what each trial has reached.

A trial trains from rung to rung. At a rung it waits until it is among those that continue; a segment ends there, so
waiting costs nothing but the checkpoint. Trajectories are compared at a rung: trials that differ only in epochs share
their training, so they continue together, and count as one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from deepcolor.config.schema import PrunerConfig


@dataclass(frozen=True)
class Standing:
    """How far one trial has come."""

    number: int
    trajectory: str
    epochs: int
    """How many it asks for in total."""
    target: int
    """The epoch it may train to."""
    values: Mapping[int, float]
    """What it is compared by at each rung it has reached, by epoch, as a loss: lower is better; inf if it diverged on
    the way there. It is the objective there, or what its curve is heading for (`outlook`)."""
    ended: bool = False
    """Finished: complete, diverged or pruned."""
    barred: bool = False
    """It breaks a constraint, so that it goes no further, and stands in nobody's way."""
    losses: Mapping[int, float] = field(default_factory=dict)
    """What it is worth at each of these rungs, and at its end, by epoch: not what its curve is heading for."""
    complete: bool = False
    """Trained to its end, and keeps to all constraints."""

    def loss_at(self, rung: int) -> float:
        """What it is compared by at a rung that it has reached: inf for one that breaks a constraint."""
        return math.inf if self.barred else self.values[rung]

    @property
    def waits(self) -> bool:
        """Whether it has reached its rung, and does not train until it may continue."""
        return not self.ended and self.target < self.epochs and self.target in self.values

    @property
    def trains(self) -> bool:
        return not (self.ended or self.waits)


@dataclass(frozen=True)
class GoOn:
    """Let a waiting trial train to its next rung."""

    number: int
    to_epoch: int


@dataclass(frozen=True)
class Drop:
    """End a waiting trial where it is."""

    number: int


class OwnPruner(Protocol):
    """What a user's own pruner decides. Asked the same again, it must decide the same."""

    def rungs(self, number: int, epochs: int, most_epochs: int) -> Sequence[int]:
        """The epochs after which a trial is compared, without its last one; the arguments are those of `rungs`."""

    def quota(self, losses: Sequence[float]) -> int:
        """How many of those that have reached a rung continue.

        Args:
            losses: The loss of each of them there, best first: lower is better; inf if it diverged.
        """


def rungs(
    pruner: PrunerConfig, *, number: int, epochs: int, most_epochs: int, own: OwnPruner | None = None
) -> tuple[int, ...]:
    """Return the epochs after which a trial is compared, ending with its last epoch.

    Args:
        pruner: The sweep's pruner.
        number: The trial's number; hyperband divides the numbers among its brackets.
        epochs: How many the trial asks for.
        most_epochs: How many the longest trial of the sweep asks for.
        own: The user's own pruner, if the sweep names one.
    """
    if own is not None:
        return (*sorted({rung for rung in own.rungs(number, epochs, most_epochs) if 0 < rung < epochs}), epochs)
    skipped = skipped_rungs(pruner, number=number, most_epochs=most_epochs)
    if pruner.name == "none" or skipped is None:
        return (epochs,)
    return (*_powers(pruner, below=epochs, most_epochs=most_epochs)[skipped:], epochs)


def next_move(
    pruner: PrunerConfig,
    standings: Iterable[Standing],
    *,
    most_epochs: int,
    more: bool,
    own: OwnPruner | None = None,
) -> GoOn | Drop | None:
    """Return what becomes of a waiting trial, or None if all of them have to wait.

    With `resume`, a rung's best trials continue whenever they become its best, the highest rung first. Without it, a
    trial is judged once, against those that have reached its rung before it.

    Args:
        pruner: The sweep's pruner.
        standings: All trials that have trained.
        most_epochs: How many the longest trial of the sweep asks for.
        more: Whether more trials are still to come. If not, halving lets the best of its lowest rung continue even if
            the rung is too small for its share, so that a search always ends with a trial trained to its end. After
            that, whoever leads its rung by what it is worth there, and is worth more than the best trial at its end,
            continues, too: where curves were heading may have been judged wrongly.
        own: The user's own pruner, if the sweep names one; it is treated as a halving one.
    """
    brackets: dict[int | None, list[Standing]] = {}
    standings = list(standings)
    for standing in standings:
        skipped = skipped_rungs(pruner, number=standing.number, most_epochs=most_epochs)
        brackets.setdefault(skipped, []).append(standing)
    for _, members in sorted(brackets.items(), key=bracket_order):
        move = _move_in(pruner, members, more=more, most_epochs=most_epochs, own=own)
        if move is not None:
            return move
    if more or any(standing.trains for standing in standings):
        return None
    chosen = ahead_of_the_winner(standings)
    return None if chosen is None else going_on(pruner, chosen, most_epochs=most_epochs, own=own)


def ahead_of_the_winner(standings: Collection[Standing]) -> Standing | None:
    """The best of the trials that wait at a rung where none is worth more, and are worth more than any is at its end.

    Only those that lead can be, so they are few, even where trials are worth less and less the longer they train.
    """
    winner = min((standing.losses[standing.target] for standing in standings if standing.complete), default=math.inf)
    leaders: dict[int, Standing] = {}
    for standing in sorted(standings, key=lambda standing: standing.number):
        for rung, loss in standing.losses.items():
            if not standing.barred and (rung not in leaders or loss < leaders[rung].losses[rung]):
                leaders[rung] = standing
    ahead = [leader for rung, leader in leaders.items() if leader.waits and leader.target == rung]
    best = min(ahead, key=lambda leader: (leader.losses[leader.target], leader.number), default=None)
    return best if best is not None and best.losses[best.target] < winner else None


def going_on(pruner: PrunerConfig, chosen: Standing, *, most_epochs: int, own: OwnPruner | None) -> GoOn:
    """Let a waiting trial train to the next of its rungs."""
    ladder = rungs(pruner, number=chosen.number, epochs=chosen.epochs, most_epochs=most_epochs, own=own)
    return GoOn(chosen.number, next(rung for rung in ladder if rung > chosen.target))


def bracket_order(bracket: tuple[int | None, object]) -> tuple[bool, int]:
    """Sort brackets by how many rungs they skip; the one that skips all comes last."""
    skipped, _ = bracket
    return skipped is None, skipped or 0


def _move_in(
    pruner: PrunerConfig, members: Sequence[Standing], *, more: bool, most_epochs: int, own: OwnPruner | None
) -> GoOn | Drop | None:
    waiting = [member for member in members if member.waits]
    if not waiting:
        return None
    chosen = next(_passing(pruner, members, waiting, own=own), None)
    if chosen is None and not pruner.resume:
        return Drop(min(member.number for member in waiting))
    if chosen is None and not more and pruner.name != "median" and not any(member.trains for member in members):
        chosen = _last_hope(members)
    return None if chosen is None else going_on(pruner, chosen, most_epochs=most_epochs, own=own)


def _passing(
    pruner: PrunerConfig, members: Sequence[Standing], waiting: Sequence[Standing], *, own: OwnPruner | None
) -> Iterator[Standing]:
    """The waiting trials that may continue: highest rung first, and within a rung best first."""
    for rung in sorted({member.target for member in waiting}, reverse=True):
        ranked = sorted((m for m in members if rung in m.values), key=lambda m: (m.loss_at(rung), m.number))
        values: dict[str, float] = {}
        for member in ranked:
            values.setdefault(member.trajectory, member.loss_at(rung))
        losses = list(values.values())
        passing = set(list(values)[: quota(pruner, losses, own=own)])
        allowed = [member for member in ranked if not member.barred]
        passing |= {member.trajectory for member in allowed if member.target > rung}
        yield from (m for m in allowed if m.waits and m.target == rung and m.trajectory in passing)


def quota(pruner: PrunerConfig, values: Sequence[float], *, own: OwnPruner | None = None) -> int:
    """Return how many of a rung's trajectories continue.

    Args:
        pruner: The sweep's pruner.
        values: The losses of all trajectories that have reached the rung, best first.
        own: The user's own pruner, if the sweep names one; it gets a list of its own.
    """
    if own is not None:
        return max(0, own.quota(list(values)))
    if pruner.name == "median":
        if len(values) < pruner.warmup_trials:
            return len(values)
        middle = statistics.median_high(values)
        return sum(value <= middle for value in values)
    share = len(values) // pruner.reduction_factor
    # A trial that cannot wait for the rung to fill may continue if it is the best so far.
    return share if pruner.resume else max(1, share)


def _last_hope(members: Sequence[Standing]) -> Standing | None:
    """The best trial of the lowest rung from which none has moved up, if it is waiting."""
    for rung in sorted({member.target for member in members if member.waits}):
        here = [member for member in members if rung in member.values and not member.barred]
        if not here:
            continue
        best = min(here, key=lambda member: (member.values[rung], member.number))
        waiting = [member for member in here if member.waits and member.trajectory == best.trajectory]
        if waiting and not any(member.target > rung for member in here):
            return waiting[0]
    return None


def _powers(pruner: PrunerConfig, *, below: int, most_epochs: int) -> tuple[int, ...]:
    levels, level = [], pruner.first_rung(most_epochs=most_epochs)
    while level < below:
        levels.append(level)
        level *= pruner.reduction_factor
    return tuple(levels)


def skipped_rungs(pruner: PrunerConfig, *, number: int, most_epochs: int) -> int | None:
    """How many of the lowest rungs a trial passes without being compared; None if it passes all."""
    if pruner.name != "hyperband":
        return 0
    levels = len(_powers(pruner, below=most_epochs + 1, most_epochs=most_epochs))
    cycle = _bracket_cycle(max(levels, 1), pruner.reduction_factor)
    skipped = cycle[number % len(cycle)]
    return None if skipped == levels - 1 else skipped


@cache
def _bracket_cycle(brackets: int, factor: int) -> tuple[int, ...]:
    """Return how many rungs the trials 0, 1, 2, ... skip, spread evenly and in proportion to hyperband's brackets.

    Source: Li et al. 2018, Hyperband, algorithm 1: n_s = ceil((s_max + 1) / (s + 1) * eta^s).
    """
    sizes = {brackets - 1 - s: -(-brackets * factor**s // (s + 1)) for s in range(brackets)}
    total = sum(sizes.values())
    credit = dict.fromkeys(sizes, 0)
    cycle = []
    for _ in range(total):
        for skipped, size in sizes.items():
            credit[skipped] += size
        chosen = max(credit, key=lambda skipped: (credit[skipped], -skipped))
        credit[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)
