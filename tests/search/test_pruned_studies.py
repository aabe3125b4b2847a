from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from optuna.trial import TrialState

from deepcolor.config.schema import Sweep
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.rules.summary import Summary
from deepcolor.search.study.storage import StoredTrial, owned
from deepcolor.training.trajectory import Segment
from tests.search.conftest import Bench
from tests.search.trivial import loss, trivial

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")
RATES = [0.3, 0.1, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 0.0003]
FROM_ONE = {"name": "asha", "min_epochs": 1}
SPACE: dict[str, Any] = {"lr": RATES[1:7], "weight_decay": [0.0, 0.1], "epochs": [9, 32]}


class Dies(Exception):
    """Ends a driver midway, as a kill does."""


class Mortal(SerialExecutor):
    """Lets its driver die when it submits its nth segment."""

    def __init__(self, lives: int) -> None:
        super().__init__(trivial)
        self.lives = lives

    def submit(self, segment: Segment) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Dies
        super().submit(segment)


def by_number(bench: Bench, study: str) -> dict[int, StoredTrial]:
    return {trial.number: trial for trial in bench.storage().load(study).trials()}


def test_asha_and_tpe_reach_the_grids_best_with_few_of_its_epochs(bench: Bench, sweep_of: SweepOf) -> None:
    """ASHA stops most of a grid and finds its best point; with TPE it takes a fraction of its epochs."""
    whole = bench.run(sweep_of(SPACE, study="whole"))
    assert whole.best is not None
    assert whole.best.value is not None
    apart = [Bench(replace(bench.workspace, root=bench.workspace.root / name), bench.memory) for name in ("a", "b")]
    asha = apart[0].run(sweep_of(SPACE, pruner=FROM_ONE))
    assert asha.best is not None
    assert (asha.best.params, asha.best.value) == (whole.best.params, whole.best.value)
    assert asha.complete + asha.pruned == whole.complete == 24
    assert asha.requested_epochs == whole.requested_epochs
    assert asha.trained_epochs == asha.trained_now < 0.35 * whole.trained_epochs
    close = {"target": whole.best.value * 1.01}
    both = apart[1].run(sweep_of(SPACE, sampler="tpe", trials=40, pruner=FROM_ONE, budget=close))
    assert both.stopped_by == "target"
    assert both.trained_epochs < 0.25 * whole.trained_epochs


@pytest.mark.parametrize(
    ("pruner", "sampler"),
    [
        (FROM_ONE, "random"),
        ({"name": "hyperband", "min_epochs": 1}, "tpe"),
        ("median", "grid"),
        ({"name": "asha", "resume": False}, "tpe"),
        ({"name": "median", "resume": False}, "random"),
    ],
)
def test_every_pruner_works_with_every_sampler(bench: Bench, sweep_of: SweepOf, pruner: Any, sampler: str) -> None:
    """Every trial ends complete or pruned; its value is that of its own training, or of its last rung."""
    search = {} if sampler == "grid" else {"sampler": sampler, "trials": 12}
    space = {"lr": RATES[1:7], "epochs": [8, 20]}
    summary = bench.run(sweep_of(space, pruner=pruner, **search))
    trials = bench.storage().load("s").trials()
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    assert (summary.complete + summary.pruned, summary.failed) == (12, 0)
    assert summary.complete >= 1
    for trial in trials:
        assert trial.outcome is not None
        end = trial.outcome.view.end_epoch
        assert trial.value == pytest.approx(loss(float(str(trial.params["lr"])), 0.0, end))
        assert (trial.state == "complete") == (end == trial.params["epochs"])
        assert bench.memory.trials[trial.number].state == trial.state
        assert (trial.outcome.result is None) == (trial.state == "pruned")


def test_a_rung_leaves_no_result_and_tells_optuna(bench: Bench, sweep_of: SweepOf) -> None:
    """Optuna holds a pruned trial's value at each rung; the store has results of complete trials only."""
    bench.run(sweep_of({"lr": RATES, "epochs": [27]}, pruner=FROM_ONE))
    stored = bench.storage().load("s").optuna_study.get_trials()
    pruned = [trial for trial in stored if trial.state == TrialState.PRUNED]
    assert len(pruned) == 8
    for trial in pruned:
        assert list(trial.intermediate_values) in ([1], [1, 3], [1, 3, 9])
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]
    results = list(bench.workspace.trajectories.glob("*/results/*"))
    assert len(results) == 1


@pytest.mark.parametrize("lives", [11])
def test_a_killed_driver_goes_on_with_the_same_decisions(bench: Bench, sweep_of: SweepOf, lives: int) -> None:
    """A driver that dies at any point is replaced by one that ends with the same trials as if none had died."""
    sweep = sweep_of({"lr": RATES, "epochs": [27]}, pruner=FROM_ONE)
    alone = Bench(replace(bench.workspace, root=bench.workspace.root / "alone"), bench.memory)
    alone.run(sweep)
    with pytest.raises(Dies):
        bench.run(sweep, Mortal(lives))
    summary = bench.run(sweep)
    assert [(t.state, t.value, t.reached) for t in by_number(bench, "s").values()] == [
        (t.state, t.value, t.reached) for t in by_number(alone, "s").values()
    ]
    assert summary.trained_epochs == sum(max(t.reached, default=0) for t in by_number(bench, "s").values()) + 18


def test_trials_whose_checkpoints_are_lost_reach_their_rungs_again(bench: Bench, sweep_of: SweepOf) -> None:
    """Where a power cut has taken what trials at a rung had trained, it is trained again: the study ends as if nothing
    had happened, and no trial's value changes.
    """
    sweep = sweep_of({"lr": RATES[:6], "epochs": [9]}, pruner=FROM_ONE)
    with pytest.raises(Dies):
        bench.run(sweep, Mortal(8))
    before = by_number(bench, "s")
    assert any(trial.reached and not trial.finished for trial in before.values())
    shutil.rmtree(bench.workspace.trajectories)
    assert bench.run(sweep).failed == 0
    after = by_number(bench, "s")
    assert {trial.state for trial in after.values()} == {"complete", "pruned"}
    for number, trial in before.items():
        assert after[number].reached.items() >= trial.reached.items()


def test_early_stopping_and_pruning_live_side_by_side(bench: Bench) -> None:
    """A trial whose patience runs out between two rungs is complete, with its best epoch."""
    sweep = Sweep.model_validate(
        {
            "study": "patient",
            "stage": "colorizer",
            "data": {"name": "faces"},
            "training": {"epochs": 60, "patience": 2},
            "search": {"space": {"lr": RATES}, "pruner": {"name": "asha", "min_epochs": 1, "reduction_factor": 4}},
        }
    )
    summary = bench.run(sweep)
    assert summary.best is not None
    assert summary.best.outcome is not None
    assert summary.best.params == {"lr": 0.01}
    assert (summary.best.outcome.view.chosen_epoch, summary.best.outcome.view.end_epoch) == (32, 34)
    assert summary.best.outcome.result is not None


def test_a_diverged_training_ends_at_once_beside_a_pruner(bench: Bench, sweep_of: SweepOf) -> None:
    """A training whose loss is not a number ends complete with the worst possible value, and takes nobody's place."""
    summary = bench.run(sweep_of({"lr": [1.0, 0.1, 0.01], "epochs": [27]}, pruner=FROM_ONE))
    assert (summary.diverged, summary.complete, summary.pruned) == (1, 2, 1)
    assert by_number(bench, "s")[0].value == math.inf
    assert summary.best is not None
    assert summary.best.params["lr"] == 0.01


def test_a_stopped_study_keeps_its_waiting_trials(bench: Bench, sweep_of: SweepOf) -> None:
    """After a stop, trials at a rung are open, shown as waiting, and continue on the next start."""
    sweep = sweep_of({"lr": RATES, "epochs": [27]}, pruner=FROM_ONE)
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, "s"):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda snapshot: (  # type: ignore[method-assign]
            driver.request_stop() if snapshot.waiting >= 2 else None
        )
        stopped: Summary = driver.run()
    executor.close()
    del bench.memory.update
    assert stopped.state == "interrupted"
    assert stopped.pruned == 0
    assert {bench.memory.trials[number].state for number in (0, 1)} == {"waiting"}
    done = bench.run(sweep)
    assert (done.state, done.complete, done.pruned) == ("complete", 1, 8)
    assert stopped.trained_now + done.trained_now == done.trained_epochs


def test_a_finished_study_with_pruned_trials_trains_nothing_again(bench: Bench, sweep_of: SweepOf) -> None:
    """Run again, a study with pruned trials trains nothing, and gives the same result."""
    sweep = sweep_of({"lr": RATES, "epochs": [27]}, pruner=FROM_ONE)
    first = bench.run(sweep)
    again = bench.run(sweep)
    assert again.trained_now == 0
    assert (again.best, again.complete, again.pruned) == (first.best, first.complete, first.pruned)


def test_a_study_keeps_the_rungs_it_began_with(bench: Bench, sweep_of: SweepOf) -> None:
    """A file that does not set the first rung gets one that fits its trainings, and keeps it when they grow; a study
    from when the default was one epoch continues with the same file, compares after one epoch, and grows with it.
    """
    sweep, longer = (sweep_of({"lr": RATES[:3], "epochs": [most]}, pruner="asha") for most in (9, 120))
    bench.run(sweep)
    assert {min(trial.reached) for trial in bench.storage().load("s").trials() if trial.reached} == {4}
    grown = sweep_of({"lr": RATES[:3], "epochs": [9, 120]}, pruner="asha")
    assert longer.settled().search.pruner.min_epochs == 10
    bench.run(grown, extend=True)
    assert bench.storage().load("s").sweep.search.pruner.min_epochs == 4
    assert bench.run(grown).trained_now == 0

    one = sweep_of({"lr": RATES[:3], "epochs": [9]}, study="earlier", pruner=FROM_ONE)
    bench.run(one)
    open_now = sweep_of({"lr": RATES[:3], "epochs": [9]}, study="earlier", pruner="asha")
    assert bench.run(open_now).trained_now == 0
    bench.run(sweep_of({"lr": RATES[:4], "epochs": [9]}, study="earlier", pruner="asha"), extend=True)
    study = bench.storage().load("earlier")
    assert study.sweep.search.pruner.min_epochs == 1
    assert {min(trial.reached) for trial in study.trials() if trial.reached} == {1}
    plain = {**sweep_of(study="plain").identity()}
    plain["search"]["pruner"]["min_epochs"] = 1
    assert Sweep.model_validate(plain).search.pruner.name == "none"


@pytest.mark.parametrize(("extrapolate", "chosen"), [(None, 0.01), (False, 0.1)])
def test_what_falls_fast_goes_on_before_what_began_well(
    bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch, extrapolate: bool | None, chosen: float
) -> None:
    """From the second rung on asha lets by default the trial on whose curve is heading for the best value; if told not
    to, the best so far.
    """
    fixed = {0.1: 1.0, 0.03: 1.1}

    def curve(lr: float, _: float, epoch: int) -> float:
        return 1.85 - 0.3 * math.log(epoch) if lr == 0.01 else fixed.get(lr, 2.0)

    monkeypatch.setattr("tests.search.trivial.loss", curve)
    pruner = {"name": "asha", "min_epochs": 4, "extrapolate": extrapolate}
    summary = bench.run(sweep_of({"lr": RATES, "epochs": [36]}, pruner=pruner))
    assert summary.best is not None
    assert summary.best.params["lr"] == chosen
    assert (summary.complete, summary.pruned) == (1, 8)
