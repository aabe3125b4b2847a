from __future__ import annotations

import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from deepcolor.app.ui import find_pages
from deepcolor.errors import StudyError, TrackingError
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.workspace import Workspace
from tests.processes import WAIT_S
from tests.reporting import Heard
from tests.tracking.building import make_sweep, study_record
from tests.tracking.conftest import mlflow_template, tracking_uri  # noqa: F401  # fixtures
from tests.tracking.test_ui_command import assert_answers_to


@pytest.fixture
def workspace(tracking_uri: str, tmp_path: Path) -> Workspace:  # noqa: F811
    """A workspace with one tracked study."""
    tracker = MlflowTracker(tracking_uri=tracking_uri)
    tracker.put_study(study_record(make_sweep(), state="complete"))
    assert tracker.flush(60)
    tracker.close()
    return Workspace.at(tmp_path)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_pages_are_there_while_the_server_runs(workspace: Workspace) -> None:
    """The links are known before anything is started; the server answers only to the name it serves under; one that
    ends by itself is an error with its last words.
    """
    host, port = "127.0.0.2", free_port()
    pages = find_pages(workspace, workspace.mlflow_uri, host=host, port=port)
    assert pages.url == f"http://{host}:{port}"
    assert pages.studies["grid"].startswith(f"{pages.url}/#/experiments/")
    assert pages.server is not None
    with pages.server.running() as server:
        with urllib.request.urlopen(pages.url, timeout=WAIT_S) as page:
            assert b"MLflow" in page.read()
        assert_answers_to(host, port, [f"{host}:{port}"])
        os.kill(server.process.pid, signal.SIGKILL)
        with pytest.raises(TrackingError, match=rf"exit code -9\. Its last words: .*{server.log}"):
            server.wait()


def test_who_would_reach_the_pages_is_said_before_they_are_served(workspace: Workspace) -> None:
    """On an address of others' a warning is given; on this machine's own there is none, nor where nothing is found."""
    heard = Heard()
    uri, port = workspace.mlflow_uri, free_port()
    find_pages(workspace, uri, port=port, reporter=heard)
    with pytest.raises(StudyError, match="Did you mean grid"):
        find_pages(workspace, uri, study="gird", host="0.0.0.0", port=port, reporter=heard)
    assert heard.warnings == []
    find_pages(workspace, uri, host="0.0.0.0", port=port, reporter=heard)
    (warning,) = heard.warnings
    assert "0.0.0.0 is open to others" in warning
