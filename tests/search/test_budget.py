from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deepcolor.config.schema import BudgetConfig, Sweep
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.rules.budget import exhausted
from deepcolor.search.rules.completion import has_ended
from deepcolor.search.study.storage import Outcome, Spent, StoredTrial, owned
from deepcolor.training.trajectory import Segment, SegmentOutcome, View
from tests.epochs import epoch_row
from tests.search.conftest import Bench
from tests.search.trivial import loss, trivial

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")
RATES = [0.3, 0.1, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001]


def trial(number: int, value: float, *, state: str = "complete") -> StoredTrial:
    outcome = Outcome(View(3, 3, value), ended_ms=0)
    return StoredTrial(number, state, {}, value, 0, 0, None, outcome, None)


@pytest.mark.parametrize(
    ("budget", "reached"),
    [
        ({}, None),
        ({"epochs": 101}, None),
        ({"epochs": 100}, "epochs"),
        ({"wall_s": 50}, "wall_s"),
        ({"wall_s": 61}, None),
        ({"gpu_hours": 0.01}, "gpu_hours"),
        ({"gpu_hours": 0.02}, None),
        ({"target": 0.5}, "target"),
        ({"target": 0.4}, None),
        ({"patience_trials": 2}, "patience_trials"),
        ({"patience_trials": 3}, None),
        ({"trials": 1}, None),
    ],
)
def test_a_limit_is_reached_when_it_is_met(budget: dict[str, Any], reached: str | None) -> None:
    """Each limit counts what it says; a pruned trial is never the best, but counts for patience. One that failed, or
    that has only begun, does not count.
    """
    failed = replace(trial(4, 0.0, state="failed"), outcome=None)
    begun = replace(failed, number=5, state="waiting")
    trials = [trial(0, 0.9), trial(1, 0.5), trial(2, 0.7), trial(3, 0.1, state="pruned"), failed, begun]
    spent = Spent(wall_s=60, gpu_s=40, epochs=100)
    assert exhausted(BudgetConfig(**budget), spent=spent, trials=trials) == reached


def on_gpu(segment: Segment, on_epoch: Any = None) -> SegmentOutcome:
    """A training that took half an hour of a GPU."""
    return replace(trivial(segment, on_epoch), device="cuda:0", train_s=1800.0)


@pytest.mark.parametrize(("budget", "complete"), [({"target": loss(0.02, 0.0, 3)}, 4), ({"trials": 2}, 2)])
def test_a_spent_budget_ends_the_search(bench: Bench, sweep_of: SweepOf, budget: dict[str, Any], complete: int) -> None:
    """The search ends complete, says which limit ended it, and trains nothing more until the limit is raised."""
    sweep = sweep_of({"lr": RATES}, budget=budget)
    summary = bench.run(sweep)
    assert (summary.state, summary.stopped_by, summary.complete) == ("complete", next(iter(budget)), complete)
    assert bench.memory.study is not None
    assert bench.memory.study.state == "complete"
    again = bench.run(sweep)
    assert (again.stopped_by, again.trained_now) == (summary.stopped_by, 0)
    grown = bench.run(sweep_of({"lr": RATES}), extend=True)
    assert (grown.complete, grown.stopped_by, grown.trained_epochs) == (8, None, 24)


def test_gpu_hours_add_up_over_restarts(bench: Bench, sweep_of: SweepOf) -> None:
    """What one start has spent counts for the next: three half hours of a GPU are more than 1.4 hours."""
    sweep = sweep_of({"lr": [0.1, 0.5, 0.01, 0.001]}, budget={"gpu_hours": 1.4})
    bench.workspace.studies.joinpath("broken").touch()
    first = bench.run(sweep_of({"lr": [0.1, 0.5]}), SerialExecutor(on_gpu))
    assert (first.complete, first.failed, first.stopped_by) == (1, 1, None)
    bench.workspace.studies.joinpath("broken").unlink()
    second = bench.run(sweep, SerialExecutor(on_gpu), extend=True)
    assert (second.complete, second.stopped_by) == (3, "gpu_hours")
    assert bench.storage().load("s").spent.gpu_s == 3 * 1800


def test_what_fails_has_cost_what_it_trained(bench: Bench, sweep_of: SweepOf) -> None:
    """A training that fails on a GPU after two epochs has spent both, and the time it took there."""
    slept_s = 0.05

    def fail(segment: Segment, on_epoch: Any = None) -> SegmentOutcome:
        for epoch in (1, 2):
            time.sleep(slept_s / 2)
            on_epoch(epoch_row(epoch, 1.0))
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    executor = SerialExecutor(fail)
    with owned(bench.workspace, "s"):
        summary = bench.driver(sweep_of({"lr": [0.1]}), executor, device="cuda:0").run()
    executor.close()
    spent = bench.storage().load("s").spent
    assert (summary.failed, summary.trained_now, spent.epochs) == (1, 2, 2)
    assert spent.gpu_s >= slept_s
    again = bench.run(sweep_of({"lr": [0.1]}))
    assert (again.complete, again.requested_epochs, again.trained_epochs, again.trained_now) == (1, 3, 3, 3)


def test_a_search_bounded_by_its_budget_needs_no_number_of_trials(bench: Bench, sweep_of: SweepOf) -> None:
    """A sampler without a number of trials continues until the best has not changed for a while."""
    search: dict[str, Any] = {"sampler": "random", "budget": {"patience_trials": 6}}
    summary = bench.run(sweep_of({"lr": {"low": 1e-4, "high": 0.1, "log": True}}, **search))
    assert summary.stopped_by == "patience_trials"
    assert summary.best is not None
    assert summary.trials == summary.best.number + 7


def test_running_segments_end_cleanly(bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the running training finishes its epoch and stays open; a larger budget continues from there."""
    monkeypatch.setenv("TRIVIAL_EPOCH_S", "0.02")
    sweep = sweep_of({"lr": [0.1], "epochs": [300]}, budget={"epochs": 5})
    cut = bench.run(sweep)
    assert (cut.stopped_by, cut.complete) == ("epochs", 0)
    assert 5 <= cut.trained_now < 300
    assert bench.memory.trials[0].state == "waiting"
    monkeypatch.delenv("TRIVIAL_EPOCH_S")
    done = bench.run(sweep_of({"lr": [0.1], "epochs": [300]}), extend=True)
    assert (done.complete, cut.trained_now + done.trained_now) == (1, 300)


def test_saved_seconds_are_epochs_at_the_pace_of_their_training(bench: Bench, sweep_of: SweepOf) -> None:
    """Epochs that trials share save what they would have taken: 6 of 18 here, at a millisecond each."""
    summary = bench.run(sweep_of({"lr": [0.1, 0.01], "epochs": [3, 6]}))
    assert (summary.requested_epochs, summary.trained_epochs) == (18, 12)
    assert summary.saved_s == pytest.approx(0.006)
    assert summary.as_dict()["saved_s"] == 0.006


def test_a_search_ends_when_there_is_little_left_to_find(bench: Bench, sweep_of: SweepOf) -> None:
    """It ends complete, says why, and stays ended for all who ask; with a smaller share to gain it goes on."""
    search: dict[str, Any] = {"sampler": "tpe", "trials": 9, "budget": {}}
    space = {"lr": {"low": 0.005, "high": 0.02}}  # All of it within a third of the best value.
    sweep = sweep_of(space, **search, stop={"name": "regret", "within": 0.9, "min_trials": 5})
    summary = bench.run(sweep)
    assert (summary.state, summary.stopped_by, summary.complete) == ("complete", "regret", 5)
    assert "by its 5 complete trials no other setting is more than" in summary.stopped_why
    study = bench.storage().load("s")
    assert has_ended(study, study.trials())
    again = bench.run(sweep)
    assert (again.stopped_by, again.stopped_why, again.trained_now) == ("regret", summary.stopped_why, 0)
    grown = bench.run(sweep_of(space, **search, stop={"within": 1e-9, "min_trials": 5}), extend=True)
    assert (grown.complete, grown.stopped_by, grown.stopped_why) == (9, None, "")
