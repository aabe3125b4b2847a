"""Searches of spaces with conditions, labels and settings to try first: driven, continued, extended and shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.report.figures import parallel_figure, pictured, slices_figure
from deepcolor.report.writing import leaderboard, leaderboard_csv
from deepcolor.search.plan.workload import open_points
from deepcolor.search.study.importances import importances
from tests.search.conftest import Bench

pytestmark = pytest.mark.usefixtures("no_pictures")
SPACE: dict[str, Any] = {
    "optimizer": ["adam", "sgd", "rmsprop"],
    "lr": {"low": 1e-3, "high": 0.3, "log": True},
    "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd", "rmsprop"]}},
    "size": {"values": {"small": {"feature_maps": 3}, "decayed": {"feature_maps": 5, "weight_decay": 0.1}}},
}
FIRST = [
    {"optimizer": "sgd", "momentum": 0.5, "lr": 0.01, "size": "small"},
    {"optimizer": "adam", "lr": 0.02},
    {"lr": 0.03},
]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_drawn_numbers_have_the_digits_that_are_asked_for(
    sampler: str, bench: Bench, sweep_of: Callable[..., Sweep]
) -> None:
    """Whoever draws, a rate has four digits, and a momentum, which only some trials have, two: in the study and in what
    is trained; a setting that is given is taken as it is; and a study that is asked for them later keeps its trials.
    """
    rounded = {
        **SPACE,
        "lr": {"low": 1e-3, "high": 0.3, "log": True, "digits": 4},
        "momentum": {"low": 0.0, "high": 0.9, "digits": 2, "when": {"optimizer": ["sgd", "rmsprop"]}},
    }
    first = [{"optimizer": "sgd", "momentum": 0.123456, "lr": 0.01, "size": "small"}]
    plain = sweep_of(SPACE, sampler=sampler, trials=2, first=first)
    whole = sweep_of(rounded, sampler=sampler, trials=9, first=first)
    bench.run(plain)
    bench.run(whole, extend=True)
    trials = bench.storage().load("s").trials()
    assert len(trials) == 9
    assert (trials[0].params["momentum"], trials[0].params["lr"]) == (0.123456, 0.01)
    assert len(repr(trials[1].params["lr"])) > len("0.00123456")
    for trial in trials[2:]:
        for name, digits, low, high in (("lr", 4, 1e-3, 0.3), ("momentum", 2, 0.0, 0.9)):
            value = trial.params.get(name, low)
            assert float(f"{value:.{digits}g}") == value
            assert low <= value <= high
        assert trial.setting(whole).training.lr == trial.params["lr"]
    assert len({trial.params["lr"] for trial in trials}) == 9
    assert {p["lr"] for p in open_points(sweep_of(rounded, sampler=sampler, trials=12), trials)} == {
        float(f"{p['lr']:.4g}") for p in open_points(sweep_of(rounded, sampler=sampler, trials=12), trials)
    }


def test_a_sampler_draws_what_conditions_leave(bench: Bench, sweep_of: Callable[..., Sweep]) -> None:
    """The first settings come first, as given, once; each trial has what its optimizer has; every table and picture
    copes with what some trials do not have; what another study found first is what it found best.
    """
    whole = sweep_of(SPACE, sampler="tpe", trials=24, first=FIRST)
    bench.run(sweep_of(SPACE, sampler="tpe", trials=2, first=FIRST[:2]))
    bench.run(whole, extend=True)
    study = bench.storage().load("s")
    trials = study.trials()
    assert [trials[0].params[name] for name in SPACE] == ["sgd", 0.01, 0.5, "small"]
    assert (trials[1].params["optimizer"], trials[1].params["lr"]) == ("adam", 0.02)
    # What the third one does not say is the sweep's own, but for the size, which is as drawn.
    assert (trials[2].params["optimizer"], trials[2].params["lr"]) == ("adam", 0.03)
    assert len(trials) == 24
    assert open_points(whole, trials) == []
    for trial in trials:
        assert ("momentum" in trial.params) == (trial.params["optimizer"] != "adam")
        assert (trial.setting(whole).training.momentum is None) == (trial.params["optimizer"] == "adam")
        assert trial.setting(whole).training.weight_decay == (0.1 if trial.params["size"] == "decayed" else 0.0)
    assert {trial.params["optimizer"] for trial in trials} == {"adam", "sgd", "rmsprop"}

    table = leaderboard(trials)
    assert list(table.columns[:8]) == ["rank", "trial", "state", "value", *table.columns[4:8]]
    assert set(table.columns[4:8]) == set(SPACE)
    missing = [math.isnan(value) for value in table["momentum"]]
    assert missing == [name == "adam" for name in table["optimizer"]]
    assert ",adam," in leaderboard_csv(trials)
    of = pictured(whole, trials)
    assert of.varying == ["optimizer", "lr", "momentum", "size"]
    for draw in (parallel_figure, slices_figure):
        assert draw(of).png()
    for shares in importances(study, of.varying).values():
        assert set(shares) == set(SPACE)
        assert shares["lr"] == max(shares.values())

    other = sweep_of({**SPACE, "lr": [0.01, 0.02]}, study="t", sampler="random", trials=4, first="study:s#3")
    bench.run(other)
    best = sorted(trials, key=lambda trial: trial.loss)[:3]
    begun = bench.storage().load("t")
    expected = [{k: v for k, v in t.params.items() if k != "lr" or v in (0.01, 0.02)} for t in best]
    assert list(begun.sweep.search.first) == expected
    for trial, given in zip(begun.trials(), expected, strict=False):
        assert given.items() <= trial.params.items()
    assert begun.changes_to(other) == []
    with pytest.raises(StudyError, match="first: a study to begin with must have complete trials in the space"):
        bench.run(sweep_of({"patience": [77]}, study="u", first="study:s"))


def test_a_grid_begins_with_the_settings_to_try_first(bench: Bench, sweep_of: Callable[..., Sweep]) -> None:
    """They are points of it, tried before the others and not again; a budget of trials reaches them first."""
    space = {"lr": [0.1, 0.01, 0.001], "optimizer": ["adam", "sgd"]}
    first = [{"lr": 0.001, "optimizer": "sgd"}, {"lr": 0.01}]
    bench.run(sweep_of(space, first=first, budget={"trials": 3}))
    bench.run(sweep_of(space, first=first), extend=True)
    tried = [tuple(trial.params.values()) for trial in bench.storage().load("s").trials()]
    assert [set(point) for point in tried[:2]] == [{0.001, "sgd"}, {0.01, "adam"}]
    assert len(tried) == len({frozenset(point) for point in tried}) == 6
