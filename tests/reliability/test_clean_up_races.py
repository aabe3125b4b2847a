"""A clean-up against whatever starts at the same moment: real processes, held at the moment that would do harm."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepcolor.app.gc import collect_garbage
from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.study.ownership import owned, shared_store
from deepcolor.training.result_files import read_result
from deepcolor.workspace import Workspace
from tests.processes import WAIT_S
from tests.search.conftest import Bench, Memory, no_pictures
from tests.search.trivial import trivial

__all__ = ["no_pictures"]

HELD_CLEAN_UP = """
import sys, time
from pathlib import Path
from deepcolor.app.gc import collect_garbage
from deepcolor.search.upkeep import collection
from deepcolor.workspace import Workspace

root, remove = Path(sys.argv[1]), collection.remove

def held(garbage, **options):
    (root / "found").touch()
    while not (root / "go").exists():
        time.sleep(0.05)
    remove(garbage, **options)

collection.remove = held
workspace = Workspace.at(root)
done = collect_garbage(workspace, workspace.mlflow_uri, keep=1, removing=True)
print(done.garbage.count_by_kind()["results"])
"""


class StopWaiting(Exception):
    """Ends a wait."""


def sweep_of(study: str) -> Sweep:
    """Six trials on three trainings."""
    search = {"space": {"lr": [0.1, 0.01, 0.001], "epochs": [1, 2]}}
    return Sweep.model_validate({"study": study, "stage": "regressor", "data": {"name": "x"}, "search": search})


def clean_up(workspace: Workspace) -> None:
    """Remove what nothing needs."""
    collect_garbage(workspace, workspace.mlflow_uri, keep=1, removing=True)


@pytest.mark.usefixtures("no_pictures")
def test_a_sweep_that_starts_while_trainings_are_removed_waits_and_loses_nothing(tmp_path: Path) -> None:
    """A clean-up is held between finding and removing. A sweep that would use what it has found waits, and says for
    whom; so does a promotion; a second clean-up is refused. Afterwards every result of the sweep is there.
    """
    bench = Bench(Workspace.at(tmp_path).create(), Memory())
    bench.run(sweep_of("before"))
    process = subprocess.Popen([sys.executable, "-c", HELD_CLEAN_UP, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "found").exists():
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(StudyError, match="another clean-up at work"):
            clean_up(bench.workspace)

        def stop_waiting() -> None:
            raise StopWaiting

        with pytest.raises(StopWaiting), shared_store(bench.workspace, between=stop_waiting):
            pytest.fail("a promotion did not wait")

        told: list[str] = []

        def let_it_go(message: str) -> None:
            told.append(message)
            (tmp_path / "go").touch()

        executor = SerialExecutor(trivial)
        with owned(bench.workspace, "after", on_wait=let_it_go):
            summary = bench.driver(sweep_of("after"), executor).run()
        executor.close()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
    assert process.stdout is not None
    assert int(process.stdout.read()) > 0
    assert [f"by process {process.pid}" in message for message in told] == [True]
    trials = bench.storage().load("after").trials()
    assert summary.complete == len(trials) == 6
    assert all(
        t.outcome and read_result(bench.workspace.trajectories / str(t.outcome.result), PICTURE_METRICS) for t in trials
    )


@pytest.mark.usefixtures("no_pictures")
def test_nothing_is_removed_while_a_sweep_starts_or_a_model_is_promoted(tmp_path: Path) -> None:
    """A driver holds its study before it is in the database: a clean-up is refused then, with the study's name, and it
    is refused while a promotion reads a result. Nothing is removed.
    """
    bench = Bench(Workspace.at(tmp_path).create(), Memory())
    bench.run(sweep_of("before"))
    files = sorted(bench.workspace.trajectories.rglob("*"))
    with owned(bench.workspace, "new"), pytest.raises(StudyError, match="'new' is already being run"):
        clean_up(bench.workspace)
    with shared_store(bench.workspace), pytest.raises(StudyError, match="a promotion"):
        clean_up(bench.workspace)
    assert sorted(bench.workspace.trajectories.rglob("*")) == files
    clean_up(bench.workspace)
    assert sorted(bench.workspace.trajectories.rglob("*")) != files
