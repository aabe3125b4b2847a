from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from deepcolor.cli import console
from deepcolor.cli.ui import ui
from deepcolor.errors import StudyError, UserError, WorkspaceError
from deepcolor.tracking.projection import MlflowTracker
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


def test_the_pages_are_served_until_the_command_is_ended(workspace: Path) -> None:
    """It prints the study's link once the server answers, and leaves no process behind when it is ended."""
    port = free_port()
    code = (
        "import typer; from deepcolor.cli.ui import ui; app = typer.Typer(); app.command()(ui); "
        f"app(['grid', '--workspace', {str(workspace)!r}, '--port', '{port}', '--json'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["studies"]["grid"].startswith(f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
        assert b"MLflow" in page.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


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
