"""What running segments report is shown, but no decision rests on it."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.execution import serial
from deepcolor.execution.executor import Event, Progress
from deepcolor.execution.serial import SerialExecutor
from deepcolor.report.writing import ReportFolder
from deepcolor.search.driver import showing
from deepcolor.search.driver.board import Board
from deepcolor.search.rules.schedule import Ask
from deepcolor.tracking.records import TrialRecord
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome
from tests.epochs import epoch_row
from tests.search.conftest import Bench
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]


class Gossip(SerialExecutor):
    """Loses messages, repeats them, and lets them come late."""

    def __init__(self) -> None:
        super().__init__(trivial)
        self._random = random.Random(8)
        self._late: list[Event] = []

    def events(self, timeout_s: float) -> Sequence[Event]:
        told: list[Event] = []
        for event in super().events(timeout_s):
            if not isinstance(event, Progress):
                told.append(event)
                continue
            told += self._random.choices([event, *self._late], k=self._random.randrange(3))
            self._late.append(event)
        return told


def test_the_time_left_is_told_once_there_is_ground_for_it(
    sweep_of: SweepOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the first epoch, which takes longer, is most of what is known; then at the pace of the training alone,
    without the time that libraries and processes took to start.
    """
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    board = Board(sweep_of({"lr": [0.1], "epochs": [100]}), tmp_path)
    now += 60
    board.start(Ask(0, "t", 100, None))
    now += 30
    board.put_progress("t", [epoch_row(1, 1.0, epoch_s=2.0)])
    assert board.snapshot(stopping=False).remaining_s is None
    now += 8
    board.put_progress("t", [epoch_row(epoch, 1.0, epoch_s=0.2) for epoch in range(2, 42)])
    left = board.snapshot(stopping=False).remaining_s
    assert left is not None
    assert left / board._remaining_epochs() == pytest.approx((2 + 8) / 41)


@pytest.fixture
def shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[TrialRecord]:
    """Every record that tracking gets, at every message."""
    monkeypatch.setattr(showing, "TRACK_EVERY_S", 0.0)
    monkeypatch.setattr(serial, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(ReportFolder, "write", lambda *_: None)  # Nobody looks at its pictures, which take longest.
    records: list[TrialRecord] = []
    keep = bench.memory.put_trial

    def put(record: TrialRecord) -> None:
        records.append(record)
        keep(record)

    monkeypatch.setattr(bench.memory, "put_trial", put)
    return records


def test_lost_late_and_repeated_messages_leave_no_gap(
    bench: Bench, sweep_of: SweepOf, shown: list[TrialRecord]
) -> None:
    """Whatever happens to the messages, every record holds its epochs from the first one, none beyond its own end even
    if others on its trajectory go further, and the last record holds all.
    """
    rates = [0.3, 0.03]
    for epochs, extend in (([9, 40], False), ([5, 9, 40], True)):
        bench.run(sweep_of({"lr": rates, "epochs": epochs}), Gossip(), extend=extend)
    assert len(shown) > 50
    for record in shown:
        end = record.setting.training.epochs
        assert [row.epoch for row in record.history] == list(range(1, len(record.history) + 1))
        assert len(record.history) <= record.end_epoch == end
    assert {number: len(r.history) for number, r in bench.memory.trials.items()} == {
        trial.number: trial.params["epochs"] for trial in bench.storage().load("s").trials()
    }


def test_a_pruned_trial_never_shows_more_than_its_rung(
    bench: Bench, sweep_of: SweepOf, shown: list[TrialRecord]
) -> None:
    """Trials that a pruner compares on one trajectory show the epochs they reached, live and in the end, and again when
    the study grows.
    """
    rates = [0.3, 0.1, 0.03, 0.003]
    bench.run(sweep_of({"lr": rates, "epochs": [20, 27]}, pruner="asha"), Gossip())
    bench.run(sweep_of({"lr": [*rates, 0.01], "epochs": [20, 27]}, pruner="asha"), Gossip(), extend=True)
    ends = {trial.number: trial.outcome for trial in bench.storage().load("s").trials()}
    for record in shown:
        outcome = ends[record.number]
        assert outcome is not None
        assert len(record.history) <= record.end_epoch <= outcome.view.end_epoch
    assert any(record.state == "pruned" for record in shown)


def test_what_a_failed_segment_told_is_not_taken_for_done(
    bench: Bench, sweep_of: SweepOf, shown: list[TrialRecord]
) -> None:
    """A training that reports nine epochs, and fails before it can save them, leaves them to the next one on its
    trajectory; its own run keeps what was shown, and gets nothing of what the other trains.
    """
    runs = itertools.count()

    def fails_first(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
        if next(runs) == 0:
            assert on_epoch is not None
            for epoch in range(1, 10):
                on_epoch(epoch_row(epoch, 1.0, epoch_s=0.1, time_ms=epoch))
            raise RuntimeError("the machine has had enough")
        return trivial(segment, on_epoch)

    summary = bench.run(sweep_of({"lr": [0.1], "epochs": [9, 12]}), SerialExecutor(fails_first))
    assert (summary.failed, summary.complete) == (1, 1)
    bench.run(sweep_of({"lr": [0.1], "epochs": [9, 12]}))
    failed = [record for record in shown if record.state == "failed"]
    assert {record.end_epoch for record in failed} == {9}
    assert {row.epoch for record in failed for row in record.history} == set(range(1, 10))
