from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepcolor.search.rules.schedule import Ask, Share, next_ask, trained_epochs

_TRAJECTORIES = st.sampled_from(["a", "b", "c", "d"])
_ASKS = st.lists(st.tuples(_TRAJECTORIES, st.integers(1, 9)), max_size=12).map(
    lambda pairs: [Ask(number, digest, epochs, None) for number, (digest, epochs) in enumerate(pairs)]
)
_SHARES = st.lists(st.tuples(_TRAJECTORIES, st.integers(1, 9)), max_size=12).map(
    lambda pairs: [Share(number, digest, epochs, 0) for number, (digest, epochs) in enumerate(pairs)]
)


@given(_ASKS, st.integers(1, 4))
def test_every_ask_is_met_with_as_many_epochs_as_its_trajectory_is_long(asks: list[Ask], slots: int) -> None:
    """No trajectory runs twice at a time, and each is trained to its furthest ask and not one epoch more."""
    open_, reached, trained = list(asks), dict.fromkeys("abcd", 0), 0
    while open_:
        busy: dict[str, Ask] = {}
        while len(busy) < slots and (ask := next_ask(open_, busy)) is not None:
            assert ask.trajectory not in busy
            busy[ask.trajectory] = ask
        assert busy
        for ask in busy.values():
            trained += max(0, ask.epochs - reached[ask.trajectory])
            reached[ask.trajectory] = max(reached[ask.trajectory], ask.epochs)
        open_ = [ask for ask in open_ if ask.epochs > reached[ask.trajectory]]
    furthest: dict[str, int] = {}
    for ask in asks:
        furthest[ask.trajectory] = max(furthest.get(ask.trajectory, 0), ask.epochs)
    assert trained == sum(furthest.values())


@given(_ASKS)
def test_an_idle_trajectory_starts_with_its_nearest_epoch(asks: list[Ask]) -> None:
    """A later trial continues where an earlier one ends, so the shortest ask of a trajectory comes first."""
    ask = next_ask(asks, ())
    assert (ask is None) == (not asks)
    if ask is not None:
        assert ask.epochs == min(other.epochs for other in asks if other.trajectory == ask.trajectory)


@given(_SHARES)
def test_trials_together_pay_for_each_epoch_once(shares: list[Share]) -> None:
    """What a study's trials pay adds up to the longest trial of each trajectory."""
    furthest: dict[str, int] = {}
    for share in shares:
        furthest[share.trajectory] = max(furthest.get(share.trajectory, 0), share.requested_epochs)
    assert sum(trained_epochs(shares).values()) == sum(furthest.values())


def test_epochs_that_were_in_the_store_already_cost_nothing() -> None:
    """The reports' grid asks for 5,400 epochs and trains 2,700; a second study on it trains none."""
    grid = [(f"t{index}", epochs) for index in range(9) for epochs in (100, 200, 300)]
    first = [Share(number, name, epochs, 0) for number, (name, epochs) in enumerate(grid)]
    again = [Share(number, name, epochs, 300) for number, (name, epochs) in enumerate(grid)]
    assert sum(share.requested_epochs for share in first) == 5400
    assert sum(trained_epochs(first).values()) == 2700
    assert sum(trained_epochs(again).values()) == 0


def test_epochs_whose_weights_are_gone_are_paid_for_again() -> None:
    """If the store has only a history, each trial continues from where the one before it ended, up to the epoch whose
    weights it takes; a trial that needs no weights pays nothing.
    """

    def share(number: int, end: int, *, chosen: int | None, begins: int = 0) -> Share:
        return Share(number, "t", end, 300, seen_epochs=end, resumed_epochs=begins, weights_epoch=chosen)

    grid = [share(0, 300, chosen=290), share(1, 100, chosen=100), share(2, 200, chosen=180)]
    assert trained_epochs(grid) == {1: 100, 2: 80, 0: 110}
    assert trained_epochs([share(0, 300, chosen=290, begins=250)]) == {0: 40}
    assert trained_epochs([Share(0, "t", 300, 300, seen_epochs=9)]) == {0: 0}
    longer = Share(3, "t", 400, 300, seen_epochs=400, resumed_epochs=0, weights_epoch=400)
    assert sum(trained_epochs([*grid, longer]).values()) == 290 + 110
