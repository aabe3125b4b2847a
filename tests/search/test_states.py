"""The states of trials as they are shown everywhere: waiting, running, pruned, complete."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution.executor import Event
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.study.attendance import RUNNING_FILE, running_trials
from deepcolor.search.study.storage import owned
from tests.search.conftest import Bench
from tests.search.test_pruned_studies import RATES
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]


def test_a_refused_sweep_leaves_no_folder(bench: Bench, sweep_of: SweepOf) -> None:
    """What is refused before there is a study has neither a folder nor a lock; a study keeps both."""

    def refuse() -> Sweep:
        raise StudyError("no")

    with pytest.raises(StudyError), owned(bench.workspace, "s"):
        bench.storage().open(sweep_of(), refuse)
    assert not bench.workspace.study("s").exists()
    with owned(bench.workspace, "s"):
        bench.storage().open(sweep_of(), sweep_of)
    assert bench.workspace.study("s").exists()


@pytest.fixture
def listed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`deepcolor studies ... --json` in the bench's workspace."""

    def studies(*words: str) -> Any:
        monkeypatch.setattr(console, "settings", console.Settings())
        done = CliRunner().invoke(app, ["studies", *words, "-w", str(bench.workspace.root), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return studies


class Looking(SerialExecutor):
    """Lets a test look at the study while its driver waits for an event."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__(trivial)
        self._look = look

    def events(self, timeout_s: float) -> Sequence[Event]:
        self._look()
        return super().events(timeout_s)


def states(rows: Sequence[dict[str, Any]]) -> dict[int, str]:
    return {row["trial"]: row["state"] for row in rows}


def test_only_a_living_driver_has_running_trials(bench: Bench, sweep_of: SweepOf, listed: Callable[..., Any]) -> None:
    """The trial being trained is running, those before their turn wait; after a stop, and after a kill, all of them."""
    looks: list[tuple[dict[int, str], dict[str, Any]]] = []

    def look() -> None:
        if not looks:
            looks.append((states(listed("s")["trials"]), listed()[0]))
            driver.request_stop()

    executor = Looking(look)
    sweep = sweep_of({"lr": RATES})
    with owned(bench.workspace, "s"):
        driver = bench.driver(sweep, executor)
        stopped = driver.run()
    executor.close()
    trials, counts = looks[0]
    assert trials == {number: "waiting" if number else "running" for number in range(len(trials))}
    assert (counts["running"], counts["waiting"]) == (1, len(trials) - 1)

    left = len(trials) - stopped.complete
    assert (stopped.state, stopped.waiting) == ("interrupted", left)
    assert set(states(listed("s")["trials"]).values()) <= {"complete", "waiting"}
    assert (listed()[0]["running"], listed()[0]["waiting"]) == (0, left)
    assert "running" not in {record.state for record in bench.memory.trials.values()}

    (bench.workspace.study("s") / RUNNING_FILE).write_text("[1]")  # as a killed driver leaves it
    assert running_trials(bench.workspace, "s") == frozenset()
    with owned(bench.workspace, "s"):
        assert running_trials(bench.workspace, "s") == {1}


def test_a_pruned_trial_shows_its_value_and_its_state_everywhere(
    bench: Bench, sweep_of: SweepOf, listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """List, leaderboard, its file, summary and runs show a pruned trial alike; one at a rung has a value too."""
    sweep = sweep_of({"lr": RATES, "epochs": [27]}, pruner={"name": "asha", "min_epochs": 1})
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, "s"):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda snapshot: (  # type: ignore[method-assign]
            driver.request_stop() if snapshot.at_rung >= 2 else None
        )
        stopped = driver.run()
    executor.close()
    del bench.memory.update
    assert stopped.pruned == 0
    at_rung = [row for row in listed("s")["trials"] if row["value"] is not None]
    assert len(at_rung) >= 2
    assert {row["state"] for row in at_rung} == {"waiting"}

    done = bench.run(sweep)
    rows = listed("s")["trials"]
    assert list(states(rows).values()) == ["complete"] + ["pruned"] * 8
    assert (listed()[0]["complete"], listed()[0]["pruned"], listed()[0]["waiting"]) == (1, 8, 0)
    values = {trial.number: trial.value for trial in bench.storage().load("s").trials()}
    assert {row["trial"]: row["value"] for row in rows} == values
    with Path(bench.workspace.study("s") / "report" / "leaderboard.csv").open() as file:
        written = {int(row["trial"]): (row["state"], float(row["value"])) for row in csv.DictReader(file)}
    assert written == {number: (states(rows)[number], values[number]) for number in values}
    assert (done.pruned, done.as_dict()["waiting"]) == (8, 0)
    assert {number: record.state for number, record in bench.memory.trials.items()} == states(rows)
    monkeypatch.setattr(console, "settings", console.Settings())
    table = CliRunner().invoke(app, ["studies", "s", "-w", str(bench.workspace.root)]).stdout
    assert table.splitlines()[1].split()[:5] == ["trial", "lr", "epochs", "state", "value"]
    assert all(" pruned " in line and float(line.split()[4]) > 0 for line in table.splitlines()[3:11])
