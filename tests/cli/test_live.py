"""What a person sees while a study starts and runs."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from deepcolor.cli import console
from deepcolor.cli.live import LiveWatcher, Steps, starting, view
from deepcolor.config.schema import ParamValue
from deepcolor.errors import WorkspaceError
from deepcolor.search.rules.summary import RunningTrial, Snapshot
from deepcolor.search.study.storage import StudyStorage
from deepcolor.search.study.trials import Outcome, StoredTrial
from deepcolor.training.trajectory import View
from deepcolor.waiting import locked, told_of_waits
from deepcolor.workspace import Workspace

PARAMS: dict[str, ParamValue] = {
    "lr": 0.00456,
    "weight_decay": 1.234e-5,
    "feature_maps": 16,
    "optimizer": "adamw",
    "growth": "constant",
}
BEST = StoredTrial(3, "complete", dict(PARAMS), 0.00123, 0, 1, None, Outcome(View(9, 8, 0.00123)), None)


def snapshot(**changes: object) -> Snapshot:
    """A pruned study of 60 trials in the midst of its search."""
    known = {
        "total": 60,
        "complete": 4,
        "failed": 1,
        "running": tuple(RunningTrial(n, dict(PARAMS), n % 9, 27, 0.5 / n) for n in (41, 42)),
        "best": BEST,
        "trained_epochs": 100,
        "epochs_per_s": 1.25,
        "remaining_s": 3723.0,
        "elapsed_s": 60.0,
        "stopping": False,
        "pruned": 3,
        "waiting": 30,
        "at_rung": 29,
        "to_confirm": 6,
        "objective": "val/mse_a",
    }
    return Snapshot(**{**known, **changes})  # type: ignore[arg-type]


def drawn(shown: Snapshot, *, width: int, title: str = "a-study-of-some-length") -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(view(title, shown))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_every_line_of_the_view_fits(width: int) -> None:
    """Whatever the width, the view has a line a running trial and three or four more, each within the terminal; counts,
    pace and the metric's name are whole.
    """
    lines = drawn(snapshot(), width=width)
    assert max(map(len, lines)) <= width
    assert len(lines) in ({5, 6} if width <= 100 else {5})
    text = "\n".join(lines)
    assert "7/60 trials, 3 pruned, 30 waiting, 2 running, 1 failed" in " ".join(text.split())
    assert "1.2 epochs/s, 1 h 02 min left" in text
    assert "best val/mse_a 0.00123: trial 3" in text
    assert text.count("lr=0.00456") == 3 if width >= 80 else text.count("lr=0.00456") >= 1


def test_the_confirmation_counts_in_the_view() -> None:
    """The bar of a study that confirms its winner is full when that is done, and the trainings are named."""
    running = (RunningTrial(61, dict(PARAMS), 2, 27, None, confirms=3, seed=1),)
    ends = {"complete": 20, "pruned": 40, "waiting": 0, "at_rung": 0, "confirming": True, "running": running}
    half = snapshot(**ends, confirmed=3)
    text = "\n".join(drawn(half, width=120))
    assert "3/6 under other seeds" in text
    assert "trial 61 (3 under seed 1)" in text
    assert half.done == 63
    assert "left" in text
    whole = "\n".join(drawn(snapshot(**{**ends, "running": ()}, confirmed=6), width=120))
    assert "left" not in whole


def test_one_is_said_as_one() -> None:
    """A study of one trial has one trial."""
    shown = snapshot(total=1, complete=0, pruned=0, at_rung=0, failed=0, best=None, to_confirm=0)
    assert "0/1 trial, 2 running" in "\n".join(drawn(shown, width=120))


def test_the_view_says_what_a_start_does_and_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is named at once, its seconds when it takes some, and another program's part in it when it takes long."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = Steps("s")
    with steps.shown():
        steps.step("opening the studies database", slow="waiting for the studies database")
        assert steps.line() == "s: opening the studies database"
        now = 104.0
        assert steps.line() == "s: opening the studies database, 4 s"
        now = 130.0
        assert steps.line() == "s: waiting for the studies database, 30 s"
        steps.waits("another process to decode faces")
        assert steps.line() == "s: waiting for another process to decode faces"
        steps.waits(None)
        assert steps.line() == "s: opening the studies database"


def test_a_start_tells_of_a_lock_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process sets the studies database up, a piped start says so in a line; then it goes on."""
    workspace = Workspace.at(tmp_path).create()
    held = FileLock(workspace.studies / ".optuna.lock", thread_local=False)
    held.acquire()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        held.release()

    monkeypatch.setattr(console, "note", note)
    workspace.optuna_db.touch()
    with starting("s") as steps:
        steps.step("opening the studies database")
        assert StudyStorage(workspace).names() == []
    assert notes == ["s: waiting for another process to open the studies database"]


def test_a_wait_without_end_is_given_up(tmp_path: Path) -> None:
    """A lock that is never free ends the command with a line that names the file, and the wait is over."""
    held = FileLock(tmp_path / "lock")
    held.acquire()
    told: list[str | None] = []
    with (
        told_of_waits(told.append),
        pytest.raises(WorkspaceError, match=r"within 1 s; waited for a friend \(.*lock is held\)"),
        locked(tmp_path / "lock", until="a friend", timeout_s=1),
    ):
        pass
    assert told == ["a friend", None]
    held.release()
    with locked(tmp_path / "lock", until="a friend", timeout_s=0):
        pass


def test_ended_trials_scroll_up_with_the_metric_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ended trial leaves a line: its value under its name; of a pruned one, after how many epochs."""
    from rich.live import Live

    file = io.StringIO()
    with Live(console=Console(file=file, width=200, force_terminal=True, color_system=None), transient=True) as shown:
        watcher = LiveWatcher("s", shown)
        watcher.finished(BEST, snapshot())
        pruned = StoredTrial(4, "pruned", dict(PARAMS), 0.5, 0, 1, None, Outcome(View(1, 1, 0.5)), None)
        watcher.finished(pruned, snapshot())
    assert "trial 3: val/mse_a 0.00123  lr=0.00456" in file.getvalue()
    assert "trial 4 pruned: val/mse_a 0.5 after 1 epoch  lr=" in file.getvalue()
