from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.schema import PrunerConfig
from deepcolor.search.rules.pruning import Drop, GoOn, Standing, next_move, rungs

MOST = 81
_PRUNERS = st.builds(
    PrunerConfig,
    name=st.sampled_from(["asha", "hyperband", "median"]),
    min_epochs=st.integers(1, 9),
    reduction_factor=st.integers(2, 4),
    resume=st.booleans(),
)
_ASHA = st.builds(
    PrunerConfig,
    name=st.just("asha"),
    min_epochs=st.integers(1, 4),
    reduction_factor=st.integers(2, 4),
    resume=st.just(True),
)
_QUALITIES = st.lists(st.integers(0, 8), min_size=1, max_size=20)


class Simulation:
    """A study whose trials have a value of their own at every rung; `slots` of them train at a time."""

    def __init__(self, pruner: PrunerConfig, qualities: list[int], *, slots: int) -> None:
        self.pruner = pruner
        self.qualities = qualities
        self.slots = slots
        self.standings: dict[int, Standing] = {}
        self.complete: list[int] = []
        self.dropped: list[int] = []
        self.let_on: list[tuple[int, int]] = []

    def run(self) -> None:
        asked = 0
        while True:
            while sum(s.trains for s in self.standings.values()) < self.slots:
                if self.move(more=True):
                    continue
                if asked < len(self.qualities):
                    self.ask(asked)
                    asked += 1
                elif not self.move(more=False):
                    break
            training = [standing for standing in self.standings.values() if standing.trains]
            if not training:
                return
            self.reach(training[0])

    def ask(self, number: int) -> None:
        target = rungs(self.pruner, number=number, epochs=MOST, most_epochs=MOST)[0]
        self.standings[number] = Standing(number, str(number), MOST, target, {})

    def reach(self, standing: Standing) -> None:
        values = {**standing.values, standing.target: float(self.qualities[standing.number])}
        losses = {**standing.losses, standing.target: self.loss(standing)}
        ended = standing.target == MOST
        self.standings[standing.number] = replace(standing, values=values, losses=losses, ended=ended, complete=ended)
        self.complete += [standing.number] * ended

    def loss(self, standing: Standing) -> float:
        """What a trial is worth at its rung: what it is compared by."""
        return float(self.qualities[standing.number])

    def move(self, *, more: bool) -> bool:
        move = next_move(self.pruner, self.standings.values(), most_epochs=MOST, more=more)
        if move is None:
            return False
        before = self.standings[move.number]
        assert before.waits
        if isinstance(move, Drop):
            self.dropped.append(move.number)
            self.standings[move.number] = replace(before, ended=True)
        else:
            self.check(before, move)
            self.let_on.append((move.number, before.target))
            self.standings[move.number] = replace(before, target=move.to_epoch)
        return True

    def check(self, before: Standing, move: GoOn) -> None:
        """A trial that continues is among the best ceil(n / reduction_factor) of its rung at that moment."""
        ladder = rungs(self.pruner, number=move.number, epochs=MOST, most_epochs=MOST)
        assert move.to_epoch == ladder[ladder.index(before.target) + 1]
        if self.pruner.name == "asha":
            here = [standing for standing in self.standings.values() if before.target in standing.values]
            better = sum(standing.values[before.target] < before.values[before.target] for standing in here)
            assert better < -(-len(here) // self.pruner.reduction_factor)


@settings(max_examples=150, deadline=None)
@given(_PRUNERS, _QUALITIES, st.integers(1, 4))
def test_every_search_ends_with_a_trial_trained_to_its_end(
    pruner: PrunerConfig, qualities: list[int], slots: int
) -> None:
    """Whatever the values and the number of slots, a search comes to an end, and at least one trial is complete."""
    simulation = Simulation(pruner, qualities, slots=slots)
    simulation.run()
    assert len(simulation.standings) == len(qualities)
    assert simulation.complete
    assert pruner.resume <= (not simulation.dropped)
    assert all(standing.waits or standing.ended for standing in simulation.standings.values())


class Misjudged(Simulation):
    """A study whose trials are compared by where their curves seem to be heading, which is not where they go."""

    def loss(self, standing: Standing) -> float:
        return (standing.number * 7 % 11) / (len(standing.values) + 1)

    def check(self, before: Standing, move: GoOn) -> None:
        """Also one that is behind in its rung may be ahead of the best trial."""


class Overfitted(Misjudged):
    """The same, but the longer a trial trains, the less it is worth."""

    def loss(self, standing: Standing) -> float:
        return (standing.number * 7 % 11) + 100 * len(standing.values)


@settings(max_examples=150, deadline=None)
@given(_PRUNERS.filter(lambda pruner: pruner.resume), _QUALITIES, st.integers(1, 4))
def test_no_trial_waits_that_is_ahead_of_the_best(pruner: PrunerConfig, qualities: list[int], slots: int) -> None:
    """However wrongly judged: when a search ends, none that leads its rung is worth more there than the best of those
    that were trained to their end.
    """
    simulation = Misjudged(pruner, qualities, slots=slots)
    simulation.run()
    known = simulation.standings.values()
    best = min(simulation.standings[number].losses[MOST] for number in simulation.complete)
    for standing in known:
        here = [other for other in known if standing.target in other.losses]
        leads = all(standing.losses[standing.target] <= other.losses[standing.target] for other in here)
        assert not leads or standing.losses[standing.target] >= best


@settings(max_examples=50, deadline=None)
@given(_ASHA, _QUALITIES.filter(lambda values: len(values) >= 9), st.integers(1, 4))
def test_few_go_on_where_all_get_worse(pruner: PrunerConfig, qualities: list[int], slots: int) -> None:
    """Where every trial was worth more at its first rungs than any is at its end, no more than a trial for each rung is
    trained to its end for that.
    """
    usual, worse = Simulation(pruner, qualities, slots=slots), Overfitted(pruner, qualities, slots=slots)
    for simulation in (usual, worse):
        simulation.run()
    ladder = rungs(pruner, number=0, epochs=MOST, most_epochs=MOST)
    assert len(worse.complete) <= len(usual.complete) + len(ladder)


def survivors(pruner: PrunerConfig, qualities: list[int]) -> list[int]:
    """Which trials continue when all have reached the first rung, and none has left it yet."""
    first = rungs(pruner, number=0, epochs=MOST, most_epochs=MOST)[0]
    here = {n: Standing(n, str(n), MOST, first, {first: float(quality)}) for n, quality in enumerate(qualities)}
    gone_on = []
    while isinstance(move := next_move(pruner, here.values(), most_epochs=MOST, more=True), GoOn):
        here[move.number] = replace(here[move.number], target=move.to_epoch)
        gone_on.append(move.number)
    return gone_on


@settings(max_examples=150, deadline=None)
@given(_ASHA, _QUALITIES)
def test_of_a_full_rung_the_best_share_goes_on(pruner: PrunerConfig, qualities: list[int]) -> None:
    """If all trials have reached a rung before any continues, one in reduction_factor does: the best ones, in order."""
    ranked = sorted(range(len(qualities)), key=lambda number: (qualities[number], number))
    assert survivors(pruner, qualities) == ranked[: len(qualities) // pruner.reduction_factor]


@given(_QUALITIES.filter(lambda values: len(values) >= 9))
def test_asha_trains_few_trials_long(qualities: list[int]) -> None:
    """Of trials that come one by one in order of quality, worst first, each rung still stops most."""
    simulation = Simulation(PrunerConfig(name="asha", min_epochs=1), sorted(qualities, reverse=True), slots=1)
    simulation.run()
    assert len(simulation.complete) < len(qualities)


def test_the_ladder_is_geometric_and_ends_with_the_trial() -> None:
    """Rungs are min_epochs, then reduction_factor times further each, all below the trial's own epochs."""
    asha = PrunerConfig(name="asha", min_epochs=2, reduction_factor=3)
    assert rungs(asha, number=0, epochs=100, most_epochs=100) == (2, 6, 18, 54, 100)
    assert rungs(asha, number=0, epochs=6, most_epochs=100) == (2, 6)
    assert rungs(asha, number=0, epochs=1, most_epochs=100) == (1,)
    assert rungs(PrunerConfig(), number=0, epochs=100, most_epochs=100) == (100,)


@given(st.integers(1, 2000), st.integers(2, 9))
def test_where_nothing_is_said_trials_are_compared_late_enough(most: int, factor: int) -> None:
    """The first rung is at four epochs or more, later in long trainings, and a trial passes few rungs."""
    pruner = PrunerConfig(name="asha", reduction_factor=factor)
    ladder = rungs(pruner, number=0, epochs=most, most_epochs=most)
    assert ladder[0] == min(most, max(4, most // 12))
    assert len(ladder) <= (5 if factor == 2 else 4)


def test_hyperband_shares_trials_out_between_its_brackets() -> None:
    """With 81 epochs and a factor of 3 the brackets start at 1, 3, 9, 27 and 81, as often as in the paper."""
    hyperband = PrunerConfig(name="hyperband", min_epochs=1)
    starts = Counter(rungs(hyperband, number=n, epochs=81, most_epochs=81)[0] for n in range(143))
    assert starts == {1: 81, 3: 34, 9: 15, 27: 8, 81: 5}
    first = [rungs(hyperband, number=n, epochs=81, most_epochs=81)[0] for n in range(20)]
    assert len(set(first)) >= 4


def test_the_median_lets_the_better_half_on() -> None:
    """Below `warmup_trials` every trial continues; then those no worse than the median of their rung."""
    pruner = PrunerConfig(name="median", min_epochs=1, reduction_factor=3, warmup_trials=4)
    assert sorted(survivors(pruner, [5, 1, 4, 2, 3, 6])) == [1, 2, 3, 4]
    few = Simulation(pruner, [5, 1, 4], slots=1)
    few.run()
    assert sorted(few.complete) == [0, 1, 2]


def test_trials_of_one_training_go_on_together() -> None:
    """Trials that differ only in epochs count as one at a rung, and none of them is left behind."""
    pruner = PrunerConfig(name="asha", min_epochs=1)
    shared = [Standing(number, "same", epochs, 1, {1: 0.5}) for number, epochs in enumerate((9, 27, 81))]
    alone = [Standing(3 + number, f"alone {number}", 81, 1, {1: 1.0}) for number in range(2)]
    here = {standing.number: standing for standing in (*shared, *alone)}
    gone_on = []
    while isinstance(move := next_move(pruner, here.values(), most_epochs=MOST, more=True), GoOn):
        here[move.number] = replace(here[move.number], target=move.to_epoch)
        gone_on.append(move.number)
    assert gone_on == [0, 1, 2]


def test_a_short_trial_does_not_stop_a_longer_one_of_its_training() -> None:
    """A trial that ends at a rung leaves the last place above it to the longer trial of the same training."""
    ended = Standing(0, "same", 9, 9, {1: 0.5, 3: 0.4, 9: 0.3}, ended=True)
    longer = Standing(1, "same", 81, 9, {1: 0.5, 3: 0.4, 9: 0.3})
    other = Standing(2, "other", 81, 1, {1: 0.9})
    move = next_move(PrunerConfig(name="asha", min_epochs=1), [ended, longer, other], most_epochs=MOST, more=False)
    assert move == GoOn(1, 27)
