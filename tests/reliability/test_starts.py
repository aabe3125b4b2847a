from __future__ import annotations

import platform
import shutil
import signal

from tests.processes import WAIT_S, descendants, is_alive
from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, wait_until

SLOW = Faults(environment={"TRIVIAL_EPOCH_S": "0.2"})
SERIAL = ("--executor", "serial")


def test_a_study_changes_hands_without_losing_anything(place: Place) -> None:
    """A second driver is refused by the first one's name; SIGTERM saves and ends; a killed owner's lock is free."""
    first = place.start("sweep", "grid.yaml", *SERIAL, faults=SLOW)
    place.wait_for_trials(1)
    refused = place.start("sweep", "grid.yaml", *SERIAL).ends(2).strip().splitlines()
    assert len(refused) == 1
    assert f"already being run on {platform.node()} by process {first.pid} since 20" in refused[0]

    first.signal(signal.SIGTERM)
    first.process.join(WAIT_S)
    assert "Resume with: deepcolor sweep grid.yaml --executor serial" in first.ends(130)
    assert {run.info.status for run in place.runs()} <= {"FINISHED", "KILLED"}

    done = place.finished_trials()
    killed = place.start("sweep", "grid.yaml", "--workers", "2", faults=SLOW)
    place.wait_for_trials(done + 1)
    workers = descendants(killed.pid)
    killed.signal(signal.SIGKILL)
    killed.ends(-signal.SIGKILL)
    summary = place.sweep(*SERIAL)
    assert (summary["complete"], summary["trials"], summary["trained_epochs"]) == (POINTS, POINTS, EPOCHS)
    place.assert_whole()
    wait_until(lambda: not any(is_alive(worker) for worker in workers), "the killed driver's workers end")


def test_first_starts_at_once_all_succeed(place: Place) -> None:
    """Four sweeps started together where nothing is decoded and no database exists: each gets its study and runs."""
    shutil.rmtree(place.root / "mlruns")
    shutil.rmtree(place.root / "studies" / "datasets" / "faces" / "cache")
    for leftover in (place.root / "studies").glob("optuna.db*"):
        leftover.unlink()
    files = [place.write_grid(f"s{number}") for number in range(4)]
    one_point = [
        word
        for name, value in (("lr", 0.1), ("weight_decay", 0), ("epochs", 2))
        for word in ("-o", f"search.space.{name}=[{value}]")
    ]
    commands = [place.start("sweep", file, *SERIAL, *one_point) for file in files]
    for command in commands:
        command.ends(0)
    for number in range(4):
        assert [trial.state for trial in place.trials(f"s{number}")] == ["complete"]
    runs = place.runs()
    assert sorted(run.data.tags["deepcolor.study"] for run in runs) == sorted([f"s{n}" for n in range(4)] * 2)
    assert {run.info.status for run in runs} == {"FINISHED"}
