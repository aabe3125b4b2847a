from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import deepcolor
from deepcolor.cli import console
from deepcolor.cli.ui import ui
from deepcolor.errors import StudyError, UserError, WorkspaceError
from deepcolor.tracking.projection import MlflowTracker
from tests.processes import WAIT_S
from tests.tracking.building import make_sweep, study_record, trial_record


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "settings", console.Settings())
    # The command sets it for child code.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture
def workspace(tracking_uri: str, tmp_path: Path) -> Path:
    """A workspace with one tracked study."""
    sweep, tracker = make_sweep(), MlflowTracker(tracking_uri=tracking_uri)
    tracker.put_study(study_record(sweep, state="complete"))
    tracker.put_trial(trial_record(sweep))
    assert tracker.flush(60)
    tracker.close()
    return tmp_path


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(workspace: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run the command in the workspace, and yield its process and what it has printed."""
    root = str(Path(deepcolor.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "deepcolor", "ui", "grid", "--json", *words],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def answer(host: str, port: int, *, name: str, origin: str | None = None) -> int:
    """Search for experiments as the page does, under a name for the server; return the status of the answer."""
    connection = http.client.HTTPConnection(host, port, timeout=WAIT_S)
    headers = {"Host": name, "Content-Type": "application/json"} | ({"Origin": origin} if origin else {})
    connection.request("POST", "/ajax-api/2.0/mlflow/experiments/search", '{"max_results": 1}', headers)
    return connection.getresponse().status


def assert_answers_to(host: str, port: int, names: list[str]) -> None:
    """A page opened under one of the names may search; one under any other name, or of another origin, may not."""
    for name in names:
        assert answer(host, port, name=name, origin=f"http://{name}") == 200
    assert answer(host, port, name=f"elsewhere.example:{port}") == 403
    assert answer(host, port, name=names[0], origin="http://elsewhere.example") == 403


def test_the_pages_are_served_until_the_command_is_ended(workspace: Path) -> None:
    """It prints the study's link once the server answers, answers on all addresses to every name of the machine and to
    no other, runs no code from the current folder, and leaves no process behind when it ends.
    """
    for module in ("mlflow", "uvicorn", "numpy", "typing", "typer", "rich", "sqlalchemy", "flask", "click", "http"):
        (workspace / f"{module}.py").write_text(f"open({str(workspace / 'run')!r}, 'a').write({module!r} + ' ')")
    port = free_port()
    with serving(workspace, "--host", "0.0.0.0", "--port", str(port)) as (_, said):
        assert said["studies"]["grid"].startswith(f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT_S) as page:
            assert b"MLflow" in page.read()
        assert_answers_to("0.0.0.0", port, [f"{socket.gethostname()}:{port}", f"localhost:{port}"])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not (workspace / "run").exists(), (workspace / "run").read_text()


def test_a_port_in_use_is_refused(workspace: Path) -> None:
    """The message names host and port, and the option."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="--port"):
            ui(None, "127.0.0.1", taken.getsockname()[1], workspace=workspace)


def test_an_unknown_study_names_the_nearest(workspace: Path) -> None:
    """A misspelt study is refused before a server is started."""
    with pytest.raises(StudyError, match="Did you mean grid"):
        ui("gird", "127.0.0.1", free_port(), workspace=workspace)


def test_a_workspace_without_runs_is_not_given_a_database(tmp_path: Path) -> None:
    """Looking at nothing leaves nothing behind."""
    with pytest.raises(WorkspaceError, match="Run a sweep first"):
        ui(None, "127.0.0.1", free_port(), workspace=tmp_path)
    assert list(tmp_path.iterdir()) == []
