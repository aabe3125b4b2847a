"""A sweep under a plain C locale, where Python takes every text for ASCII unless it is told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

from deepcolor.workspace import Workspace
from tests.cli.conftest import ENVIRONMENT, Cli
from tests.processes import WAIT_S

PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
SWEEP = """
study: small
stage: regressor
description: Maße und Töne 🎨
data: {name: faces, size_px: 64}
training: {epochs: 1}
search: {space: {lr: [1e-2]}}
"""

COMMAND = """
import functools
from deepcolor.cli.app import main
from deepcolor.execution import devices
from deepcolor.report.writing import ReportFolder
from tests.search.trivial import trivial
devices.make_executor = functools.partial(devices.make_executor, run=trivial)
ReportFolder.write, ReportFolder.prepare = (lambda *_: None), (lambda _: None)
main()
"""
"""The command without what takes longest and is not looked at here: networks and pictures."""


def test_a_description_beyond_ascii_under_a_plain_c_locale(ready: Cli) -> None:
    """The sweep ends well, its runs are FINISHED, and description, command and the sweep's file are what they are."""
    (ready.workspace / "maße.yaml").write_text(SWEEP, encoding="utf-8")
    words = ["sweep", "maße.yaml", "--executor", "serial", "-o", "description=Töne 🎨"]
    environment = {**ENVIRONMENT, **PLAIN, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        cwd=ready.workspace,
        env=environment,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"warning" not in done.stderr
    workspace = Workspace.at(ready.workspace)
    client = MlflowClient(workspace.mlflow_uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    (parent,) = (run for run in runs if run.data.tags["deepcolor.kind"] == "study")
    assert "Töne 🎨" in parent.data.tags["mlflow.note.content"]
    assert "maße.yaml" in parent.data.tags["deepcolor.command"]
    stored = Path(client.download_artifacts(parent.info.run_id, "sweep.yaml", os.fspath(ready.workspace)))
    assert "description: Töne 🎨" in stored.read_text(encoding="utf-8")
