"""One round of random faults, and the proof that its checker sees what a round must not leave."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.checker import violations
from tests.faults.hurting import Run, marked, own_environment
from tests.faults.rounds import Outcome, World, build_world, run_round
from tests.faults.sweeps import SMALL
from tests.processes import Forked
from tests.reliability.processes import Faults, start_call
from tests.running import run_one
from tests.tracking.building import template_database

SEED = 42029
"""The disk is full while it trains, and then the driver is killed; each within two seconds of a checkpoint."""


def run_whole(words: Sequence[str]) -> None:
    """Run a command as a program, to what it does at its end."""
    try:
        run_one(words)
    finally:
        atexit._run_exitfuncs()  # What is forked ends without.


def fork(folder: Path, *words: str, mark: str, output: Path) -> Run:
    """Start `deepcolor` with all imported: the faults of this round come while it trains."""
    faults = Faults(formula=False, environment=own_environment(folder, mark))
    return Run(
        Forked(start_call(run_whole, words, folder=folder, faults=faults, output=output).process), output, marked(mark)
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"), [SMALL], database=template_database(tmp_path_factory))


@pytest.fixture(scope="module")
def played(world: World, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_round(world, SEED, tmp_path_factory.mktemp("rounds"), kinds=[SMALL], starting=fork)


def test_a_sweep_through_random_faults_ends_as_if_nothing_had_been(played: Outcome) -> None:
    """Killed, stopped and started again: every epoch, value and weight is there, once."""
    assert played.violations == ()


def _sql(name: str, *statements: str) -> Callable[[Path], None]:
    def change(workspace: Path) -> None:
        with closing(sqlite3.connect(workspace / name)) as database, database:
            for statement in statements:
                database.execute(statement)

    return change


def _other_weights(workspace: Path) -> None:
    weights = next((workspace / "studies" / "trajectories").glob("*/results/*/model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def _other_figure(workspace: Path) -> None:
    for path in (workspace / "studies" / "trajectories").glob("*/checkpoints/*.json"):
        signed = json.loads(path.read_bytes())
        signed["record"]["history"][0]["metrics"]["val/mse_a"] += 1e-17
        path.write_text(json.dumps(signed))


MLFLOW, OPTUNA = "mlruns/mlflow.db", "studies/optuna.db"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "an epoch missing": (_sql(MLFLOW, "delete from metrics where key = 'val/mse' and step = 7"), "missing at [7]"),
    "an epoch twice": (
        _sql(
            MLFLOW,
            "insert into metrics select key, value, timestamp + 1, run_uuid, step, is_nan from metrics where step = 7",
        ),
        "twice at [7]",
    ),
    "an epoch beyond the end": (
        _sql(
            MLFLOW,
            "insert into metrics select key, value, timestamp, run_uuid, 31, is_nan from metrics where step = 7",
        ),
        "[31]",
    ),
    "another epoch's value": (_sql(MLFLOW, "update metrics set value = 1 where step = 7"), "at [7]"),
    "a run left RUNNING": (_sql(MLFLOW, "update runs set status = 'RUNNING'"), "['RUNNING']"),
    "a run missing": (_sql(MLFLOW, "update runs set lifecycle_stage = 'deleted'"), "has the runs []"),
    "a trial left open": (_sql(OPTUNA, "update trials set state = 'RUNNING' where number = 1"), "1 is RUNNING"),
    "another value": (_sql(OPTUNA, "update trial_values set value = value * (1 + 1e-9)"), "Optuna says"),
    "other weights": (_other_weights, "weights differ"),
    "another figure": (_other_figure, "epoch 1 differs"),
    "artifacts of no run": (
        lambda workspace: (workspace / "mlruns/artifacts/regressor/0123").mkdir(parents=True),
        "artifacts of no run",
    ),
    "half a file": (lambda workspace: (workspace / "studies/.tmp-x").touch(), "left lying about"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checker_sees_each_kind_of_damage(damage: str, played: Outcome, world: World, tmp_path: Path) -> None:
    """A workspace in which one thing is wrong is said to be wrong, and in that."""
    workspace = tmp_path / "workspace"
    shutil.copytree(played.folder / "workspace", workspace)
    hurt, said = DAMAGES[damage]
    hurt(workspace)
    found = violations(workspace, study=SMALL.name, reference=world.reference, grid=SMALL.points)
    assert any(said in violation for violation in found), found
