from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from deepcolor.app.supply import MachineSupply, Slots
from deepcolor.service.shares import Claim, settle, worth_growing

CLAIMS = st.lists(
    st.builds(
        Claim,
        id=st.uuids().map(str),
        user=st.sampled_from(["ann", "bob", "cyd"]),
        priority=st.integers(-100, 100),
        at=st.floats(0, 1e9),
    ),
    max_size=12,
    unique_by=lambda claim: claim.id,
)


def claims(*users: str, holds: int = 0) -> list[Claim]:
    return [Claim(f"{user}-{at}", user, 0, float(at), holds) for at, user in enumerate(users)]


@given(CLAIMS, st.integers(0, 16), st.integers(1, 8), st.none() | st.integers(1, 4))
def test_slots_are_never_given_twice(all_: list[Claim], slots: int, at_a_time: int, limit: int | None) -> None:
    """Whatever is submitted: all slots are used if anything may run, none twice, each that runs has one at least, no
    user has more than the limit, and nobody waits who could run.
    """
    due = settle(all_, slots=slots, at_a_time=at_a_time, limit_a_user=limit)
    users = Counter(claim.user for claim in all_ if claim.id in due)
    assert sum(due.values()) == (slots if due else 0)
    assert all(share >= 1 for share in due.values())
    assert len(due) <= at_a_time
    assert limit is None or all(count <= limit for count in users.values())
    waiting = [claim for claim in all_ if claim.id not in due]
    full = len(due) == min(at_a_time, slots)
    assert full or all(limit is not None and users[claim.user] >= limit for claim in waiting)


@given(CLAIMS, st.integers(1, 16), st.integers(1, 8))
def test_users_have_equal_shares(all_: list[Claim], slots: int, at_a_time: int) -> None:
    """Between users who run something, the numbers of slots differ by one at most, unless each of the larger share's
    submissions has only the one slot that it needs.
    """
    due = settle(all_, slots=slots, at_a_time=at_a_time, limit_a_user=None)
    of_user = Counter[str]()
    runs = Counter(claim.user for claim in all_ if claim.id in due)
    for claim in all_:
        of_user[claim.user] += due.get(claim.id, 0)
    shares = [of_user[user] for user in runs]
    if shares and max(shares) - min(shares) > 1:
        largest = max(runs, key=lambda user: of_user[user])
        assert of_user[largest] == runs[largest]


def test_who_came_late_with_much_does_not_push_others_away() -> None:
    """Three sweeps of one user and one of another on four slots: both users get two."""
    due = settle(claims("ann", "ann", "ann", "bob"), slots=4, at_a_time=4, limit_a_user=None)
    assert due == {"ann-0": 1, "ann-1": 1, "ann-2": 1, "bob-3": 1}
    due = settle(claims("ann", "ann", "ann", "bob"), slots=4, at_a_time=2, limit_a_user=None)
    assert due == {"ann-0": 2, "bob-3": 2}


def test_priorities_order_one_users_own() -> None:
    """Of a user's submissions the one of the highest priority starts first; it takes nothing from another user."""
    urgent = Claim("urgent", "ann", 50, 9.0)
    due = settle([*claims("ann", "bob"), urgent], slots=2, at_a_time=2, limit_a_user=None)
    assert due == {"urgent": 1, "bob-1": 1}


def test_what_runs_goes_on_with_less() -> None:
    """A sweep that has all slots is not sent away for a newcomer, but is due half of them from then on."""
    running = claims("ann", holds=4)
    due = settle([*running, Claim("new", "bob", 100, 5.0)], slots=4, at_a_time=4, limit_a_user=None)
    assert due == {"ann-0": 2, "new": 2}


def test_a_share_grows_where_that_is_worth_a_start() -> None:
    """One that holds two of eight slots alone starts again with all; one that holds seven does not, nor does anyone
    while there is nothing free.
    """
    for holds, grows in ((2, True), (5, True), (6, False), (7, False), (8, False)):
        running = claims("ann", holds=holds)
        due = settle(running, slots=8, at_a_time=4, limit_a_user=None)
        assert (worth_growing(running, due, slots=8) is not None) == grows
    two = [Claim("a", "ann", 0, 0.0, holds=1), Claim("b", "bob", 0, 1.0, holds=7)]
    assert worth_growing(two, settle(two, slots=8, at_a_time=4, limit_a_user=None), slots=8) is None


def test_a_part_of_a_machine_has_its_own_gpus_and_the_threads_of_the_whole() -> None:
    """Two submissions on different slots never share a GPU that is one slot's, and what decides the last bits of a
    figure does not hang on the share.
    """
    machine = MachineSupply(Slots(4, 3, ("cuda:0", "cuda:1", "cuda:2", "cuda:3")))
    assert machine.part((1, 3)) == Slots(2, 3, ("cuda:1", "cuda:3"))
    assert MachineSupply(Slots(4, 3, ())).part((0,)) == Slots(1, 3, ())
