"""Single trials that somebody asks to stop while their study runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepcolor.app.trial_stop import stop_trial
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.study.stops import asked_stops
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome
from tests.search.conftest import Bench, on_both
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]


class Stopping:
    """Trains by formula, and asks for a trial's end in the midst of its training, as another process would."""

    def __init__(self, bench: Bench, *, number: int, at_epoch: int) -> None:
        self.bench = bench
        self.number = number
        self.at_epoch = at_epoch
        self.said = ""

    def __call__(self, segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
        mine = segment.trial_stop_file is not None and segment.trial_stop_file.name == str(self.number)

        def heard(row: EpochMetrics) -> None:
            if mine and row.epoch == self.at_epoch:
                self.said = stop_trial(self.bench.workspace, "s", self.number, by="ann")
            if on_epoch is not None:
                on_epoch(row)

        return trivial(segment, heard)


@on_both
def test_a_trial_is_stopped_and_the_study_goes_on(bench: Bench, sweep_of: SweepOf) -> None:
    """The trial ends after its epoch, pruned and without a value, with who asked for it; it is not the best, though its
    value would have been; it is not trained again by the next start, nor when the study grows.
    """
    sweep = sweep_of()
    stopping = Stopping(bench, number=1, at_epoch=2)  # lr 0.01, which is best
    summary = bench.run(sweep, SerialExecutor(stopping))
    assert (summary.complete, summary.pruned, summary.failed) == (2, 1, 0)
    stopped = bench.storage().load("s").trials()[1]
    assert (stopped.state, stopped.error, stopped.value) == ("pruned", "stopped by ann", None)
    assert stopped.outcome is not None
    assert stopped.outcome.view.end_epoch == 2
    assert summary.best is not None
    assert summary.best.number != 1
    assert bench.memory.trials[1].error == "stopped by ann"
    assert (bench.memory.trials[1].state, bench.memory.trials[1].end_epoch) == ("pruned", 2)
    assert asked_stops(bench.workspace.study("s")) == {}
    assert bench.run(sweep).trained_now == 0
    grown = sweep_of({"lr": [0.1, 0.01, 0.001, 0.0001]})
    after = bench.run(grown, extend=True)
    assert (after.complete, after.pruned) == (3, 1)
    with pytest.raises(StudyError, match="must be running or waiting; got trial 1 of s, which is pruned"):
        stop_trial(bench.workspace, "s", 1, by="ann")


def test_a_stopped_trial_has_the_value_of_its_last_rung(bench: Bench, sweep_of: SweepOf) -> None:
    """Beside a pruner it keeps what it had reached, and nothing of the epochs after its last rung."""
    pruner = {"name": "asha", "min_epochs": 2, "reduction_factor": 2}
    sweep = sweep_of({"lr": [0.01], "epochs": [8]}, pruner=pruner)
    bench.run(sweep, SerialExecutor(Stopping(bench, number=0, at_epoch=5)))
    (stopped,) = bench.storage().load("s").trials()
    assert stopped.state == "pruned"
    assert max(stopped.reached) == 4
    assert stopped.value == stopped.reached[4]
    assert stopped.outcome is not None
    assert stopped.outcome.view.end_epoch == 5


def test_a_sampler_goes_on_beside_a_stopped_trial(bench: Bench, sweep_of: SweepOf) -> None:
    """One that learns from trials draws further ones where a trial was stopped without a value."""
    sweep = sweep_of({"lr": {"low": 1e-3, "high": 0.1}}, trials=14, sampler="tpe")
    summary = bench.run(sweep, SerialExecutor(Stopping(bench, number=2, at_epoch=1)))
    assert (summary.complete, summary.pruned) == (13, 1)


def test_trials_on_one_trajectory_end_each_for_itself(bench: Bench, sweep_of: SweepOf) -> None:
    """Of trials that differ in their epochs alone, the one that is stopped takes none of the others with it."""
    sweep = sweep_of({"lr": [0.01], "epochs": [2, 4, 6]})
    summary = bench.run(sweep, SerialExecutor(Stopping(bench, number=0, at_epoch=1)))
    states = [trial.state for trial in bench.storage().load("s").trials()]
    assert states == ["pruned", "complete", "complete"]
    assert summary.trained_now == 6


def test_what_cannot_be_stopped_is_said(bench: Bench, sweep_of: SweepOf) -> None:
    """A study or a trial that is not there has its line."""
    with pytest.raises(StudyError, match="nothere"):
        stop_trial(bench.workspace, "nothere", 0, by="ann")
    sweep = sweep_of()
    bench.storage().open(sweep, lambda: sweep)
    with pytest.raises(StudyError, match="got 0, and it has none yet"):
        stop_trial(bench.workspace, "s", 0, by="ann")
