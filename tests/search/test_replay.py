from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError, TrackingError
from deepcolor.search.study.starts import Start, read_start, write_start
from deepcolor.tracking.payload import record_digest
from deepcolor.tracking.rebuild import Rebuilt, rebuild
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from tests.search.conftest import Bench

Make = Callable[..., Sweep]


def start_of(sweep: Sweep) -> Start:
    """How the bench starts its drivers."""
    provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=sweep.digest())
    return Start(provenance, "deepcolor sweep x.yaml", workers=2, threads=1)


def driven(bench: Bench, sweep: Sweep) -> list[StudyRecord | TrialRecord]:
    """Drive a sweep to its end, and return what is replayed of it."""
    bench.run(sweep)
    write_start(bench.workspace.study(sweep.study), start_of(sweep))
    return bench.replay(sweep.study)


def test_a_replay_says_what_the_driver_said(bench: Bench, sweep_of: Make) -> None:
    """The records rebuilt from storage and store equal those the driver last put, field by field."""
    sweep = sweep_of({"lr": [0.1, 0.01, 1.0], "epochs": [2, 3]})
    parent, *trials = driven(bench, sweep)
    assert parent == bench.memory.study
    # By digest: the two that diverged hold a NaN, which equals nothing.
    assert [record_digest(trial) for trial in trials] == [
        record_digest(t) for _, t in sorted(bench.memory.trials.items())
    ]


def test_what_is_drawn_at_rungs_is_found_again(bench: Bench, sweep_of: Make) -> None:
    """A trial's record names the contact sheet of each rung it has reached, the last one where it was pruned; the
    replay names the same, and none where the workspace wants no such pictures.
    """
    pruner = {"name": "asha", "min_epochs": 1}
    records = driven(bench, sweep_of({"lr": [0.1, 0.01, 0.3, 0.03], "epochs": [9]}, pruner=pruner))
    trials = [record for record in records if isinstance(record, TrialRecord)]
    rungs = {trial.number: [(epoch, file.name) for epoch, file in trial.rungs] for trial in trials}
    first = (1, "e000001-w000001.webp")
    assert all(names[0] == first for names in rungs.values())
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(rungs[trial.number][-1][0] == trial.history[-1].epoch for trial in pruned)
    assert {trial.number: trial.rungs for trial in trials} == {n: t.rungs for n, t in bench.memory.trials.items()}
    assert all(file.parent.parent.parent == bench.workspace.trajectories for trial in trials for _, file in trial.rungs)
    (bench.workspace.root / "deepcolor.yaml").write_text("mlflow_pictures: 0\n")
    without = Bench(replace(bench.workspace), bench.memory).replay("s")  # Settings are read once.
    assert not any(record.rungs for record in without if isinstance(record, TrialRecord))


def test_a_start_survives_its_file(tmp_path: Path, sweep_of: Make) -> None:
    """A start is read as it was written; a damaged file counts as none."""
    start = start_of(sweep_of())
    write_start(tmp_path, start)
    assert read_start(tmp_path) == start
    (tmp_path / "start.json").write_text("{")
    assert read_start(tmp_path) is None


def test_rebuilding_twice_changes_nothing(bench: Bench, sweep_of: Make, tmp_path: Path) -> None:
    """An empty database gets every run; the second time nothing is sent, and no file there is written again."""
    records = driven(bench, sweep_of({"lr": [0.1, 0.01], "epochs": [2, 3]}))
    uri = f"sqlite:///{tmp_path}/other/mlflow.db"
    assert rebuild(records, tracking_uri=uri) == Rebuilt(made=5)
    artifacts = {path: path.stat().st_mtime_ns for path in (tmp_path / "other" / "artifacts").rglob("*")}
    assert rebuild(records, tracking_uri=uri) == Rebuilt(unchanged=5)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "other" / "artifacts").rglob("*")} == artifacts


def test_a_study_that_went_on_is_brought_up_to_date(bench: Bench, sweep_of: Make, tmp_path: Path) -> None:
    """Runs created while a trial was open get its end; complete ones are left alone."""
    sweep = sweep_of({"lr": [0.1, 0.01]})
    bench.storage().open(sweep, lambda: sweep)
    write_start(bench.workspace.study(sweep.study), start_of(sweep))
    uri = f"sqlite:///{tmp_path}/other/mlflow.db"
    assert rebuild(bench.replay(sweep.study), tracking_uri=uri) == Rebuilt(made=1)
    records = driven(bench, sweep)
    assert rebuild(records, tracking_uri=uri) == Rebuilt(made=2, updated=1)
    assert rebuild(records, tracking_uri=uri) == Rebuilt(unchanged=3)


def test_a_dead_server_is_one_line_and_soon(bench: Bench, sweep_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server is not there, rebuilding ends with a TrackingError that names it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9") as caught:
        rebuild(driven(bench, sweep_of()), tracking_uri="http://127.0.0.1:9")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60


def test_a_study_without_a_past_cannot_be_replayed(bench: Bench, sweep_of: Make) -> None:
    """A study with neither a record of its start nor a training is refused, with what to do."""
    sweep = sweep_of()
    bench.storage().open(sweep, lambda: sweep)
    with pytest.raises(StudyError, match="Run its sweep again"):
        bench.replay(sweep.study)
