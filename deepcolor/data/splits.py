"""Share groups of pictures out among train, val and test: the same pictures, fractions and seed give the same split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

from deepcolor.errors import DataError

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")


def split_groups(
    members: Mapping[int, Sequence[str]], *, fractions: tuple[float, float, float], seed: int
) -> dict[int, SplitName]:
    """Give each group to one split, so that the splits come as near to the fractions as whole groups allow.

    The groups are put into an order that hangs on the seed and on their pictures' contents alone, and cut in two
    places. So neither names nor the file system decide, and adding a few pictures moves few of the others.

    Args:
        members: The sha256 of each group's pictures, by group number.
        fractions: Of train, val and test; each above 0, together 1.
        seed: Another seed gives another split.
    Raises:
        DataError: The fractions are no such fractions, or there are fewer groups than splits.
    """
    wanted = checked_fractions(fractions)
    if len(members) < len(SPLIT_NAMES):
        raise DataError(
            f"data set: needs at least {len(SPLIT_NAMES)} pictures that are not copies of each other, one for each "
            f"split; got {len(members)}. Add more pictures."
        )
    order = sorted(members, key=lambda group: _drawn(members[group], seed))
    reached = list(accumulate(len(members[group]) for group in order))
    # Cuts stand after a group, and leave at least one group on either side and between them.
    first = _nearest(reached, wanted[0], low=0, high=len(order) - 3)
    second = _nearest(reached, wanted[0] + wanted[1], low=first + 1, high=len(order) - 2)
    return {group: SPLIT_NAMES[(place > first) + (place > second)] for place, group in enumerate(order)}


def checked_fractions(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the fractions if each is above 0 and their sum is 1.

    Raises:
        DataError: They are not.
    """
    if min(fractions) > 0 and abs(sum(fractions) - 1) < 1e-6:
        return fractions
    shown = "/".join(f"{100 * fraction:g}" for fraction in fractions)
    raise DataError(
        f"split: must be three shares above 0 for train, val and test that add up to 100; got {shown}. Try 80/10/10."
    )


def _nearest(reached: Sequence[int], fraction: float, *, low: int, high: int) -> int:
    """The place, from `low` to `high`, at which the running total is nearest to a fraction of the whole."""
    return min(range(low, high + 1), key=lambda place: abs(reached[place] - fraction * reached[-1]))


def _drawn(sha256s: Sequence[str], seed: int) -> str:
    return hashlib.sha256(f"{seed}:{min(sha256s)}".encode()).hexdigest()
