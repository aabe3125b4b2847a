from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.mlflow_server import Server
from tests.reliability.processes import Faults

IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""So that the test need not wait for what a person would wait for."""
SERIAL = ("--executor", "serial")


@pytest.fixture
def server(place: Place, template: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server", database=template / "mlruns" / "mlflow.db")
    yield made
    made.stop()


def bring_up_to_date(place: Place, server: Server) -> None:
    """Run the sweep again with the server in health: nothing is trained, all is in MLflow once; and so it stays."""
    for _ in range(2):
        done = place.sweep(*SERIAL, "--tracking-uri", server.uri)
        assert (done["trained_now"], done["complete"]) == (0, POINTS)
        place.assert_whole(uri=server.uri)


def test_a_server_that_is_down_from_the_start(place: Place, server: Server) -> None:
    """The study is trained to its end without one answer from MLflow, says so once, and is sent by the next start."""
    faults = Faults(environment=IMPATIENT)
    text = place.start("sweep", "grid.yaml", "--json", *SERIAL, "--tracking-uri", server.uri, faults=faults).ends(0)
    assert json.loads(text.splitlines()[-1])["trained_now"] == EPOCHS
    assert text.count("Training continues") == 1
    assert "nothing is lost, the same command sends the rest" in text
    server.start()
    bring_up_to_date(place, server)


@pytest.mark.parametrize("mode", ["500", "hang"])
def test_a_server_that_fails_in_the_middle(place: Place, server: Server, mode: str) -> None:
    """A server that begins to answer 500, or no more, holds up no epoch; the next start sends what is missing."""
    server.start()
    faults = Faults(environment=IMPATIENT | {"TRIVIAL_EPOCH_S": "0.3"})
    command = place.start("sweep", "grid.yaml", "--json", *SERIAL, "--tracking-uri", server.uri, faults=faults)
    place.wait_for_trials(2)
    server.behave(mode)
    text = command.ends(0)
    assert json.loads(text.splitlines()[-1])["complete"] == POINTS
    assert "nothing is lost, the same command sends the rest" in text
    server.behave("ok")
    bring_up_to_date(place, server)


def test_databases_that_another_process_locks(place: Place) -> None:
    """Both SQLite databases held for longer than SQLite's own patience: the sweep waits, and nothing is missing."""
    command = place.start("sweep", "grid.yaml", *SERIAL, faults=Faults(environment={"TRIVIAL_EPOCH_S": "0.1"}))
    place.wait_for_trials(2)
    held = [sqlite3.connect(place.root / name, timeout=60) for name in ("studies/optuna.db", "mlruns/mlflow.db")]
    for database in held:
        database.execute("begin exclusive")
    time.sleep(8)  # The fault itself: Python's sqlite3 gives up after 5 s unless told otherwise.
    before = place.finished_trials()
    assert before < POINTS
    for database in held:
        database.rollback()
        database.close()
    command.ends(0)
    place.assert_whole()
