"""Sync, gc and promote as a user meets them, one after the other in one workspace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from deepcolor.app import reporter
from deepcolor.app.gc import collect_garbage
from deepcolor.app.how import How
from deepcolor.app.promote import promote_trial
from deepcolor.app.reporter import Silent
from deepcolor.app.sync import sync_studies
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError, TrackingError
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.study.storage import StoredTrial, StudyStorage, owned
from deepcolor.tracking import layout
from deepcolor.tracking.rebuild import Rebuilt
from deepcolor.workspace import Workspace
from tests.cli.conftest import Cli, run
from tests.reliability.mlflow_server import Server
from tests.reporting import Heard, Watched
from tests.tracking.building import template_database

SWEEP = Sweep.model_validate(
    {
        "study": "grid",
        "stage": "regressor",
        "data": {"name": "faces", "size_px": 64},
        "search": {"space": {"lr": [1e-2, 1e-3, 1e-4], "epochs": [1, 2]}},
    }
)


@pytest.fixture
def server(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MLflow server that has not been started."""
    server = Server(tmp_path / "server", database=template_database(tmp_path_factory))
    yield server
    server.stop()


def test_a_sweep_without_its_server_is_made_good_by_sync(how: How, cli: Cli, server: Server) -> None:
    """With the server down a sweep ends all the same, and sync says so in one line, code 1; once it is up, sync makes
    every run, and a second sync changes nothing.
    """
    uri = server.uri
    assert run(SWEEP, replace(how, tracking_uri=uri)).complete == 6
    refused = cli.run("sync", "grid", "--to", uri, code=1).stderr
    errors = [line for line in refused.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert uri in errors[0]
    server.start()
    assert sync_studies(how.workspace, uri) == ({"grid": Rebuilt(made=7)}, {})
    runs = _runs(uri)
    assert sync_studies(how.workspace, uri, study="grid") == ({"grid": Rebuilt(unchanged=7)}, {})
    assert [one.to_dictionary() for one in _runs(uri)] == [one.to_dictionary() for one in runs]
    assert {one.info.status for one in runs} == {"FINISHED"}
    trials = [one for one in runs if "deepcolor.trial" in one.data.tags]
    assert sorted(int(one.data.tags["deepcolor.trial"]) for one in trials) == list(range(6))
    assert all({"value", "val/mse", "psnr_db"} <= set(one.data.metrics) for one in trials)


def test_a_driver_and_sync_make_the_same_runs(how: How, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a driver stored is left alone; another database gets runs with the same params, metrics and tags. Each step
    is named, and where storing takes its time, a bar in its place counts the runs.
    """
    run(SWEEP, how)
    steps = ["sync: loading libraries", "sync: storing the runs of grid", "sync: looking at the models", "sync: over"]
    quick, slow = Watched(), Watched()
    monkeypatch.setattr(reporter, "BAR_AFTER_S", 3600.0)
    done = sync_studies(how.workspace, how.tracking_uri, reporter=quick)
    assert done[0] == {"grid": Rebuilt(unchanged=7)}
    assert quick.seen == steps
    monkeypatch.setattr(reporter, "BAR_AFTER_S", 0.0)
    other = f"sqlite:///{tmp_path}/other/mlflow.db"
    assert sync_studies(how.workspace, other, reporter=slow)[0] == {"grid": Rebuilt(made=7)}
    bar = [f"storing the runs of grid: {number} of 7 runs" for number in range(1, 8)]
    assert slow.seen == [*steps[:2], "sync: hidden", *bar, *steps[2:]]

    def said(uri: str) -> list[dict[str, object]]:
        runs = sorted(_runs(uri), key=lambda one: one.info.run_name)  # Those begun in one millisecond have no order.
        datas = [one.data.to_dictionary() for one in runs]
        # That of a study tells of the runs that its description links to: others, in another database.
        stored = layout.STORED_DIGEST
        assert all(data["tags"].pop(stored) for data in datas if data["tags"][layout.KIND] == "study")
        return [
            {**data, "tags": {k: v for k, v in data["tags"].items() if not k.startswith("mlflow.")}} for data in datas
        ]

    assert said(other) == said(how.tracking_uri)


def test_a_driven_study_is_left_out_of_sync(how: How) -> None:
    """While a driver owns a study, sync refuses it by name, and leaves it out of all studies with a warning."""
    run(SWEEP, how)
    heard = Heard()
    with owned(how.workspace, "grid"):
        done, skipped = sync_studies(how.workspace, how.tracking_uri, reporter=heard)
        assert (done, list(skipped)) == ({}, ["grid"])
        assert heard.warnings == [skipped["grid"]]
        with pytest.raises(StudyError, match="already being run"):
            sync_studies(how.workspace, how.tracking_uri, study="grid")


def test_a_collected_trial_is_listed_refused_and_brought_back(how: How, cli: Cli) -> None:
    """What gc says it removes; the study lists as before and trains nothing; promoting a collected trial names the
    way back, which gives the same weights; a registered trial stays, also where another store is named than the
    workspace's own, which knows it. While it is promoted nothing can be removed.
    """
    workspace, uri = how.workspace, how.tracking_uri
    run(SWEEP, how)
    trials = StudyStorage(workspace).load("grid").trials()
    best, *others, worst = ranked(trials)
    kept = {_trajectory(best), _trajectory(worst)}
    # The best and the worst may lie on the same one of the three trajectories.
    other = next(trial for trial in others if _trajectory(trial) not in kept)
    weights = (_result(workspace, other) / "model.safetensors").read_bytes()
    refusals: list[str] = []

    class CleansUp(Silent):
        def note(self, message: str) -> None:
            with pytest.raises(StudyError, match="a promotion") as refused:
                collect_garbage(workspace, uri, keep=1, removing=True)
            refusals.append(str(refused.value))

    promote_trial(workspace, "grid", uri, number=worst.number, reporter=CleansUp())
    assert refusals

    said = json.loads(cli.run("gc", "--keep", "1", "--json").stdout)
    assert said["removed"] is False
    assert said["kinds"]["results"]["count"] == 3 - len(kept)
    assert said["kept"]["trajectories"] == len(kept)
    assert said["kept"]["reasons"]["registered"] == 1
    with owned(workspace, "grid"), pytest.raises(StudyError, match="already being run"):
        collect_garbage(workspace, uri, keep=1, removing=True)
    assert _result(workspace, other).is_dir()
    watched = Watched()
    done = collect_garbage(workspace, uri, keep=1, removing=True, reporter=watched)
    assert done.garbage.bytes == said["bytes"]
    looking = "gc: looking for what nothing needs"
    assert watched.seen == ["gc: looking up registered versions", looking, "gc: over"]
    assert not _result(workspace, other).exists()

    assert StudyStorage(workspace).load("grid").trials() == trials
    assert run(SWEEP, how).trained_now == 0
    assert sync_studies(workspace, uri)[0]["grid"].made == 0
    number = other.number
    with pytest.raises(StudyError, match=f"deepcolor promote grid --trial {number} --retrain"):
        promote_trial(workspace, "grid", uri, number=number)
    promote_trial(workspace, "grid", uri, number=number, retrain=True)
    assert (_result(workspace, other) / "model.safetensors").read_bytes() == weights
    kept_now = collect_garbage(workspace, uri, keep=1, removing=False).garbage.kept
    assert _trajectory(other) in kept_now
    elsewhere = collect_garbage(workspace, f"sqlite:///{workspace.root}/other.db", keep=1, removing=False)
    assert _trajectory(other) in elsewhere.garbage.kept
    assert uri in elsewhere.asked


def test_a_registry_that_cannot_be_asked_stops_gc(how: How, server: Server) -> None:
    """Without knowing what is registered nothing is removed."""
    run(SWEEP, how)
    with pytest.raises(TrackingError):
        collect_garbage(how.workspace, how.tracking_uri, also=[server.uri], keep=1, removing=True)
    assert all(_result(how.workspace, trial).is_dir() for trial in StudyStorage(how.workspace).load("grid").trials())


def _trajectory(trial: StoredTrial) -> str:
    assert trial.place is not None
    return trial.place.trajectory


def _result(workspace: Workspace, trial: StoredTrial) -> Path:
    assert trial.outcome is not None
    return workspace.trajectories / str(trial.outcome.result)


def _runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["attributes.start_time", "attributes.run_id"]))
