"""`deepcolor doctor`: what it says of a workspace that is well, and of all that can be wrong with one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from deepcolor.data.cache.stored import cache_folder
from deepcolor.workspace import Workspace
from tests.cli.conftest import ENVIRONMENT, Cli
from tests.reliability.mlflow_server import Server
from tests.running import run_commands
from tests.tracking.building import template_database

USER, PASSWORD = "trainer", "correct-horse"


@pytest.fixture
def server(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a user and a password."""
    folder = tmp_path / "server"
    server = Server(folder, database=template_database(tmp_path_factory), credentials=f"{USER}:{PASSWORD}")
    server.start()
    yield server
    server.stop()


def found(said: str) -> dict[str, dict[str, Any]]:
    """The findings of `--json` by name; of several of one name the worst."""
    findings = json.loads(said)["findings"]
    order = ["well", "note", "wrong"]
    return {each["name"]: each for each in sorted(findings, key=lambda each: order.index(each["state"]))}


def test_an_empty_folder_is_well_and_stays_empty(cli: Cli) -> None:
    """Before the first sweep nothing is wrong; a line for each thing looked at; no file is left behind."""
    said = cli.run("doctor", "--tracking-uri", f"sqlite:///{cli.workspace}/mlruns/mlflow.db").stdout.splitlines()
    assert {line.split()[0] for line in said} == {"ok"}
    assert [line.split()[1] for line in said] == [
        *(
            "versions",
            "studies/",
            "mlruns/",
            "files",
            "disk",
            "locks",
            "limits",
            "studies",
            "tracking",
            "devices",
            "data",
        )
    ]
    assert not list(cli.workspace.iterdir())


def test_what_is_wrong_with_a_workspace_is_said_with_its_remedy(ready: Cli) -> None:
    """Folders without write permission, a database that is none, changed pictures, a decoded form that has lost a part:
    each by its own line, and the exit code is 1.
    """
    place = Workspace.at(ready.workspace)
    (form,) = (place.datasets / "faces" / "cache").glob("*/cache.json")
    form.unlink()
    assert cache_folder(place, "faces", form.parent.name) == form.parent
    next((ready.workspace / "pictures").glob("*.png")).write_bytes(b"another picture")
    place.optuna_db.write_text("no database " * 100)
    said = ready.run("doctor", "--json", code=1).stdout
    findings = found(said)
    assert {name for name, each in findings.items() if each["state"] == "wrong"} == {"studies", "data"}
    assert "studies database: cannot be opened" in findings["studies"]["said"]
    assert findings["data"]["remedy"]
    assert "faces: decoded pictures have lost a part" in said
    place.mlruns.chmod(0o555)
    (done,) = run_commands(
        [["doctor", "--json"]], folder=ready.workspace, environment=ENVIRONMENT, plain_user=os.geteuid() == 0
    )
    assert done.code == 1
    assert found(done.out)["mlruns/"]["state"] == "wrong"
    assert found(done.out)["mlruns/"]["remedy"] == "Fix its permissions, or choose another --workspace."


def test_a_tracking_server_is_tried_with_a_file(cli: Cli, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right password a file goes to the server and comes back, and the run it needed is deleted; with a wrong
    one, or none, or while the server fails, one line says so, without the password.
    """
    assert "401" in cli.run("doctor", "--tracking-uri", server.uri, code=1).stdout
    for name, value in (("USERNAME", USER), ("PASSWORD", PASSWORD)):
        monkeypatch.setitem(ENVIRONMENT, f"MLFLOW_TRACKING_{name}", value)
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    findings = found(cli.run("doctor", "--tracking-uri", server.uri, "--json").stdout)
    assert findings["artifacts"]["said"] == "a file written to the server came back"
    assert findings["server"]["said"].startswith("MLflow 3.")
    client = MlflowClient(server.uri)
    (experiment,) = (each for each in client.search_experiments() if each.name != "Default")
    assert not client.search_runs([experiment.experiment_id])
    server.behave("500")
    failed = cli.run("doctor", "--tracking-uri", server.uri, code=1).stdout
    (line,) = (line for line in failed.splitlines() if line.startswith("WRONG"))
    assert line.split()[1] == "tracking"
    assert PASSWORD not in failed
