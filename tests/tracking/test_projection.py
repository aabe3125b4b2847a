from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from deepcolor.config.schema import SearchConfig, Sweep
from deepcolor.tracking import layout, store
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.tracking.records import Tracker
from tests.reliability.processes import start_call
from tests.tracking.building import T0_MS, make_history, make_result, make_sweep, study_record, trial_record

FLUSH_S = 60
Start = Callable[[], MlflowTracker]


@pytest.fixture
def warned() -> list[str]:
    return []


@pytest.fixture
def start(tracking_uri: str, warned: list[str]) -> Iterator[Start]:
    """Start trackers on one store, and close all of them at the end."""
    trackers: list[MlflowTracker] = []

    def make() -> MlflowTracker:
        trackers.append(MlflowTracker(tracking_uri=tracking_uri, on_warning=warned.append, live_interval_s=0.05))
        return trackers[-1]

    yield make
    for tracker in trackers:
        tracker.close()


def runs_of(tracking_uri: str, sweep: Sweep, *, study_id: str | None = None) -> dict[int | None, Run]:
    """The study's runs by trial number; None means the parent. Fails if a trial has two."""
    study_id = study_id or layout.study_id(sweep.study, T0_MS)
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(layout.experiment_name(sweep.stage))
    assert experiment is not None
    runs = store.find_runs(client, experiment.experiment_id, layout.study_filter(study_id))
    found = {int(n) if (n := run.data.tags.get(layout.TRIAL)) is not None else None: run for run in runs}
    assert len(found) == len(runs)
    return found


def test_a_finished_trial_is_a_whole_run(start: Start, tracking_uri: str, tmp_path: Path) -> None:
    """Params, metrics at their recorded times, tags, data set, artifacts, picture and status are all in its run."""
    sweep, tracker = make_sweep(), start()
    assert isinstance(tracker, MlflowTracker)
    contract: Tracker = tracker
    contract.put_study(study_record(sweep))
    contract.put_trial(trial_record(sweep, 1, result=make_result(tmp_path / "result")))
    assert contract.flush(FLUSH_S)

    run, client = runs_of(tracking_uri, sweep)[1], MlflowClient(tracking_uri)
    assert run.info.run_name == "t0001 lr=1e-3 fm=9"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", T0_MS + 1000, T0_MS + 1500)
    assert run.data.params["lr"] == "0.001"
    assert run.data.metrics["value"] == pytest.approx(0.0101)
    assert run.data.tags["mlflow.user"]
    assert run.data.tags["mlflow.source.git.commit"] == "c" * 40
    history = client.get_metric_history(run.info.run_id, "val/mse")
    assert [(m.step, m.timestamp) for m in history] == [(row.epoch, row.time_ms) for row in make_history(3, number=1)]
    assert run.inputs is not None
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("faces", "d" * 32)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"checkpoint", "images", "loss.png", "metrics.json", "samples.png"}
    assert {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "checkpoint")} == {
        "model.json",
        "model.safetensors",
    }


def test_artifacts_lie_beside_the_database(start: Start, tracking_uri: str, tmp_path: Path) -> None:
    """In the workspace's own store artifacts stay in the workspace, wherever the command was started."""
    sweep, tracker = make_sweep(), start()
    tracker.put_trial(trial_record(sweep, result=make_result(tmp_path / "result")))
    assert tracker.flush(FLUSH_S)
    uri = runs_of(tracking_uri, sweep)[0].info.artifact_uri
    assert uri.startswith((tmp_path / "mlruns" / "artifacts" / "colorizer").as_uri())


def test_the_parent_holds_the_sweep_its_report_and_the_best_over_time(
    start: Start, tracking_uri: str, tmp_path: Path
) -> None:
    """A finished study's parent run has the resolved file, the report, the figures and the saved view's link."""
    sweep, tracker = make_sweep(), start()
    report = tmp_path / "report"
    report.mkdir()
    (report / "leaderboard.csv").write_text("trial,value\n")
    best = ((0, T0_MS + 5, 0.5), (3, T0_MS + 9, 0.25))
    summary = {"trials": 4.0}
    done = study_record(sweep, state="complete", best=best, best_trial=3, summary=summary, report=report)
    tracker.put_study(done)
    assert tracker.flush(FLUSH_S)

    parent, client = runs_of(tracking_uri, sweep)[None], MlflowClient(tracking_uri)
    assert parent.info.run_name == "grid"
    assert parent.info.status == "FINISHED"
    steps = client.get_metric_history(parent.info.run_id, "best/value")
    assert [(m.step, m.value) for m in steps] == [(0, 0.5), (3, 0.25)]
    assert parent.data.metrics["summary/trials"] == 4
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"report", "sweep.yaml"}
    (tracked,) = store.tracked_studies(tracking_uri)
    assert (tracked.name, tracked.has_view) == ("grid", True)
    assert f"/experiments/{parent.info.experiment_id}/runs" in tracked.link("http://h")


def test_putting_everything_again_changes_nothing(start: Start, tracking_uri: str) -> None:
    """A driver that starts again sends all its records: there is no second run, and no metric twice."""
    sweep = make_sweep()
    for _ in range(2):
        tracker = start()
        tracker.put_study(study_record(sweep, state="complete"))
        for number in range(3):
            tracker.put_trial(trial_record(sweep, number))
        assert tracker.flush(FLUSH_S)
    runs = runs_of(tracking_uri, sweep)
    assert set(runs) == {None, 0, 1, 2}
    assert len(MlflowClient(tracking_uri).get_metric_history(runs[0].info.run_id, "train/mse")) == 3


def test_a_run_left_running_by_a_killed_driver_is_brought_to_its_end(start: Start, tracking_uri: str) -> None:
    """The next driver continues the run: the missing epochs are added, and the status is correct."""
    sweep = make_sweep()
    killed = start()
    killed.put_trial(trial_record(sweep, state="running", epochs=2))
    assert killed.flush(FLUSH_S)
    assert runs_of(tracking_uri, sweep)[0].info.status == "RUNNING"
    following = start()
    following.put_trial(trial_record(sweep, epochs=4))
    assert following.flush(FLUSH_S)
    run = runs_of(tracking_uri, sweep)[0]
    assert run.info.status == "FINISHED"
    steps = [m.step for m in MlflowClient(tracking_uri).get_metric_history(run.info.run_id, "val/mse")]
    assert steps == [1, 2, 3, 4]


def test_children_come_before_their_parent(start: Start, tracking_uri: str) -> None:
    """The order of records does not matter: a trial put first still ends up below its study's one parent."""
    sweep, tracker = make_sweep(), start()
    tracker.put_trial(trial_record(sweep))
    assert tracker.flush(FLUSH_S)
    tracker.put_study(study_record(sweep))
    assert tracker.flush(FLUSH_S)
    runs = runs_of(tracking_uri, sweep)
    assert runs[0].data.tags[layout.PARENT_RUN] == runs[None].info.run_id
    assert "mlflow.note.content" in runs[None].data.tags


def test_only_the_newest_of_many_records_is_stored(start: Start, tracking_uri: str) -> None:
    """Records that arrive faster than they are stored are merged; nothing of the last one is lost."""
    sweep, tracker = make_sweep(), start()
    for epochs in range(1, 301):
        tracker.put_trial(trial_record(sweep, state="running", epochs=epochs))
    tracker.put_trial(trial_record(sweep, epochs=300))
    assert tracker.flush(FLUSH_S)
    run = runs_of(tracking_uri, sweep)[0]
    steps = [m.step for m in MlflowClient(tracking_uri).get_metric_history(run.info.run_id, "val/mse")]
    assert steps == list(range(1, 301))


def test_two_studies_of_one_name_stay_apart(start: Start, tracking_uri: str) -> None:
    """On a store that several people share, another study under the same name gets runs of its own."""
    sweep, tracker = make_sweep(), start()
    ids = [layout.study_id(sweep.study, T0_MS + later) for later in (0, 1)]
    for study_id in ids:
        tracker.put_study(study_record(sweep, study_id=study_id))
        tracker.put_trial(trial_record(sweep, study_id=study_id))
    assert tracker.flush(FLUSH_S)
    first, second = (runs_of(tracking_uri, sweep, study_id=study_id)[0].info.run_id for study_id in ids)
    assert first != second


def test_a_study_that_grows_goes_on_in_its_runs(start: Start, tracking_uri: str) -> None:
    """Another configuration of the same study changes digest, description and names, but replaces no run; a name that
    somebody gave a run in MLflow is kept.
    """
    sweep, first = make_sweep(), start()
    first.put_study(study_record(sweep, state="complete"))
    for number in range(2):
        first.put_trial(trial_record(sweep, number))
    assert first.flush(FLUSH_S)
    before = runs_of(tracking_uri, sweep)
    MlflowClient(tracking_uri).update_run(before[1].info.run_id, name="the good one")

    space = {"lr": [1e-3, 1e-4, 1e-5], "feature_maps": [3, 9], "weight_decay": [0.0]}
    grown = make_sweep(search=SearchConfig(space=space))  # type: ignore[arg-type]  # as in YAML
    second = start()
    second.put_study(study_record(grown, state="complete"))
    for number in range(3):
        record = trial_record(sweep, number)
        second.put_trial(trial_record(grown, number, params={**record.params, "weight_decay": 0.0}))
    assert second.flush(FLUSH_S)
    after = runs_of(tracking_uri, grown)
    assert {number: run.info.run_id for number, run in after.items() if number != 2} == {
        number: run.info.run_id for number, run in before.items()
    }
    assert {run.data.tags[layout.CONFIG_DIGEST] for run in after.values()} == {grown.digest()}
    names = [after[number].info.run_name for number in range(3)]
    assert names == ["t0000 lr=1e-3 fm=3 wd=0", "the good one", "t0002 lr=1e-4 fm=3 wd=0"]
    assert "1e-5" in after[None].data.tags["mlflow.note.content"]


@pytest.mark.parametrize(("state", "status"), [("failed", "FAILED"), ("pruned", "KILLED"), ("waiting", "KILLED")])
def test_every_end_has_its_status(start: Start, tracking_uri: str, state: str, status: str) -> None:
    """No run of a trial that has ended or waits stays RUNNING; one that continues is RUNNING again."""
    sweep, tracker = make_sweep(), start()
    tracker.put_trial(trial_record(sweep, state=state, value=None))  # type: ignore[arg-type]  # parametrized
    assert tracker.flush(FLUSH_S)
    assert runs_of(tracking_uri, sweep)[0].info.status == status
    tracker.put_trial(trial_record(sweep, state="running", epochs=4))
    assert tracker.flush(FLUSH_S)
    assert runs_of(tracking_uri, sweep)[0].info.status == "RUNNING"


def test_a_run_deleted_behind_our_back_is_made_again(start: Start, tracking_uri: str, warned: list[str]) -> None:
    """MLflow is a projection: what somebody deletes there comes back with the next record."""
    sweep, tracker = make_sweep(), start()
    tracker.put_trial(trial_record(sweep, state="running", epochs=1))
    assert tracker.flush(FLUSH_S)
    MlflowClient(tracking_uri).delete_run(runs_of(tracking_uri, sweep)[0].info.run_id)
    tracker.put_trial(trial_record(sweep, epochs=2))
    assert tracker.flush(FLUSH_S)
    assert runs_of(tracking_uri, sweep)[0].info.status == "FINISHED"
    assert warned == []


def test_a_record_that_mlflow_refuses_stops_no_other(start: Start, tracking_uri: str, warned: list[str]) -> None:
    """A bad record is reported by name and given up; the rest is stored, and flush says that something is missing."""
    sweep, tracker = make_sweep(), start()
    tracker.put_trial(trial_record(sweep, 0, metrics={"no:such*name": 1.0}))
    tracker.put_trial(trial_record(sweep, 1))
    assert tracker.flush(FLUSH_S) is False
    assert runs_of(tracking_uri, sweep)[1].info.status == "FINISHED"
    (warning,) = warned
    assert "grid trial 0" in warning


def test_a_dead_server_never_makes_training_wait(warned: list[str]) -> None:
    """Putting returns at once, flush says no, the warning comes once, closing does not hang."""
    sweep = make_sweep()
    records = [trial_record(sweep, number) for number in range(100)]
    uri = "http://user:secret@127.0.0.1:1"
    with closing(MlflowTracker(tracking_uri=uri, on_warning=warned.append)) as tracker:
        began_s = time.perf_counter()
        tracker.put_study(study_record(sweep))
        for record in records:
            tracker.put_trial(record)
        assert time.perf_counter() - began_s < 1
        assert warned == []
        assert tracker.flush(FLUSH_S) is False
    (warning,) = warned
    assert "127.0.0.1:1" in warning
    assert "secret" not in warning


def test_what_was_put_during_an_outage_is_stored_after_it(mlflow_template: Path, tmp_path: Path) -> None:
    """The newest records are kept while the store is unreachable, and stored when it is back."""
    warned: list[str] = []
    database = tmp_path / "mlruns" / "mlflow.db"
    (tmp_path / "mlruns").write_text("not a folder yet")
    tracker = MlflowTracker(tracking_uri=f"sqlite:///{database}", on_warning=warned.append)
    sweep = make_sweep()
    tracker.put_study(study_record(sweep, state="complete"))
    tracker.put_trial(trial_record(sweep))
    assert tracker.flush(FLUSH_S) is False
    (tmp_path / "mlruns").unlink()
    (tmp_path / "mlruns").mkdir()
    database.write_bytes(mlflow_template.read_bytes())
    assert tracker.flush(FLUSH_S)
    tracker.close()
    assert set(runs_of(f"sqlite:///{database}", sweep)) == {None, 0}
    assert len(warned) == 1


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05])
def test_a_killed_writer_is_replaced_and_stores_nothing_twice(
    start: Start, tracking_uri: str, warned: list[str], after_s: float
) -> None:
    """The process that writes to MLflow is killed with -9 at work: each trial has one complete run, and no warning."""
    sweep, tracker = make_sweep(), start()
    tracker.put_study(study_record(sweep))
    assert tracker.flush(FLUSH_S)
    tracker.put_trial(trial_record(sweep, 1))
    tracker.put_trial(trial_record(sweep, 2))
    time.sleep(after_s)
    writer = tracker._writer._process
    assert writer is not None
    os.kill(writer.pid, signal.SIGKILL)
    assert tracker.flush(FLUSH_S)
    runs = runs_of(tracking_uri, sweep)
    assert [runs[number].info.status for number in (1, 2)] == ["FINISHED", "FINISHED"]
    assert [runs[number].data.metrics["value"] for number in (1, 2)] == [pytest.approx(0.0101), pytest.approx(0.0102)]
    assert warned == []


def test_several_processes_may_set_up_the_database_at_once(tmp_path: Path) -> None:
    """If two processes use a workspace for the first time at the same moment, they leave one complete database."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    for command in [start_call(open_and_ask, uri, folder=tmp_path) for _ in range(2)]:
        command.ends(0)


def open_and_ask(uri: str) -> None:
    """Open a store, which sets it up, and read it."""
    assert store.open_client(uri).search_experiments()


def test_importing_the_tracker_does_not_import_mlflow() -> None:
    """A sweep starts training while MLflow is still being imported."""
    code = "import sys, deepcolor.tracking.projection, deepcolor.registry.names; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
