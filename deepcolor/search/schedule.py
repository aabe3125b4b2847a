"""Decide which segment comes next, and who pays for which epoch. Pure: nothing is started, read or written here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Ask:
    """What one open trial wants: to see a trajectory up to an epoch."""

    number: int
    """The trial's number."""
    trajectory: str
    epochs: int
    """Up to where; a rung, for a trial that has to be compared on the way."""
    patience: int | None
    result: bool = True
    """Whether the trial ends there, and so needs the result; at a rung it does not."""


def next_ask(
    asks: Iterable[Ask], busy: Collection[str], *, left_s: Mapping[str, float] = MappingProxyType({})
) -> Ask | None:
    """Return the ask whose segment should start now, or None when every open trajectory is already being trained.

    On one trajectory the nearest epoch comes first, so that a later trial goes on where an earlier one ended. Between
    trajectories the one with the most left comes first, so that no long one is begun when all others have ended; where
    nothing is known, or it is equal, the oldest trial.

    Args:
        asks: Of the open trials.
        busy: Trajectories that are being trained.
        left_s: Seconds of training that lie before each trajectory.
    """
    nearest: dict[str, Ask] = {}
    for ask in asks:
        if ask.trajectory in busy:
            continue
        known = nearest.get(ask.trajectory)
        if known is None or (ask.epochs, ask.number) < (known.epochs, known.number):
            nearest[ask.trajectory] = ask
    return min(nearest.values(), key=lambda ask: (-left_s.get(ask.trajectory, 0.0), ask.number), default=None)


@dataclass(frozen=True)
class Share:
    """What one finished trial asked for, and how much of its trajectory was there when it was first asked for."""

    number: int
    trajectory: str
    requested_epochs: int
    """Epochs the trial would have trained alone: an early stop ends a lone training as well, a pruner does not."""
    in_store_epochs: int
    """Epochs of the trajectory that the store held when the trial was asked."""
    seen_epochs: int | None = None
    """Epochs that it came to, where a pruner stopped it before; None: all it requested."""


def trained_epochs(shares: Iterable[Share]) -> dict[int, int]:
    """Return for each trial the epochs that were trained for it and for no trial before it.

    The sum over a study is what it trained; what it asked for is the sum of `requested_epochs`. It follows from the
    stored trials alone, so it is the same after any number of crashes and restarts.
    """
    reached: dict[str, int] = {}
    paid: dict[int, int] = {}
    for share in sorted(shares, key=lambda share: share.number):
        start = reached.get(share.trajectory, share.in_store_epochs)
        seen = share.requested_epochs if share.seen_epochs is None else share.seen_epochs
        paid[share.number] = max(0, seen - start)
        reached[share.trajectory] = max(start, seen)
    return paid
