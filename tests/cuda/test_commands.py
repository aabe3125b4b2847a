"""The commands on a GPU, each as a user starts it: its worker processes are forked from a server that knows torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import deepcolor
from deepcolor.data.images import read_picture
from deepcolor.search.study.storage import StudyStorage
from deepcolor.search.study.trials import StoredTrial
from tests.cli.conftest import ENVIRONMENT
from tests.cli.test_sweep import running_runs, trial_runs, wait_for_trials
from tests.cuda.conftest import GPU, Commands, new_workspace
from tests.extending import PAGE, write_files
from tests.tracking.building import template_database

SEARCH = """
study: search
stage: colorizer
data: {name: faces, size_px: 64}
training: {batch_size: 16}
search:
  sampler: tpe
  trials: 12
  pruner: {name: asha, min_epochs: 1}
  space:
    lr: {low: 1e-4, high: 1e-1, log: true}
    feature_maps: {low: 2, high: 20}
    epochs: [3, 9]
"""
GRID = """
study: grid
stage: regressor
data: {name: faces, size_px: 64}
search:
  space:
    lr: [1e-2, 1e-3]
    feature_maps: [3, 16]
    epochs: [2, 4]
"""
BREAKING = """
import torch

def breaking(output, target):
    return output.flatten()[torch.full((1,), 10**9, device=output.device)].mean()
"""
BROKEN = """
study: broken
stage: regressor
data: {name: faces, size_px: 64}
training: {epochs: 2}
search:
  space:
    loss: [loss.py:breaking, mse]
    lr: [1e-2, 1e-3]
"""
HUNGRY = """
study: hungry
stage: colorizer
data: {name: faces, size_px: 128}
training: {epochs: 2, batch_size: 144}
search:
  space:
    feature_maps: [512, 3]
"""


def stored(commands: Commands, study: str) -> list[StoredTrial]:
    return StudyStorage(commands.workspace).load(study).trials()


def devices(commands: Commands, study: str) -> set[str]:
    """Where the complete trials of a study were trained."""
    return {trial.outcome.device for trial in stored(commands, study) if trial.outcome and trial.state == "complete"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, decoded: Path) -> tuple[Commands, dict[str, Any]]:
    """A workspace with a search by TPE and ASHA on three worker processes, and what the sweep said."""
    folder = tmp_path_factory.mktemp("searched")
    commands = new_workspace(folder, decoded=decoded, database=template_database(tmp_path_factory))
    (folder / "search.yaml").write_text(SEARCH)
    return commands, commands.json("sweep", "search.yaml", "--workers", "3", "--device", "auto")


def test_a_search_trains_on_the_gpu(searched: tuple[Commands, dict[str, Any]]) -> None:
    """Three processes share the GPU: every trial is trained there, has its run in MLflow, and its time is counted."""
    commands, said = searched
    assert (said["trials"], said["failed"]) == (12, 0)
    assert said["complete"] + said["pruned"] == 12
    assert devices(commands, "search") == {"cuda:0"}
    assert StudyStorage(commands.workspace).load("search").spent.gpu_s > 0
    assert trial_runs(commands.folder) == {str(number): 1 for number in range(12)}
    assert running_runs(commands.folder) == []
    client = MlflowClient(commands.workspace.mlflow_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, filter_string="tags.`deepcolor.kind` = 'trial'")
    assert {run.data.tags.get("deepcolor.device", "") for run in runs} <= {"cuda:0", ""}
    assert min(run.data.metrics["val/mse"] for run in runs) == pytest.approx(said["best"]["value"], rel=0.5)


def test_the_best_trial_is_promoted_and_colours_pictures(searched: tuple[Commands, dict[str, Any]]) -> None:
    """The gate measures on the GPU what it measures on the CPU; the champion colours, through MLflow alone too."""
    commands, _ = searched
    places: dict[str, Any] = {"workspace": commands.folder}
    first = deepcolor.promote("search", force=True, device=GPU, **places)
    assert first.promoted
    on_cpu = deepcolor.promote("search", force=True, name="cpu", device="cpu", **places)
    assert first.test["mse"] == pytest.approx(on_cpu.test["mse"], rel=1e-4)
    assert first.test["ssim"] == pytest.approx(on_cpu.test["ssim"], rel=1e-3)
    picture = min((commands.folder / "pictures").iterdir())
    said = commands.json("colorize", str(picture), "-o", "out", "--model", "colorizer@champion", "--device", "cuda")
    (written,) = said["written"]
    coloured = read_picture(commands.folder / written["output"]).rgb_HW3
    mlflow.set_tracking_uri(commands.workspace.mlflow_uri)
    served = mlflow.pyfunc.load_model("models:/deepcolor-colorizer@champion")
    (array,) = served.predict([str(picture)], params={"output": "array"})
    assert np.array_equal(np.asarray(array), coloured)


def test_worker_processes_and_one_process_give_the_same_numbers(commands: Commands, tmp_path: Path) -> None:
    """To the last bit, though four of them share the GPU, and other trainings run beside each."""
    (tmp_path / "grid.yaml").write_text(GRID)
    commands.run("sweep", "grid.yaml", "--workers", "4", "--device", "cuda")
    alone = ["-o", "study=alone", "--executor", "serial", "--device", "cuda:0"]
    store, moved = commands.workspace.trajectories, tmp_path / "moved"
    store.rename(moved)
    commands.run("sweep", "grid.yaml", *alone)
    both = [{json.dumps(t.params, sort_keys=True): t.value for t in stored(commands, s)} for s in ("grid", "alone")]
    assert len(both[0]) == 8
    assert both[0] == both[1]
    assert devices(commands, "grid") == devices(commands, "alone") == {"cuda:0"}


def test_a_killed_driver_goes_on_where_it_was(commands: Commands, tmp_path: Path) -> None:
    """Killed with all its processes in the middle of its trainings on the GPU, the study ends with each trial once."""
    (tmp_path / "grid.yaml").write_text(GRID)
    words = ["sweep", "grid.yaml", "--workers", "2", "--device", "cuda"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deepcolor", *words], cwd=tmp_path, env=ENVIRONMENT, start_new_session=True
    )
    wait_for_trials(tmp_path, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = commands.json(*words)
    assert (done["complete"], done["trials"], done["failed"]) == (8, 8, 0)
    assert devices(commands, "grid") == {"cuda:0"}


def test_code_of_ones_own_runs_on_the_gpu(commands: Commands, tmp_path: Path) -> None:
    """The optimizer, the loss, the sampler and the pruner of the page that tells how to bring them."""
    assert PAGE.exists()
    write_files(tmp_path)
    done = commands.json("sweep", "experiments/own.yaml", "--workers", "2", "--device", "cuda")
    assert done["failed"] == 0
    assert devices(commands, "own") == {"cuda:0"}


def test_a_trial_that_breaks_the_gpu_fails_alone(commands: Commands, tmp_path: Path) -> None:
    """An index out of range spoils a process's GPU for good: another process trains what comes after it."""
    (tmp_path / "loss.py").write_text(BREAKING)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    done = commands.json("sweep", "broken.yaml", "--workers", "1", "--device", "cuda")
    assert (done["complete"], done["failed"]) == (2, 2)
    reasons = {trial["params"]["loss"]: trial["error"] for trial in commands.trials("broken")}
    assert "CUDA error" in reasons["loss.py:breaking"]
    assert reasons["mse"] is None


def test_a_gpu_broken_in_the_one_process_ends_the_sweep(commands: Commands, tmp_path: Path) -> None:
    """Nothing more can be trained there: it ends in one line, no other trial is blamed, the rest is trained later."""
    (tmp_path / "loss.py").write_text(BREAKING)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    words = ["sweep", "broken.yaml", "--executor", "serial", "--device", "cuda"]
    told = commands.run(*words, code=2).stderr
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "unusable to this process" in line
    assert "Run the same command again" in line
    blamed = {trial["params"]["loss"] for trial in commands.trials("broken") if trial["error"]}
    assert blamed == {"loss.py:breaking"}


@pytest.fixture
def _little_memory() -> Iterator[None]:
    """Leave 3 GiB of the GPU to others."""
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device=GPU)
    yield
    del held
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("_little_memory")
def test_a_trial_that_wants_too_much_memory_fails_alone(commands: Commands, tmp_path: Path) -> None:
    """It says so in one line with what to change, and the trials after it are trained by the same process."""
    (tmp_path / "hungry.yaml").write_text(HUNGRY)
    done = commands.json("sweep", "hungry.yaml", "--workers", "1", "--device", "cuda")
    assert (done["complete"], done["failed"]) == (1, 1)
    (error,) = [trial["error"] for trial in commands.trials("hungry") if trial["error"]]
    assert error.startswith("out of memory; use fewer feature_maps, a smaller batch_size or fewer --workers (")
    assert "\n" not in error
    assert devices(commands, "hungry") == {"cuda:0"}


@pytest.mark.parametrize("executor", ["local", "serial"])
def test_a_plan_counts_gpu_hours(commands: Commands, tmp_path: Path, executor: str) -> None:
    """Measured on the GPU by the sweep's own executor."""
    (tmp_path / "grid.yaml").write_text(GRID)
    said = commands.json("plan", "grid.yaml", "--executor", executor)
    assert said["gpu_hours"] > 0
    assert set(said["sweeps"][0]["sources"]) <= {"calibration", "interpolation"}


def test_the_benchmark_measures_the_gpu_and_the_cpu(commands: Commands) -> None:
    """Each stage on each device, the GPU by its maker's name."""
    tiny = ("--size", "64", "--copies", "1", "--feature-maps", "1", "--batch-size", "8", "--seconds", "0")
    times = commands.json("benchmark", *tiny, "--pictures", "20")["times"]
    stages = ("regressor", "colorizer", "transfer")
    assert [(time["stage"], time["device"]) for time in times] == [
        (stage, device) for stage in stages for device in (*map("cuda:{}".format, range(_gpus())), "cpu")
    ]
    assert times[0]["device_name"] == torch.cuda.get_device_name(0)
    assert all(time["median_s"] > 0 for time in times)


def _gpus() -> int:
    return torch.cuda.device_count()


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "grid.yaml"],
        ["sweep", "grid.yaml", "--executor", "serial"],
        ["plan", "grid.yaml"],
        ["benchmark", "--pictures", "20"],
    ],
    ids=" ".join,
)
def test_a_gpu_that_is_not_there_is_refused_in_one_line(commands: Commands, tmp_path: Path, words: list[str]) -> None:
    """With how many there are, before anything is trained."""
    (tmp_path / "grid.yaml").write_text(GRID)
    told = commands.run(*words, "--device", f"cuda:{_gpus()}", code=2).stderr
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "torch sees 1 GPU" in line or _gpus() > 1
    assert not commands.workspace.trajectories.exists()


@pytest.mark.parametrize("executor", ["local", "serial"])
def test_a_hidden_gpu_leaves_the_cpu(commands: Commands, tmp_path: Path, executor: str) -> None:
    """With CUDA_VISIBLE_DEVICES empty the sweep runs on the CPU, and a line says so."""
    (tmp_path / "grid.yaml").write_text(GRID)
    words = ["sweep", "grid.yaml", "--executor", executor, "-o", "search.space.lr=[1e-2]"]
    told = commands.run(*words, environment={"CUDA_VISIBLE_DEVICES": ""}).stderr
    assert told.count("this machine has a GPU that torch cannot use, so everything is computed on the CPU") == 1
    assert devices(commands, "grid") == {"cpu"}
