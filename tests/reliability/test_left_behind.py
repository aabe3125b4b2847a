from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ENVIRONMENT, Cli, cli, decoded, mlflow_database, ready  # noqa: F401  # fixtures
from tests.cli.test_sweep import GRID, wait_for_trials
from tests.processes import descendants, is_alive
from tests.reliability.processes import Faults, start, wait_until


def semaphores(pids: list[int]) -> list[str]:
    """Named semaphores that multiprocessing made for these processes."""
    return [path.name for path in Path("/dev/shm").glob("sem.*") for pid in pids if f"-{pid}-" in path.name]


def test_the_start_after_kill_9_leaves_nothing_temporary(
    ready: Cli,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A driver killed with all its processes while it trains, then one killed alone while it gets ready: the next
    command removes every temporary file, socket and semaphore of theirs, and no traceback has reached the screen.
    """
    temporary = tmp_path_factory.mktemp("tmp")
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(temporary))
    trains = Faults(formula=False, environment={"TMPDIR": str(temporary)})
    ready.write("grid.yaml", GRID)
    training = start(ready.workspace, "sweep", "grid.yaml", "--workers", "2", faults=trains)
    wait_for_trials(ready.workspace, 1)
    assert list(temporary.iterdir()) != []
    family = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(training.pid)]
    assert not any(b"resource_tracker" in words for words in family), "a tracker that a signal may end, with tracebacks"
    os.killpg(training.pid, signal.SIGKILL)
    words = training.ends(-signal.SIGKILL)
    shutil.rmtree(ready.workspace / "studies" / "datasets" / "faces" / "cache")
    other = ("sweep", "grid.yaml", "--workers", "2", "-o", "study=other")
    getting_ready = start(ready.workspace, *other, faults=trains)
    # The server, the process that writes to MLflow, and one that the server has forked.
    wait_until(lambda: len(descendants(getting_ready.pid)) >= 3, "decoders start")
    getting_ready.signal(signal.SIGSTOP)  # It asks for no more of them, so all can be waited for.
    time.sleep(0.5)
    children = descendants(getting_ready.pid)
    getting_ready.signal(signal.SIGKILL)
    words += getting_ready.ends(-signal.SIGKILL)
    wait_until(lambda: not any(is_alive(child) for child in children), "the killed driver's processes end")
    ready.run("studies")
    assert list(temporary.rglob("*")) == []
    assert semaphores([training.pid, getting_ready.pid]) == []
    assert "Traceback" not in words
