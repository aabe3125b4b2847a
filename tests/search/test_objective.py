"""Searches for any of a stage's metrics, minimised or maximised, with others watched alongside."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from deepcolor.coloring.base import MSE
from deepcolor.coloring.regressor import Regressor
from deepcolor.config.schema import Sweep
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.study.storage import StoredTrial
from tests.search import trivial as formula
from tests.search.conftest import Bench

SweepOf = Callable[..., Sweep]
SPACE = {"lr": {"low": 1e-3, "high": 0.3, "log": True}}


def outcome(trial: StoredTrial, *, sign: int) -> object:
    """What became of a trial, with its values multiplied by a sign."""
    assert trial.outcome is not None
    reached = {epoch: sign * value for epoch, value in trial.reached.items()}
    value = None if trial.value is None else sign * trial.value
    return trial.params, trial.state, trial.outcome.view.end_epoch, value, reached, trial.confirms


def test_a_search_that_maximises_is_the_mirror_of_one_that_minimises(
    bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all values negated, sampler, pruner, confirmation and ranking give the same result."""
    search = {"sampler": "tpe", "trials": 14, "pruner": "asha", "confirm": {"top": 2, "seeds": 3}}
    small = sweep_of(SPACE, study="small", **search)
    small = small.model_copy(update={"training": small.training.model_copy(update={"epochs": 9})})
    theirs = bench.run(small).confirmation
    loss, luck = formula.loss, formula.luck
    monkeypatch.setattr(formula, "loss", lambda *at: -loss(*at))
    monkeypatch.setattr(formula, "luck", lambda *at: -luck(*at))
    monkeypatch.setattr(Regressor, "metrics", {**MSE, "val/mse": "maximize"})
    # With another batch size, so that nothing is shared with the trainings of the first.
    large = small.model_copy(update={"study": "large", "training": small.training.model_copy(update={"batch_size": 8})})
    summary = bench.run(large)
    mine = summary.confirmation
    studies = [bench.storage().load(name) for name in ("small", "large")]
    of_small, of_large = (ranked(study.trials()) for study in studies)
    assert [outcome(trial, sign=-1) for trial in of_large] == [outcome(trial, sign=1) for trial in of_small]
    assert {trial.state for trial in of_large} == {"complete", "pruned"}
    assert [study.optuna_study.direction.name for study in studies] == ["MINIMIZE", "MAXIMIZE"]
    assert summary.best == of_large[0]
    assert mine is not None
    assert theirs is not None
    assert mine.winner is not None
    assert [setting.trial for setting in mine.settings] == [setting.trial for setting in theirs.settings]
    assert mine.difference is not None
    assert theirs.difference is not None
    assert mine.difference.clear == theirs.difference.clear


def test_what_is_watched_is_shown_beside_the_objective(bench: Bench, sweep_of: SweepOf) -> None:
    """Another metric can be the objective, and others are shown with it, at the same epoch, wherever trials appear."""
    sweep = sweep_of({"lr": [0.1, 0.01]}, objective="train/mse", watch=["val/mse_a", "epoch_s"])
    bench.run(sweep)
    trials = bench.storage().load("s").trials()
    for trial in trials:
        assert trial.outcome is not None
        record = bench.memory.trials[trial.number]
        row = record.history[trial.outcome.view.chosen_epoch - 1]
        assert trial.value == row.metrics["train/mse"]
        assert record.metrics["chosen/val/mse_a"] == row.metrics["val/mse_a"]
        assert record.metrics["chosen/epoch_s"] == row.epoch_s
    board = pd.read_csv(bench.workspace.report("s") / "leaderboard.csv")
    assert list(board["val/mse_a"]) == list(board["value"])
    running = [running for snapshot in bench.memory.snapshots for running in snapshot.running if running.epoch]
    assert all(each.watched["val/mse_a"] == each.value for each in running)
