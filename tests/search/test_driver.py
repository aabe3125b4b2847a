from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.errors import ExecutorError, StudyError
from deepcolor.execution.executor import Event, Finished
from deepcolor.execution.local import LocalExecutor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.report.writing import ReportFolder
from deepcolor.search.study.storage import owned
from deepcolor.training.trajectory import Segment
from tests.processes import WAIT_S
from tests.search.conftest import Bench
from tests.search.trivial import loss, trivial

SweepOf = Callable[..., Sweep]


def test_grid_trains_every_point_once_and_finds_the_best(bench: Bench, sweep_of: SweepOf) -> None:
    """A grid gives one complete trial per point, and the lowest value wins."""
    summary = bench.run(sweep_of({"lr": [0.1, 0.01, 0.001], "weight_decay": [0.0, 0.1]}))
    trials = bench.storage().load("s").trials()
    assert sorted((t.params["lr"], t.params["weight_decay"]) for t in trials) == sorted(
        (lr, wd) for lr in (0.1, 0.01, 0.001) for wd in (0.0, 0.1)
    )
    assert summary.best is not None
    assert summary.best.params == {"lr": 0.01, "weight_decay": 0.0}
    assert summary.best.value == pytest.approx(loss(0.01, 0.0, 3))


def test_trials_that_differ_in_epochs_share_one_training(bench: Bench, sweep_of: SweepOf) -> None:
    """Only the longest trial of each trajectory is trained, and the others get their own values."""
    summary = bench.run(sweep_of({"epochs": [6, 2, 4], "lr": [0.1, 0.01]}))
    assert (summary.requested_epochs, summary.trained_epochs, summary.trained_now) == (24, 12, 12)
    for trial in bench.storage().load("s").trials():
        assert trial.value == pytest.approx(loss(float(str(trial.params["lr"])), 0.0, int(str(trial.params["epochs"]))))
        assert len(bench.memory.trials[trial.number].history) == trial.params["epochs"]


def test_a_report_waits_for_what_draws_it(bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings that end while the library that draws the report is still being imported wait for it; they themselves
    have not waited.
    """
    order: list[str] = []
    trained = threading.Event()

    def prepare(_: ReportFolder) -> None:
        assert trained.wait(WAIT_S)
        time.sleep(0.2)
        order.append("imported")

    class Tells(SerialExecutor):
        def events(self, timeout_s: float) -> Sequence[Event]:
            found = super().events(timeout_s)
            if any(isinstance(event, Finished) for event in found):
                trained.set()
            return found

    monkeypatch.setattr(ReportFolder, "prepare", prepare)
    monkeypatch.setattr(ReportFolder, "write", lambda *_: order.append("drawn"))
    bench.run(sweep_of(), Tells(trivial))
    assert order == ["imported", "drawn"]


def test_a_finished_study_trains_nothing_again(bench: Bench, sweep_of: SweepOf) -> None:
    """The same sweep run again adds no trial, trains no epoch and gives the same result."""
    first = bench.run(sweep_of())
    again = bench.run(sweep_of())
    assert again.trained_now == 0
    assert (again.trials, again.best) == (first.trials, first.best)


def test_another_study_on_the_same_data_reuses_the_training(bench: Bench, sweep_of: SweepOf) -> None:
    """What one study trained, another gets for free, and says so."""
    bench.run(sweep_of())
    other = bench.run(sweep_of(study="other"))
    assert (other.requested_epochs, other.trained_epochs, other.trained_now) == (9, 0, 0)


def test_failed_points_run_again_on_the_next_start(bench: Bench, sweep_of: SweepOf) -> None:
    """A point whose training raises fails with its reason, the others continue, and the next start makes up for it."""
    bench.workspace.studies.joinpath("broken").touch()
    sweep = sweep_of({"lr": [0.5, 0.1]})
    first = bench.run(sweep)
    assert (first.complete, first.failed) == (1, 1)
    failed = next(trial for trial in bench.storage().load("s").trials() if trial.state == "failed")
    assert failed.error == "RuntimeError: the machine has had enough"
    bench.workspace.studies.joinpath("broken").unlink()
    second = bench.run(sweep)
    assert (second.complete, second.failed, second.trained_now) == (2, 1, 3)


def test_a_diverged_training_never_wins(bench: Bench, sweep_of: SweepOf) -> None:
    """A loss that is not a number ends its trial at once with the worst possible value, and another trial is best."""
    summary = bench.run(sweep_of({"lr": [1.0, 0.001]}))
    worst = bench.storage().load("s").trials()[0]
    assert worst.diverged
    assert worst.value == math.inf
    assert summary.diverged == 1
    assert summary.best is not None
    assert summary.best.params == {"lr": 0.001}
    assert bench.memory.trials[0].diverged


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers_draw_the_number_of_trials_asked_for(bench: Bench, sweep_of: SweepOf, sampler: str) -> None:
    """TPE and random search draw settings within their ranges until the study has all its trials."""
    space = {"lr": {"low": 1e-4, "high": 0.3, "log": True}, "epochs": {"low": 1, "high": 4}}
    summary = bench.run(sweep_of(space, sampler=sampler, trials=12))
    trials = bench.storage().load("s").trials()
    assert (summary.complete, len(trials)) == (12, 12)
    assert all(1e-4 <= float(str(t.params["lr"])) <= 0.3 and t.params["epochs"] in (1, 2, 3, 4) for t in trials)


def test_early_stopping_takes_the_best_epoch(bench: Bench) -> None:
    """With patience a trial ends before its epochs and is worth its best epoch."""
    sweep = Sweep.model_validate(
        {
            "study": "patient",
            "stage": "colorizer",
            "data": {"name": "faces"},
            "training": {"epochs": 50, "patience": 2, "lr": 0.01},
            "search": {"space": {"weight_decay": [0.0]}},
        }
    )
    summary = bench.run(sweep)
    assert summary.best is not None
    assert summary.best.outcome is not None
    assert (summary.best.outcome.view.chosen_epoch, summary.best.outcome.view.end_epoch) == (32, 34)


def test_a_stop_leaves_open_trials_that_the_next_start_finishes(bench: Bench, sweep_of: SweepOf) -> None:
    """After a stop nothing is lost: the next driver continues the open trial and trains only what is missing."""
    sweep = sweep_of({"lr": [0.1, 0.01]})
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, "s"):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda snapshot: driver.request_stop()  # type: ignore[method-assign]
        summary = driver.run()
    executor.close()
    assert summary.state == "interrupted"
    del bench.memory.update
    done = bench.run(sweep)
    assert (done.complete, done.trials, done.failed) == (2, 2, 0)
    assert summary.trained_now + done.trained_now == 6


def test_worker_processes_give_the_same_as_this_process(bench: Bench, sweep_of: SweepOf) -> None:
    """A grid on two worker processes has each point once, with the values of the serial executor."""
    space = {"lr": [0.1, 0.01, 0.001], "epochs": [1, 2, 3], "weight_decay": [0.0, 0.1]}
    parallel = bench.run(sweep_of(space, study="parallel"), LocalExecutor(trivial, workers=2, threads=1))
    assert (parallel.complete, parallel.trials) == (18, 18)
    for trial in bench.storage().load("parallel").trials():
        lr, weight_decay, epochs = (float(str(trial.params[name])) for name in ("lr", "weight_decay", "epochs"))
        assert trial.value == pytest.approx(loss(lr, weight_decay, int(epochs)))


def test_a_changed_sweep_under_the_same_name_is_refused(bench: Bench, sweep_of: SweepOf) -> None:
    """The refusal shows what changed, and the study is untouched."""
    bench.run(sweep_of({"lr": [0.1]}))
    with pytest.raises(StudyError, match=r"search\.space\.lr: \[0\.1\] -> \[0\.2\]"):
        bench.run(sweep_of({"lr": [0.2]}))
    assert len(bench.storage().load("s").trials()) == 1


def test_a_second_driver_is_refused_by_name(bench: Bench, sweep_of: SweepOf) -> None:
    """While a study has a driver, another driver is told which one."""
    with owned(bench.workspace, "s"), pytest.raises(StudyError, match="process"):
        bench.run(sweep_of())


def test_the_report_has_leaderboard_and_pictures(drawn: None, bench: Bench, sweep_of: SweepOf) -> None:
    """A finished study leaves a leaderboard, best first, and one picture for each analysis that its trials allow."""
    bench.run(sweep_of({"lr": [0.1, 0.01, 0.001], "weight_decay": [0.0, 0.1]}))
    report = bench.workspace.study("s") / "report"
    assert report.joinpath("leaderboard.csv").read_text().splitlines()[1].startswith("1,")
    pictures = {path.name for path in report.glob("*.png")}
    assert pictures == {"optimization_history.png", "parallel_coordinates.png", "slices.png"}


@pytest.mark.parametrize("asked", [True, False])
def test_workers_that_cannot_start_are_no_fault_of_who_stops(bench: Bench, sweep_of: SweepOf, asked: bool) -> None:
    """A signal to all processes of a job ends those that are just starting: the driver stops as asked. If nobody asked,
    it says what could not be started.
    """

    class NeverStarts(SerialExecutor):
        def submit(self, segment: Segment) -> None:
            if asked:
                driver.request_stop()
            raise ExecutorError("worker processes: could not be started")

    sweep, executor = sweep_of(), NeverStarts(trivial)
    with owned(bench.workspace, sweep.study):
        driver = bench.driver(sweep, executor)
        if asked:
            assert driver.run().state == "interrupted"
        else:
            with pytest.raises(ExecutorError, match="could not be started"):
                driver.run()
    executor.close()
    assert bench.run(sweep).complete == 3
