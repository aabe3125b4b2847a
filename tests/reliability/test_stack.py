"""A team's whole stack, in which parts are killed, restarted, stopped and cut off while a sweep runs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepcolor.search.study.storage import StudyStorage
from deepcolor.workspace import Workspace
from tests.postgres import needed
from tests.reliability.conftest import POINTS, Place
from tests.reliability.hosts import Host, two_hosts
from tests.reliability.processes import Faults, wait_until
from tests.reliability.stacks import Stack, stack_in
from tests.reliability.test_cluster import results

REAL = Faults(formula=False)
AWAY_S, CUT_S = 30, 60
"""The faults themselves: how long MLflow's server is stopped, and how long the cable is out."""
PATIENT = '''
"""The mean square, which takes as long as a file says, and gives the same number then."""
import os
import time
from pathlib import Path


def patient(output, target):
    file = Path(os.environ.get("SLOW_FILE", "/nowhere"))
    if file.exists():
        time.sleep(float(file.read_text()))
    return (output - target).square().mean()
'''
GRID = """
study: {study}
stage: regressor
data: {{name: faces, size_px: 64, augment: {{random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}}}
model: {{feature_maps: 1}}
training: {{loss: "losses.py:patient", early_stopping: false}}
search:
  space:
    lr: {lr}
    weight_decay: [0.0, 0.1]
    epochs: [4, 40]
"""
"""Eight points on four trajectories, which the longer ones continue."""


@dataclass(frozen=True)
class Team:
    """A stack, the host of further workers where there are two, and how slowly is trained."""

    stack: Stack
    far: Host | None

    @property
    def place(self) -> Place:
        return Place(self.stack.folder / "workspace")

    def slow(self, seconds: float) -> None:
        """Let each batch take so long from now on."""
        (self.stack.folder / "slow.new").write_text(str(seconds))
        (self.stack.folder / "slow.new").replace(self.stack.folder / "slow")

    def states(self, study: str) -> list[str]:
        workspace = Workspace.at(self.place.root, storage=self.stack.environment["DEEPCOLOR_STORAGE"])
        return list(
            self.stack.call(lambda: [trial.state for trial in StudyStorage(workspace).load(study).trials()])
        )


@pytest.fixture(scope="module")
def team(template: Path) -> Iterator[Team]:
    needed()
    folder = Path(tempfile.mkdtemp(prefix="dc-stack-"))  # Not pytest's: PostgreSQL's user may not look in there.
    folder.chmod(0o755)
    shutil.copytree(template, folder / "workspace")
    (folder / "workspace" / "losses.py").write_text(PATIENT)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as all_of_it:
        all_of_it.callback(shutil.rmtree, folder)
        patch.setenv("SLOW_FILE", str(folder / "slow"))
        near, far = all_of_it.enter_context(two_hosts())
        stack = all_of_it.enter_context(stack_in(folder, host=near, workers=1))
        for name in ("PGPASSFILE", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            patch.setenv(name, stack.environment[name])
        yield Team(stack, far)


def test_cut(team: Team) -> None:
    """x"""
    stack = team.stack
    team.place.write("cut.yaml", GRID.format(study="cut", lr="[0.1, 0.01]"))
    stack.script("down", "worker-1")
    team.slow(0.2)
    cluster = stack.environment["CLUSTER"]
    workers = [stack.start("worker", "--cluster", cluster, "--slots", "1", "--threads", "1", log=f"far-{n}", host=team.far) for n in range(2)]
    sweep = stack.start("sweep", "cut.yaml", "--cluster", cluster, log="sweep")
    try:
        wait_until(lambda: "complete" in team.states("cut") if (team.place.root/"studies"/"cut").exists() else False, "a trial")
        team.slow(1)
        print(time.ctime(), team.states("cut"))
        with team.far.cut_off():
            time.sleep(CUT_S)
        print(time.ctime(), team.states("cut"), [w.poll() for w in workers])
        team.slow(0.5)
        for _ in range(15):
            time.sleep(4)
            print(time.ctime(), team.states("cut"), [w.poll() for w in workers])
        team.slow(0)
        for _ in range(20):
            time.sleep(3)
            print(time.ctime(), team.states("cut"), [w.poll() for w in workers], sweep.poll())
            if sweep.poll() is not None: break
    finally:
        print("SWEEP", stack.text("sweep"))
        print("far0", stack.text("far-0"), "far1", stack.text("far-1"))
        print((stack.folder/"state/logs/scheduler.log").read_text()[-6000:])
