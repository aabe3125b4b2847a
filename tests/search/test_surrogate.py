"""What a search learns from its curves: where settings lie, and what they are expected to be worth at their end."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from deepcolor.search.study.aims import CONSTRAINT
from deepcolor.search.study.seen import EPOCHS, UNFINISHED, Lengths, Seen
from deepcolor.search.study.surrogate import Array, Surrogate, axis_of, improvement, levelled, spread
from deepcolor.search.study.tpe import CurveTPE

DISTRIBUTIONS = [
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(-1.0, 2.0),
    FloatDistribution(0.0, 1.0, step=0.25),
    IntDistribution(1, 5),
    IntDistribution(16, 512, log=True),
    IntDistribution(2, 32, step=2),
    CategoricalDistribution([1e-1, 1e-4, 1e-2]),
    CategoricalDistribution([9, 27]),
    CategoricalDistribution([None, "cosine", "step"]),
    CategoricalDistribution([True, False]),
    CategoricalDistribution([3]),
]
LR = FloatDistribution(1e-4, 1.0, log=True)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_an_axis_holds_every_value_of_its_distribution_and_no_other(distribution: BaseDistribution) -> None:
    """What it draws, near and far, is a value of the distribution, and lies in the unit cube, each value elsewhere."""
    axis, rng = axis_of(distribution), np.random.default_rng(0)
    drawn = axis.at(rng.random(200))
    near = axis.near(rng, drawn, rng.random(200))
    for value in map(float, np.concatenate([drawn, near])):
        assert distribution._contains(distribution.to_internal_repr(distribution.to_external_repr(value)))
    places = axis.place(drawn)
    assert len(places) == 200
    assert places.min() >= 0
    assert places.max() <= 1
    assert len(np.unique(places.round(9), axis=0)) == len(np.unique(drawn))


def test_numbers_in_a_list_keep_their_order() -> None:
    """A list of numbers that spans decades is an axis by their logarithms, in whatever order they are written."""
    axis = axis_of(CategoricalDistribution([1e-2, 1e-4, 1e-3]))
    assert axis.place(np.array([0.0, 1.0, 2.0]))[:, 0] == pytest.approx([1, 0, 0.5])


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_first_points_are_spread(count: int, dimensions: int, seed: int) -> None:
    """Each of them has a part of every axis to itself."""
    points = spread(np.random.default_rng(seed), count=count, dimensions=dimensions)
    for axis in points.T:
        assert sorted((axis * count).astype(int)) == list(range(count))


def test_the_first_points_keep_apart() -> None:
    """The closest two of eight points in five dimensions are farther apart than those of any of fifty plain Latin
    hypercubes.
    """

    def closest(points: Array) -> float:
        return min(float(np.linalg.norm(one - other)) for i, one in enumerate(points) for other in points[:i])

    rng = np.random.default_rng(0)
    plain = [(rng.permuted(np.tile(np.arange(8), (5, 1)), axis=1).T + 0.5) / 8 for _ in range(50)]
    assert closest(spread(rng, count=8, dimensions=5)) >= max(map(closest, plain))


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.inf)), min_size=1, max_size=30))
def test_levelling_keeps_the_order(losses: list[float]) -> None:
    """The better loss stays the better one, a diverged training is no better than any, and every number is finite."""
    found = levelled(np.array(losses))
    assert np.isfinite(found).all()
    order = np.argsort(losses, kind="stable")
    assert (np.diff(found[order]) >= -1e-9).all()


def test_it_tells_from_half_trained_settings_what_they_end_with() -> None:
    """Curves that fall at the same pace are continued to their end, far better than by their latest value."""
    rng = np.random.default_rng(0)
    setting, share = rng.random(80), rng.choice([0.4, 0.7, 1.0], 80)
    setting[share == 1.0] *= 0.6

    def truth(setting: Array, share: Array | float) -> Array:
        return np.asarray(np.cos(3 * setting) + 2 * (1 - share))

    surrogate = Surrogate(rng)
    surrogate.fit(np.column_stack([setting, share]), truth(setting, share))
    asked = np.linspace(0, 1, 20)
    mean, deviation = surrogate.predict(np.column_stack([asked, np.ones(20)]))
    assert np.abs(mean - truth(asked, 1.0)).max() < 0.3
    assert (deviation > 0).all()


def test_improvement_is_never_negative_and_grows_with_doubt() -> None:
    """A point that is expected to be no better is worth a try only as far as that is uncertain."""
    worth = improvement(np.array([0.0, 0.0, 1.0, -1.0]), np.array([0.1, 1.0, 1e-3, 1e-3]), best=0.0)
    assert (worth >= 0).all()
    assert worth[1] > worth[0] > worth[2]
    assert worth[3] == pytest.approx(1)


def _trial(number: int, lr: float, **parts: object) -> FrozenTrial:
    found = create_trial(params={"lr": lr}, distributions={"lr": LR}, **{"state": TrialState.COMPLETE, **parts})  # type: ignore[arg-type]
    found.number = number
    return found


def _draws(trials: list[FrozenTrial], *, direction: str = "minimize", count: int = 5, **options: object) -> list[float]:
    study = optuna.create_study(direction=direction, sampler=CurveTPE(seed=0, **options))  # type: ignore[arg-type]
    study.add_trials(trials)
    return [study.ask({"lr": LR}).params["lr"] for _ in range(count)]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_draws_come_close_to_the_best_and_differ_from_each_other(direction: str) -> None:
    """After a few trials it draws near the best setting, whichever way is better; what others train is not drawn."""
    sign = 1 if direction == "minimize" else -1
    rates = [10 ** (-4 + 4 * index / 11) for index in range(12)]
    trials = [_trial(n, lr, value=sign * (math.log10(lr) + 1.7) ** 2) for n, lr in enumerate(rates)]
    drawn = _draws(trials, direction=direction)
    assert len(set(drawn)) == 5
    assert sorted(abs(math.log10(lr) + 1.7) for lr in drawn)[2] < 0.4


def test_an_early_value_is_taken_for_what_it_is() -> None:
    """Where settings begin better than others did it draws on, though those others have ended better; TPE alone not."""
    rungs = {6: 4.0, 18: 2.0}
    done = [_trial(n, 10 ** (-4 + n / 4), value=1.0, intermediate_values=rungs) for n in range(8)]
    begun = [
        _trial(8 + n, 10 ** (-1.8 + n / 4), value=3.0, intermediate_values={6: 3.0}, user_attrs={UNFINISHED: True})
        for n in range(6)
    ]
    for trial in (*done, *begun):
        trial.user_attrs[EPOCHS] = 50
    assert max(_draws([*done, *begun])) > 10**-2 > max(_draws([*done, *begun], curves=False))


def test_without_curves_it_is_optunas_tpe() -> None:
    """`curves: false` draws what Optuna's sampler draws."""
    trials = [_trial(n, 10 ** (-n / 4), value=float(n)) for n in range(12)]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.add_trials(trials)
    assert _draws(trials, curves=False, count=1) == [study.ask({"lr": LR}).params["lr"]]


def test_of_many_trials_it_draws_close_to_the_best_by_itself() -> None:
    """With more trials than TPE is asked about, draws are new settings near the best; where all settings of a small
    space have been tried, one is drawn again.
    """
    trials = [_trial(n, 10 ** (-4 + n / 50), value=(n / 50 - 2.3) ** 2) for n in range(200)]
    drawn = _draws(trials, count=3)
    assert len(set(drawn) | {trial.params["lr"] for trial in trials}) == 203
    assert all(abs(math.log10(lr) + 1.7) < 0.5 for lr in drawn)
    study = optuna.create_study(sampler=CurveTPE(seed=0))
    layers: dict[str, BaseDistribution] = {"layers": IntDistribution(1, 4)}
    study.add_trials(
        [create_trial(params={"layers": n % 4 + 1}, distributions=layers, value=n % 4) for n in range(160)]
    )
    assert study.ask(layers).params["layers"] in (1, 2, 3, 4)


@given(
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["more", "end", "fail", "bound", "diverge"])), max_size=25)
)
def test_what_is_kept_of_trials_is_what_they_say_now(events: list[tuple[int, str]]) -> None:
    """However trials begin, reach rungs, end and fail, what has been kept along the way is what is seen anew."""
    kept, trials = Seen({"lr": LR}, sign=1), dict[int, FrozenTrial]()
    for number, event in events:
        if event == "fail":
            trials.pop(number, None)
        else:
            done = len(trials[number].intermediate_values) if number in trials else 0
            trials[number] = _trial(
                number,
                10 ** (-number / 4),
                state=TrialState.COMPLETE if done else TrialState.RUNNING,
                value=(math.inf if event == "diverge" else 1.0 + number) if done else None,
                intermediate_values={2 * n + 1: 1.0 / (n + 1) for n in range(done + 1)},
                user_attrs={EPOCHS: 9, UNFINISHED: event == "more"},
                system_attrs={f"{CONSTRAINT}size": 1.0} if event == "bound" else {},
            )
        listed = [trials[one] for one in sorted(trials)]
        kept.look(listed)
    anew = Seen({"lr": LR}, sign=1)
    anew.look([trials[one] for one in sorted(trials)])
    assert kept.known.tolist() == anew.known.tolist()
    assert kept.pending.tolist() == anew.pending.tolist()
    assert kept.bound == anew.bound
    for one, other in zip(kept.rungs(Lengths(0)), anew.rungs(Lengths(0)), strict=True):
        assert one.tolist() == other.tolist()
    for number in range(8):
        assert kept.has([10 ** (-number / 4)]) == anew.has([10 ** (-number / 4)]) == (number in trials)
