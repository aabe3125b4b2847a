from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.cli.conftest import Cli
from tests.processes import WAIT_S, descendants, is_alive
from tests.reliability.processes import Faults, start

GRID = """
study: grid
stage: regressor
data: {name: faces, size_px: 64}
search:
  space:
    lr: [1e-2, 1e-3, 1e-4]
    feature_maps: [2, 3]
    epochs: [2, 4]
"""
TRAINS = Faults(formula=False)


def running_runs(workspace: Path) -> list[str]:
    """Names of the MLflow runs that are still RUNNING."""
    client = MlflowClient(f"sqlite:///{workspace}/mlruns/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.run_name for run in client.search_runs(experiments) if run.info.status == "RUNNING"]


def trial_runs(workspace: Path) -> Counter[str]:
    """How many MLflow runs each trial has."""
    client = MlflowClient(f"sqlite:///{workspace}/mlruns/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, filter_string="tags.`deepcolor.kind` = 'trial'", max_results=1000)
    return Counter(run.data.tags["deepcolor.trial"] for run in runs)


def finished_trials(workspace: Path) -> int:
    """Trials that Optuna's database holds as complete; 0 while it is being made."""
    try:
        with closing(sqlite3.connect(f"file:{workspace}/studies/optuna.db?mode=ro", uri=True)) as database:
            return int(database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0])
    except sqlite3.Error:
        return 0


def wait_for_trials(workspace: Path, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while finished_trials(workspace) < count:
        assert time.monotonic() < deadline, "the sweep does not get on"
        time.sleep(0.05)


def test_a_killed_driver_goes_on_where_it_was(ready: Cli) -> None:
    """A grid of 12 points on two workers, its driver killed with -9 in the middle: each point ends up complete once."""
    ready.write("grid.yaml", GRID)
    process = start(ready.workspace, "sweep", "grid.yaml", "--workers", "2", faults=TRAINS)
    wait_for_trials(ready.workspace, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.ends(-signal.SIGKILL)
    done = json.loads(ready.run("sweep", "grid.yaml", "--workers", "2", "--json").stdout)
    assert (done["complete"], done["trials"], done["failed"]) == (12, 12, 0)
    assert list(ready.workspace.rglob("*.db-*")) == [], "a database is not one whole file"
    assert done["trained_epochs"] == 24
    trials = json.loads(ready.run("studies", "grid", "--json").stdout)["trials"]
    points = Counter(json.dumps(trial["params"], sort_keys=True) for trial in trials)
    assert len(points) == 12
    assert set(points.values()) == {1}
    assert running_runs(ready.workspace) == []
    assert trial_runs(ready.workspace) == Counter({str(number): 1 for number in range(12)})


def test_ctrl_c_saves_and_says_how_to_resume(ready: Cli) -> None:
    """One Ctrl-C ends with 130 and the line that resumes; that line finishes the study, and again it trains nothing."""
    ready.write("grid.yaml", GRID)
    words = ("sweep", "grid.yaml", "--executor", "serial", "-o", "search.space.lr=[1e-2]")
    process = start(ready.workspace, *words, faults=TRAINS)
    wait_for_trials(ready.workspace, 1)
    process.signal(signal.SIGINT)
    output = process.ends(130)
    resume = output.strip().splitlines()[-1].partition("Resume with: ")[2]
    assert resume.endswith("sweep grid.yaml --executor serial -o 'search.space.lr=[1e-2]'")
    assert running_runs(ready.workspace) == []
    same = shlex.split(resume)[1:]
    first = json.loads(ready.run(*same, "--json").stdout)
    again = json.loads(ready.run(*same, "--json").stdout)
    assert first["complete"] == again["complete"] == 4
    assert again["trained_now"] == 0
    assert again["best"] == first["best"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "SIGTERM", "kill -9"])
def test_a_driver_stopped_while_it_decodes_leaves_no_process(prepared: Cli, stop: signal.Signals) -> None:
    """Stopped before anything is trained, it takes all its processes along; after a kill the same line goes on."""
    prepared.write("grid.yaml", GRID)
    words = ["sweep", "grid.yaml", "--workers", "2", "-o", "search.space={lr: [1e-2], feature_maps: [2], epochs: [2]}"]
    process = start(prepared.workspace, *words, faults=TRAINS)
    started: set[int] = set()
    deadline = time.monotonic() + WAIT_S
    # The server that decoders and workers are forked from, the process that writes to MLflow, and one more.
    while len(started) < 4:
        assert time.monotonic() < deadline
        started |= set(descendants(process.pid))
        time.sleep(0.01)
    if stop == signal.SIGKILL:
        process.signal(stop)
        process.ends(-stop)
    else:
        os.killpg(process.pid, stop)
        output = process.ends(130)
        assert output.strip().splitlines()[-1].startswith("stopped while getting ready. Resume with: deepcolor")
    while any(is_alive(pid) for pid in started):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)
    if stop == signal.SIGKILL:  # The stop that leaves most behind.
        assert json.loads(prepared.run(*words, "--json").stdout)["complete"] == 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["sweep", "nowhere.yaml"], ["nowhere.yaml"]),
        (["sweep", "grid.yaml", "-o", "search.space.lrr=[1]"], ["lrr", "did you mean lr"]),
        (["sweep", "grid.yaml", "-o", "search.space.lr={low: 0.1, high: 0.01}"], ["low=0.1, high=0.01", "Swap"]),
        (["sweep", "grid.yaml", "-o", "data.name=fruits"], ["fruits", "deepcolor data prepare"]),
        (["sweep", "grid.yaml", "--workers", "0"], ["--workers", "1 or more"]),
        (["sweep", "grid.yaml", "--executor", "cloud"], ["--executor", "serial, local", "cloud"]),
        (["promote", "grid"], ["grid"]),
        (["studies", "grid"], ["grid", "no studies yet"]),
        (["pull", "colorizer@champion", "-o", "out"], ["colorizer"]),
        (["data", "prepare", "nowhere", "--name", "x"], ["nowhere"]),
        (["data", "prepare", "pictures", "--name", "../x"], ["../x"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_a_users_mistake_is_one_line_and_code_2(prepared: Cli, words: list[str], parts: list[str]) -> None:
    """Wrong input gives one line on stderr that names what was wrong, exit code 2, and leaves nothing behind."""
    prepared.write("grid.yaml", GRID)
    shutil.rmtree(prepared.workspace / "mlruns")
    before = sorted(path for path in prepared.workspace.rglob("*") if "optuna" not in path.name)
    done = prepared.run(*words, code=2)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert all(part.lower() in lines[0].lower() for part in parts), lines[0]
    assert done.stdout == ""
    after = sorted(path for path in prepared.workspace.rglob("*") if "optuna" not in path.name)
    assert [path for path in after if path not in before and path.is_file() and not path.name.startswith(".")] == []
