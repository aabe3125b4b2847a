"""docs/extending.md, done as it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

import deepcolor
from deepcolor.app.data import data_of
from deepcolor.config.load import load_sweep
from deepcolor.models.saved import open_saved
from deepcolor.search.study.storage import StudyStorage
from deepcolor.training.advance import advance
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import Segment, Trajectory, TrajectoryPaths
from deepcolor.workspace import Workspace
from tests.cli.conftest import Cli
from tests.extending import write_files
from tests.reliability.processes import Faults, start, start_call, wait_until

SWEEP = "experiments/own.yaml"
STAGE_SWEEP = "experiments/diabetes.yaml"
POOL = "experiments/own/executors.py:Pool"


def epochs(workspace: Path) -> dict[str, list[dict[str, float]]]:
    """What each epoch of each training of a workspace gave."""
    store = Workspace.at(workspace).trajectories
    found = {folder.name: read_history(TrajectoryPaths(store, folder.name)) for folder in store.iterdir()}
    return {name: [dict(row.metrics) for row in rows] for name, rows in found.items()}


def test_what_a_sweep_brings_outlives_its_files(ready: Cli, tmp_path: Path) -> None:
    """Killed with all its workers, and with its code gone, a study goes on with what it began with, and gives what it
    gives uncut, by another executor; with other code it is refused.
    """
    assert len(write_files(tmp_path)) == 12
    shutil.copytree(tmp_path, uncut := tmp_path / "uncut")
    running = start(tmp_path, "sweep", SWEEP, "--workers", "2", faults=Faults(formula=False))
    wait_until(lambda: any(Workspace.at(tmp_path).trajectories.glob("*/checkpoints/*.json")), "a training is kept")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()

    losses = tmp_path / "experiments/own/losses.py"
    text = losses.read_text()
    losses.write_text(text.replace("1 + 4", "1 + 5"))
    said = ready.run("sweep", SWEEP, code=2).stderr
    assert "has a different sweep from the one given; changed: code.own/losses.py: '" in said
    shutil.rmtree(losses.parent)
    said = ready.run("sweep", SWEEP, code=2).stderr
    assert "must be a file that can be read; got no such file or directory" in said
    assert said.count("\n") == 1

    ready.run("studies", "own", "--write-sweep", "again.yaml")
    summary = json.loads(ready.run("sweep", "again.yaml", "--workers", "2", "--json").stdout)
    check(summary)

    whole = json.loads(Cli(uncut).run("sweep", SWEEP, "--executor", POOL, "--workers", "2", "--json").stdout)
    check(whole)
    one, other = epochs(tmp_path), epochs(uncut)
    assert one.keys() & other.keys()
    for name in one.keys() & other.keys():
        both = min(len(one[name]), len(other[name]))  # Others were better in one of them, and went on.
        assert one[name][:both] == other[name][:both]
    trials = StudyStorage(Workspace.at(tmp_path)).load("own").trials()
    losses_of = {trial.params["loss"]: one[trial.place.trajectory][0] for trial in trials if trial.place}
    assert {"train/mse", "val/hue"} <= losses_of["mse"].keys()
    assert all(trial.outcome.metrics["hue"] > 0 for trial in trials if trial.outcome and trial.state == "complete")
    assert "train/loss" in losses_of["own/losses.py:colourful"]


def check(summary: dict[str, Any]) -> None:
    """All has been tried, the better ones to their end."""
    assert summary["state"] == "complete"
    assert (summary["complete"] + summary["pruned"], summary["failed"]) == (6, 0)
    assert 3 <= summary["complete"] < 6


def test_a_stage_is_searched_killed_promoted_and_served(cli: Cli, mlflow_database: None) -> None:
    """Killed with its workers, its file gone, a study of something else than pictures goes on; its best is promoted,
    pulled, and answers where the file never was, through MLflow as through deepcolor.
    """
    write_files(cli.workspace)
    running = start(cli.workspace, "sweep", STAGE_SWEEP, "--workers", "2", faults=Faults(formula=False))
    store = Workspace.at(cli.workspace).trajectories
    wait_until(lambda: any(store.glob("*/checkpoints/*.json")), "a training is kept")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    shutil.rmtree(cli.workspace / "experiments/own")
    cli.run("studies", "diabetes", "--write-sweep", "again.yaml")
    summary = json.loads(cli.run("sweep", "again.yaml", "--workers", "2", "--json").stdout)
    assert (summary["state"], summary["complete"] + summary["pruned"], summary["failed"]) == ("complete", 12, 0)
    told = json.loads(cli.run("promote", "diabetes", "--json").stdout)
    assert (told["version"], told["verdict"]) == ("diabetes@1", "first")
    cli.run("pull", "diabetes@champion", "-o", "model")
    said = start_call(ask, folder=cli.workspace).ends(0)
    assert said.strip().endswith("True"), said
    assert "running code that a model of own/diabetes.py:Diabetes brings" in said


def ask() -> None:
    """Have a row answered by the pulled model and by MLflow's, in the present folder, by a process that has not run
    their code.
    """
    rows = pd.DataFrame([[0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0, 0.02, 0]], columns=list("abcdefghij"))
    mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/deepcolor-diabetes@champion")
    print(deepcolor.load("model").predict(rows).equals(served.predict(rows)))


def test_a_stage_trains_on_prepared_pictures(decoded: Path, tmp_path: Path) -> None:
    """It finds the data set decoded, is measured on each picture of a split, and learns: of the pictures that it has
    seen, colours for sixteen levels say more than one colour, and that more than none.
    """
    write_files(tmp_path)
    sweep = load_sweep(tmp_path / "experiments/palette.yaml")
    found = data_of(Workspace.at(decoded), sweep)
    stage, worth = sweep.stage_class, {}
    for levels in (1, 16):
        trajectory = Trajectory(sweep.setting({"levels": levels, "pull": 1.0}), data_digest=found.digest)
        segment = Segment(trajectory, to_epoch=2, patience=None, store=tmp_path / "store", cache=found.folder)
        result = advance(segment).result
        assert result is not None
        _, saved = open_saved(result, own=True)
        asked: dict[str, Any] = {"folder": found.folder, "data": sweep.data}
        tested, seen = (
            stage.measure(saved, **asked, split=split, device="cpu", conditions=None).errors
            for split in ("test", "train")
        )
        assert len(tested) == 3
        worth[levels] = sum(seen) / len(seen)
    grey = stage.baseline(**asked, split="train")
    assert grey is not None
    assert worth[16] < worth[1] < sum(grey) / len(grey)


def test_an_executor_that_is_none_is_refused(cli: Cli) -> None:
    """In a line, before anything is looked at: an unknown name, a missing file, a class that does something else."""
    cli.write("x.py", "class Empty:\n    def __init__(self, run, **_): ...\n\nclass Other: ...\n")
    cli.write("s.yaml", "study: s\nstage: regressor\ndata: {name: faces}\nsearch: {}\n")
    for kind, problem in {
        "lokal": "--executor: must be one of serial, local, dask, slurm, or FILE.py:NAME or package.module:NAME of",
        "y.py:Empty": "y.py must be a file that can be read; got no such file or directory",
        "x.py:Nothing": "x.py must have something called Nothing",
        "x.py:Empty": "x.py:Empty must have slots, child_imports, prepare, submit, events, close",
        "x.py:Other": "x.py:Other must take (run, workers=..., threads=..., devices=...); got TypeError",
    }.items():
        said = cli.run("sweep", "s.yaml", "--executor", kind, code=2).stderr
        assert problem in said
        assert said.count("\n") == 1
