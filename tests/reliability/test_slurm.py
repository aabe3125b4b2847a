"""Sweeps in jobs of SLURM's that end before their trainings do: by their time limit, cancelled, or drained."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import TrajectoryPaths
from deepcolor.workspace import Workspace
from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Command, Faults, start_on_terminal, wait_until
from tests.slurm import NODES, Slurm

ROOT = Path(__file__).parents[2]
PROFILE = """
partition: long
time: 60
max_jobs: 1
look_s: 1
scratch: {scratch}
driver: {{cpus: 2, time: 30}}
"""


@pytest.fixture
def slurm(slurm_cluster: Slurm) -> Iterator[Slurm]:
    """The cluster, on which nothing is left."""
    yield slurm_cluster
    slurm_cluster.rest()


@pytest.fixture
def site(slurm: Slurm, place: Place, tmp_path: Path) -> tuple[str, ...]:
    """The options of a command that trains there."""
    place.write("site.yaml", PROFILE.format(scratch=tmp_path / "scratch"))
    return ("--cluster-profile", "site.yaml")


def faults(slurm: Slurm, *, formula: bool, **more: str) -> Faults:
    """A world in which the commands and the jobs find SLURM, and these tests."""
    return Faults(formula=formula, environment={**slurm.environment, "PYTHONPATH": str(ROOT), **more})


def training_job(slurm: Slurm, place: Place, *, but: set[str]) -> str:
    """Wait until a job trains that is none of these, and return its number."""

    def training() -> set[str]:
        marks = (place.root / "studies" / ".segments").glob("*/marks-*/*/*-e*")
        return {mark.read_text() for mark in marks if mark.exists()} & set(slurm.jobs("RUNNING")) - but

    wait_until(lambda: bool(training()), f"a job trains: {slurm.jobs()}")
    return training().pop()


def of_name(slurm: Slurm, name: str, *states: str) -> dict[str, str]:
    return slurm.jobs(*(states or ("PENDING", "RUNNING", "CONFIGURING")), name=name)


def test_a_sweep_outlives_its_jobs(slurm: Slurm, place: Place, site: tuple[str, ...]) -> None:
    """No job lives as long as one training takes. The first is cancelled; the second is told by SLURM that its time
    limit is near; both let their training finish its epoch, and the next one continues it. Before the third can start
    all nodes are drained, and the live view says that it waits, and for what. Every trial ends once, no epoch is
    trained twice, and at the end no job is left.
    """
    long = ("-o", "search.space.weight_decay=null", "-o", "search.space.epochs=[600]")
    slow = place.write("slow", "")
    world = faults(slurm, formula=True, TRIVIAL_EPOCH_S="0.25", TRIVIAL_WHILE=str(slow))
    terminal = start_on_terminal(place.root, "sweep", place.write_grid(), *site, *long, faults=world)
    first = training_job(slurm, place, but=set())
    slurm.ask("scancel", first)
    terminal.wait_for(f"slurm: job {first} was ended (cancelled)".encode())
    second = training_job(slurm, place, but={first})
    for node in NODES:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    slurm.ask("scontrol", "update", f"jobid={second}", "EndTime=now+2minutes")
    terminal.wait_for(b"waiting (nodes are drained or down")
    assert slurm.jobs()[second] == "COMPLETED"
    for node in NODES:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    third = training_job(slurm, place, but={first, second})
    terminal.wait_for(b"slurm: 1 job running")
    slow.unlink()
    written = terminal.ends(0)

    assert b"failed" not in written
    trials = place.trials()
    assert [trial.state for trial in trials] == ["complete"] * 2
    assert b"1200 asked for, 1200 trained" in written
    assert not of_name(slurm, "deepcolor")
    assert third
    assert not list((place.root / "studies" / ".segments").glob("*/marks-*"))


def test_a_killed_driver_leaves_no_job(slurm: Slurm, place: Place, site: tuple[str, ...]) -> None:
    """Killed with -9, a driver can cancel nothing: the job that trains notices, and ends by itself; one that was still
    waiting ends when it starts.
    """
    for node in NODES[1:]:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    place.write("site.yaml", (place.root / "site.yaml").read_text().replace("max_jobs: 1", "max_jobs: 2\ncpus: 3"))
    world = faults(slurm, formula=True, TRIVIAL_EPOCH_S="1")
    driver = place.start("sweep", place.write_grid(), *site, "-o", "search.space.epochs=[600]", faults=world)
    training_job(slurm, place, but=set())
    os.killpg(driver.pid, signal.SIGKILL)
    wait_until(lambda: not of_name(slurm, "deepcolor"), f"all jobs end: {slurm.jobs()}")


def test_a_requeued_driver_continues(slurm: Slurm, place: Place, site: tuple[str, ...], tmp_path: Path) -> None:
    """`deepcolor slurm` submits the driver; a second one is refused. It is requeued in the midst of the sweep: its jobs
    end with it, and when SLURM starts it again it finishes the study. The nodes train from their own copies.
    """
    grid = place.write_grid()

    def submit() -> Command:
        return place.start("slurm", grid, *site, "--json", faults=faults(slurm, formula=False))

    said = json.loads(submit().ends(0).splitlines()[-1])
    driver, log = said["job"], Path(said["log"])
    assert f"job {driver}, which is deepcolor-grid already" in submit().ends(2)
    place.wait_for_trials(1)
    slurm.ask("scontrol", "requeue", driver)
    wait_until(lambda: slurm.jobs()[driver] == "PENDING", f"the driver is requeued: {slurm.jobs()}")
    wait_until(lambda: not of_name(slurm, "deepcolor"), f"its jobs end with it: {slurm.jobs()}")
    slurm.ask("scontrol", "update", f"jobid={driver}", "StartTime=now")  # Else it would wait for two minutes.
    wait_until(lambda: slurm.jobs()[driver] in {"COMPLETED", "FAILED"}, f"the driver ends: {slurm.jobs()}")

    assert slurm.jobs()[driver] == "COMPLETED", log.read_text()
    assert f"{POINTS} complete" in log.read_text()
    place.assert_whole()
    store = Workspace.at(place.root).trajectories
    trained = {trial.place.trajectory for trial in place.trials() if trial.place is not None}
    assert sum(len(read_history(TrajectoryPaths(store, digest))) for digest in trained) == EPOCHS
    assert not of_name(slurm, "deepcolor")
    assert [file.name for file in (tmp_path / "scratch").glob("deepcolor-*/*/cache.json")] == ["cache.json"]
