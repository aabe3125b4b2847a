"""Decide which segment comes next, and which trial pays for which epoch. Pure: nothing is started, read or written."""

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
    """The epoch; a rung for a trial that has to be compared on the way."""
    patience: int | None
    result: bool = True
    """Whether the trial ends there, and so needs the result; at a rung it does not."""


def next_ask(
    asks: Iterable[Ask], busy: Collection[str], *, left_s: Mapping[str, float] = MappingProxyType({})
) -> Ask | None:
    """Return the ask whose segment should start now, or None if every open trajectory is already being trained.

    On one trajectory the nearest epoch comes first, so that a later trial continues where an earlier one ended. Among
    trajectories the one with the most left comes first, so that no long one starts when all others have ended; if that
    is unknown or equal, the oldest trial comes first.

    Args:
        asks: Of the open trials.
        busy: Trajectories that are being trained.
        left_s: Seconds of training left on each trajectory.
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
    """What one trial asked of its trajectory, and how much of it was there when the trial was placed."""

    number: int
    trajectory: str
    requested_epochs: int
    """Epochs the trial would have trained by itself: early stopping would end such a training too, a pruner would not.
    0 for a trial that has not ended with an outcome."""
    in_store_epochs: int
    """Epochs of the trajectory whose figures the store held."""
    seen_epochs: int | None = None
    """Epochs that it reached, if a pruner stopped it before; None: all it requested."""
    resumed_epochs: int | None = None
    """The epoch from which its training could continue: less than `in_store_epochs` if checkpoints had been collected;
    None: from there."""
    weights_epoch: int | None = None
    """The epoch whose weights it left; None if figures were all that it needed."""

    @property
    def seen(self) -> int:
        """Epochs that it reached."""
        return self.requested_epochs if self.seen_epochs is None else self.seen_epochs

    @property
    def begins(self) -> int:
        """The epoch from which it would have been trained by itself."""
        return self.in_store_epochs if self.resumed_epochs is None else self.resumed_epochs

    @property
    def retraces(self) -> bool:
        """Whether all of its figures were known before, so that at most its weights had to be trained again."""
        return self.resumed_epochs is not None and 0 < self.seen <= self.in_store_epochs


def trained_epochs(shares: Iterable[Share]) -> dict[int, int]:
    """Return for each trial the epochs that were trained for it and for no trial before it.

    The sum over a study is what it trained; what it asked for is the sum of `requested_epochs`. The result follows from
    the stored trials alone, so it is the same after any number of crashes and restarts: an epoch that was lost in a
    crash and trained a second time counts once.

    Args:
        shares: Of all trials that have a trajectory, failed ones included, so that what those trained does not count
            as savings.
    """
    known = sorted(shares, key=lambda share: share.number)
    again: dict[str, int] = {}
    paid: dict[int, int] = {}
    for share in sorted((one for one in known if one.retraces), key=lambda share: share.weights_epoch or 0):
        needed = share.weights_epoch or 0
        paid[share.number] = max(0, needed - max(share.begins, again.get(share.trajectory, 0)))
        if paid[share.number]:
            again[share.trajectory] = needed
    begun: dict[str, int] = {}
    reached: dict[str, int] = {}
    for share in known:
        # Epochs that an earlier trial trained, but failed before it paid for them, are no savings.
        begun[share.trajectory] = min(share.begins, begun.get(share.trajectory, share.begins))
        if share.number in paid:
            continue
        start = max(reached.get(share.trajectory, begun[share.trajectory]), again.get(share.trajectory, 0))
        paid[share.number] = max(0, share.seen - start)
        if paid[share.number] or share.trajectory in reached:
            reached[share.trajectory] = max(start, share.seen)
    return paid
