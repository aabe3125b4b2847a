"""A team's whole stack, in which parts are killed, restarted, stopped and cut off while a sweep runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.needs import HOSTS
from tests.postgres import needed
from tests.reliability.conftest import POINTS, Place
from tests.reliability.hosts import Host, can_have_hosts, two_hosts
from tests.reliability.processes import Faults, start, wait_until
from tests.reliability.stacks import ROOT, Stack, stack_in
from tests.reliability.test_cluster import results

ALONE = Faults(formula=False, environment={"SLOW_FILE": ""})
AWAY_S, CUT_S = 30, 60
"""The faults themselves: how long MLflow's server is stopped, and how long the cable is out."""
PATIENT = '''
"""The mean square, which takes as long as a file says, and gives the same number then."""
import os
import time
from pathlib import Path


def patient(output, target):
    file = Path(os.environ.get("SLOW_FILE") or "/nowhere")
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
    """A stack with one worker of its own, and two more: on another host, where there can be two."""

    stack: Stack
    far: Host | None

    @property
    def place(self) -> Place:
        return Place(self.stack.folder / "workspace")

    def slow(self, seconds: float) -> None:
        """Let each batch take so long from now on."""
        (self.stack.folder / "slow.new").write_text(str(seconds))
        (self.stack.folder / "slow.new").replace(self.stack.folder / "slow")

    def sweep(self, study: str, lr: str) -> subprocess.Popen[bytes]:
        """Start a sweep on the stack."""
        file = self.place.write(f"{study}.yaml", GRID.format(study=study, lr=lr))
        return self.stack.start("sweep", file.name, "--cluster", self.stack.environment["CLUSTER"], log=study)

    def complete(self, study: str) -> int:
        """How many trials of a study the database holds as complete; none while it does not answer."""
        query = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = %s AND state = 'COMPLETE'"
        place = f"host={self.stack.address} port={self.stack.ports['DATABASE_PORT']} user=deepcolor dbname=deepcolor"

        def asked() -> int:
            try:
                with psycopg.connect(place, connect_timeout=5) as connection:
                    return int(connection.execute(query, [study]).fetchall()[0][0])
            except psycopg.Error:  # It is away, or has no tables yet.
                return 0

        time.sleep(0.2)
        return int(self.stack.call(asked))

    def assert_as_serial(self, study: str, folder: Path, template: Path) -> None:
        """Every trial is there once, every run is whole, and all is, to the last bit, what one process gives."""
        alone = Place(shutil.copytree(template, folder / "alone"))
        for name in ("losses.py", f"{study}.yaml"):
            shutil.copy(self.place.root / name, alone.root)
        start(alone.root, "sweep", f"{study}.yaml", "--executor", "serial", faults=ALONE).ends(0)
        uri = self.stack.environment["MLFLOW_TRACKING_URI"]
        self.stack.call(lambda: self.place.assert_whole(study, uri=uri))
        with pytest.MonkeyPatch.context() as patch:
            trials = self.stack.call(lambda: self.place.trials(study))
            patch.delenv("DEEPCOLOR_STORAGE")
            assert [(t.params, t.value) for t in trials] == [(t.params, t.value) for t in alone.trials(study)]
        mine, theirs = results(self.place.root), results(alone.root)
        assert len(theirs) >= POINTS
        assert {name: mine.get(name) for name in theirs} == theirs


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
        near, far = all_of_it.enter_context(two_hosts()) if can_have_hosts() else (None, None)
        stack = all_of_it.enter_context(stack_in(folder, host=near, workers=1))
        for name in ("DEEPCOLOR_STORAGE", "PGPASSFILE", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            patch.setenv(name, stack.environment[name])
        words = ("worker", "--cluster", stack.environment["CLUSTER"], "--slots", "1", "--threads", "1")
        for number in (1, 2):
            stack.start(*words, log=f"far-{number}", host=far)
        yield Team(stack, far)


def test_a_stack_whose_parts_fail(team: Team, tmp_path: Path, template: Path) -> None:
    """One sweep on three workers: one of them is killed with -9, PostgreSQL is restarted, and MLflow's server is
    stopped for 30 s. Every trial is there once, every run is whole, the result is the serial one to the last bit, and
    no password is in a log or a file.
    """
    stack = team.stack
    team.slow(0.3)
    sweep = team.sweep("faults", "[0.1, 0.01]")
    wait_until(lambda: team.complete("faults") > 0, f"a trial is complete\n{stack.text('faults')}")
    team.slow(2)
    stack.script("down", "mlflow")
    stopped = time.monotonic()
    os.killpg(stack.pid("worker-1"), signal.SIGKILL)
    stack.script("down", "database")
    stack.script("up", "database")
    assert "is down" in stack.script("status", code=1)
    time.sleep(max(0.0, AWAY_S - (time.monotonic() - stopped)))
    stack.script("up", "mlflow")
    assert 0 < team.complete("faults") < POINTS
    team.slow(0)
    said = stack.ends(sweep, 0, log="faults")
    assert "the studies database is back after" in said
    assert said.count("Training continues") == 1
    team.assert_as_serial("faults", tmp_path, template)
    told = [file for file in stack.folder.rglob("*") if file.is_file() and _tells(file, stack)]
    assert told == []


def test_a_backup_brings_everything_back(team: Team, tmp_path: Path, template: Path) -> None:
    """What has been saved while the stack runs comes back after trials, runs, weights and artifacts have been lost."""
    stack, backup = team.stack, team.stack.folder / "backup"
    assert team.complete("faults") == POINTS
    stack.run(ROOT / "docker" / "backup.sh", "save", backup, stack.folder / "env")
    stack.run("psql", *stack.owner, "-d", "deepcolor", "-c", "DROP TABLE trials, studies CASCADE")
    stack.run("psql", *stack.owner, "-d", "mlflow", "-c", "DELETE FROM metrics")
    shutil.rmtree(team.place.root / "studies" / "trajectories")
    shutil.rmtree(stack.folder / "state" / "artifacts")
    stack.run(ROOT / "docker" / "backup.sh", "restore", backup, stack.folder / "env")
    team.assert_as_serial("faults", tmp_path, template)
    assert list((stack.folder / "state" / "artifacts").rglob("metrics.json"))


def test_two_hosts_and_a_cable(team: Team, tmp_path: Path, template: Path) -> None:
    """The workers are on another host than all the rest, and the cable between them is out for 60 s: the sweep goes on
    with them, and the result is the serial one to the last bit. Once the scheduler has ended, they end, too.
    """
    far, stack = team.far or HOSTS.lacking(), team.stack
    stack.script("down", "worker-1")
    team.slow(0.3)
    sweep = team.sweep("cable", "[0.2, 0.02]")
    wait_until(lambda: team.complete("cable") > 0, f"a trial is complete\n{stack.text('cable')}")
    team.slow(2)
    with far.cut_off():
        time.sleep(CUT_S)
    assert 0 < team.complete("cable") < POINTS
    team.slow(0)
    stack.ends(sweep, 0, log="cable")
    team.assert_as_serial("cable", tmp_path, template)
    workers = {number: stack.processes[number - 1] for number in (1, 2)}
    assert [worker.poll() for worker in workers.values()] == [None, None]
    stack.script("down", "scheduler")
    for number, worker in workers.items():
        assert "has ended, or has sent it away" in stack.ends(worker, 1, log=f"far-{number}")


def _tells(file: Path, stack: Stack) -> bool:
    """Whether a file that is not itself a secret, or the database of MLflow's users, holds a password."""
    if file.is_relative_to(stack.folder / "secrets"):
        return False
    content = file.read_bytes()
    return any(secret.encode() in content for secret in stack.secrets.values())
