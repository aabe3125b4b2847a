"""Who may run at the same time, and with how many slots. Pure.

Between users the slots are shared evenly, whatever each has submitted; priorities order one user's own submissions.
What runs is never sent away for another one, but it may have to do with fewer slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORTH_IT = 0.5
"""A share that grows by less than this part of itself is not worth a new start."""


@dataclass(frozen=True)
class Claim:
    """A submission that runs, or would."""

    id: str
    user: str
    priority: int
    at: float
    """When it was submitted."""
    holds: int = 0
    """Slots that it has now; 0: it does not run."""


def settle(claims: Sequence[Claim], *, slots: int, at_a_time: int, limit_a_user: int | None) -> dict[str, int]:
    """Return how many slots each submission is due that may run now; the others have to wait.

    Args:
        claims: All that run or would, in any order.
        slots: How many there are.
        at_a_time: At most so many run together.
        limit_a_user: At most so many of one user's; None: no limit.
    """
    chosen = [claim for claim in claims if claim.holds]
    waiting = [claim for claim in claims if not claim.holds]
    while len(chosen) < min(at_a_time, slots):
        running = Counter(claim.user for claim in chosen)
        free = [one for one in waiting if limit_a_user is None or running[one.user] < limit_a_user]
        if not free:
            break
        following = min(free, key=lambda one: (running[one.user], -one.priority, one.at, one.id))
        chosen.append(following)
        waiting.remove(following)
    return _divided(chosen, slots)


def worth_growing(running: Sequence[Claim], due: Mapping[str, int], *, slots: int) -> Claim | None:
    """Return the submission that would gain most from starting again with its due, if that is worth it for any.

    Args:
        running: All that run; nothing waits.
        due: Their slots, as `settle` gives them.
        slots: How many there are.
    """
    free = slots - sum(claim.holds for claim in running)
    gains = {claim.id: due.get(claim.id, 0) - claim.holds for claim in running}
    able = [claim for claim in running if free >= gains[claim.id] >= max(1, _WORTH_IT * claim.holds)]
    return max(able, key=lambda one: (gains[one.id] / one.holds, -one.at, one.id), default=None)


def _divided(chosen: Sequence[Claim], slots: int) -> dict[str, int]:
    due = {claim.id: 1 for claim in chosen}
    of_user = Counter(claim.user for claim in chosen)
    order = sorted(chosen, key=lambda one: (-one.priority, one.at, one.id))
    for _ in range(slots - len(chosen)):
        if not order:
            break
        following = min(order, key=lambda one: (of_user[one.user], due[one.id]))
        due[following.id] += 1
        of_user[following.user] += 1
    return due
