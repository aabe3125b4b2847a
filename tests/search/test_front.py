"""The front of several objectives, and which trial of it is chosen, against what the words say."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.config.choice import Choice
from deepcolor.fields.objective import Objective
from deepcolor.search.rules.front import choose, chosen_of, front_of, front_with, nearest_to_choice, non_dominated
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.rules.tally import Finished
from deepcolor.search.study.aims import Aims
from deepcolor.search.study.trials import Outcome, StoredTrial
from deepcolor.training.trajectory import View

MSE, SPEED, PSNR = Objective("val/mse"), Objective("epoch_s"), Objective("psnr_db", "maximize")
TWO, THREE = (MSE, SPEED), (MSE, SPEED, PSNR)
FEW = st.integers(0, 5).map(float)
"""So few values that there are equals."""
POINTS = st.integers(2, 3).flatmap(lambda n: st.lists(st.tuples(*[FEW] * n), max_size=24))


def trial(number: int, *values: float, aims: Aims | None = None, state: str = "complete") -> StoredTrial:
    aims = aims or Aims(THREE[: len(values)])
    figures = dict(zip(aims.names[1:], values[1:], strict=True))
    outcome = Outcome(View(3, 3, values[0]), figures=figures)
    known: dict[str, Any] = {"aims": aims, "values": values}
    return StoredTrial(number, state, {}, values[0], 0, 1, None, outcome, None, **known)


@given(POINTS)
def test_the_front_is_what_nothing_dominates(losses: list[tuple[float, ...]]) -> None:
    """Those are on it for which no other is as good in all and better in one: so say the words, and so says it."""

    def beaten(one: tuple[float, ...]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, one, strict=True)) and any(a < b for a, b in zip(other, one, strict=True))
            for other in losses
        )

    assert non_dominated(losses) == [place for place, one in enumerate(losses) if not beaten(one)]


@given(POINTS, st.data())
def test_counted_as_they_come_trials_give_the_same_front_and_choice(
    values: list[tuple[float, ...]], data: st.DataObject
) -> None:
    """In whatever order trials end, the driver holds the front and the choice that all of them together have."""
    rule = data.draw(st.sampled_from([None, Choice(knee=True), Choice(lowest="epoch_s", within=0.5, of="val/mse")]))
    aims = Aims(THREE[: len(values[0])] if values else TWO, choose=rule)
    trials = [trial(number, *each, aims=aims) for number, each in enumerate(values)]
    finished = Finished()
    front: list[StoredTrial] = []
    for each in data.draw(st.permutations(trials)):
        finished[each.number] = each
        front = front_with(front, each)
    assert finished.front == front == front_of(trials)
    assert finished.best == chosen_of(front_of(trials))
    best_first = [each.number for each in ranked(trials)]
    assert best_first[: len(front)] == [each.number for each in front]


@given(st.lists(st.tuples(FEW, FEW), min_size=1, max_size=20), st.sampled_from([0.1, 0.5, 1.0]))
def test_each_rule_chooses_what_it_says(values: list[tuple[float, float]], share: float) -> None:
    """On a front: the best in one objective under a bound, the best near to another's best, or the first one's."""
    front = [values[place] for place in non_dominated(values)]

    def chosen(rule: Choice | None) -> tuple[float, float] | None:
        place = choose(front, TWO, rule)
        return None if place is None else front[place]

    assert chosen(None) == min(front)
    slow = chosen(Choice.model_validate({"lowest": "val/mse", "where": {"epoch_s": 2.0}}))
    quick = [each for each in values if each[1] <= 2]
    assert slow == (min(quick) if quick else None)  # no trial behind the front could have been chosen
    near = chosen(Choice(within=share, of="val/mse", lowest="epoch_s"))
    allowed = [each for each in values if each[0] <= min(values)[0] * (1 + share)]
    assert near is not None
    assert near[1] == min(each[1] for each in allowed)


def test_the_knee_is_the_trial_that_gives_up_least() -> None:
    """Scaled to the front's range, it is the nearest to the best in everything; more can be better in one of them."""
    assert choose([(1.0, 10.0), (2.0, 2.0), (10.0, 1.0)], TWO, Choice(knee=True)) == 1
    assert choose([(1.0, 1.0, 30.0), (1.2, 0.5, 29.0), (9.0, 0.4, 10.0)], THREE, Choice(knee=True)) == 1
    assert choose([(3.0, 3.0)], TWO, Choice(knee=True)) == 0
    assert choose([], TWO, Choice(knee=True)) is None
    assert choose([(1.0, 1.0, 30.0), (2.0, 1.0, 31.0)], THREE, Choice(highest="psnr_db")) == 1


def test_what_breaks_a_constraint_or_diverged_is_on_no_front() -> None:
    """Such trials dominate nobody, however good their values are, and come after those that keep to everything."""
    bound = Choice.model_validate({"lowest": "val/mse", "where": {"epoch_s": 3.5}}).where
    aims = Aims(TWO, constraints=bound)
    trials = [trial(0, 0.1, 4.0, aims=aims), trial(1, 0.5, 3.0, aims=aims), trial(2, math.inf, 1.0, aims=aims)]
    assert trials[0].breaks_text == "epoch_s 4 (at most 3.5)"
    assert [each.number for each in front_of(trials)] == [1]
    assert [each.number for each in ranked(trials)] == [1, 2, 0]


def test_where_the_rule_fits_none_the_nearest_is_named() -> None:
    """With a bound that no trial of the front keeps to, none is chosen, and the one that is nearest to it is known."""
    aims = Aims(TWO, choose=Choice.model_validate({"lowest": "val/mse", "where": {"epoch_s": 1}}))
    front = front_of([trial(0, 0.1, 4.0, aims=aims), trial(1, 0.5, 3.0, aims=aims)])
    assert chosen_of(front) is None
    near = nearest_to_choice(front)
    assert near is not None
    assert near.number == 1


@pytest.mark.parametrize(
    ("limit", "value", "excess"), [({"at_most": 4}, 5, 0.25), ({"at_least": 4}, 3, 0.25), ({"at_most": 0}, 2, 2.0)]
)
def test_a_bound_is_broken_by_a_share_of_itself(limit: dict[str, float], value: float, excess: float) -> None:
    """Constraints in weights, seconds and decibels are compared by shares; no number at all breaks any."""
    bound = Choice.model_validate({"lowest": "val/mse", "where": {"epoch_s": limit}}).where["epoch_s"]
    assert bound.excess(value) == pytest.approx(excess)
    assert bound.excess(math.nan) > 0
