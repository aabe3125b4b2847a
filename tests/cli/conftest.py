"""The command as a user runs it: a process of its own, in a workspace of its own, on drawn pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deepcolor.app.how import How
from deepcolor.app.sweep import run_sweep
from deepcolor.cli.app import app
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.config.schema import DataConfig, Sweep
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.drawn import draw_set
from deepcolor.data.manifest import prepare
from deepcolor.search.rules.summary import Summary
from deepcolor.workspace import Workspace
from tests.reporting import draw_nothing
from tests.running import run_command
from tests.shared import shared
from tests.tracking.building import new_store, template_database

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"MLFLOW_TRACKING_URI", "FORCE_COLOR"}}


@dataclass(frozen=True)
class Cli:
    """Runs `deepcolor` in a workspace."""

    workspace: Path

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and check its exit code."""
        done = run_command(words, folder=self.workspace, environment=ENVIRONMENT)
        assert done.returncode == code, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "deepcolor", *words],
            cwd=self.workspace,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def write(self, name: str, text: str) -> Path:
        """Write a file into the workspace."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A new workspace."""
    return Cli(tmp_path)


@pytest.fixture
def mlflow_database(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the workspace MLflow's database, empty."""
    new_store(template_database(tmp_path_factory), tmp_path)


@pytest.fixture(scope="session")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 30 drawn faces prepared as `faces`, and decoded as the sweeps here have them; to be copied."""
    return shared(tmp_path_factory, "decoded", _decode)


def _decode(root: Path) -> None:
    draw_set("faces", root / "pictures", count=30, size_px=64, seed=0)
    workspace = Workspace.at(root).create()
    manifest = prepare(root / "pictures", name="faces", workspace=workspace)
    ensure_cache(workspace, manifest, DataConfig(name="faces", size_px=64))


@pytest.fixture
def ready(cli: Cli, mlflow_database: None, decoded: Path) -> Cli:
    """A workspace with 30 drawn faces prepared as `faces`, and decoded."""
    shutil.copytree(decoded, cli.workspace, dirs_exist_ok=True)
    return cli


@pytest.fixture
def prepared(ready: Cli) -> Cli:
    """The same, not yet decoded."""
    shutil.rmtree(Workspace.at(ready.workspace).datasets / "faces" / "cache")
    return ready


@pytest.fixture
def how(tmp_path: Path, mlflow_database: None, decoded: Path, monkeypatch: pytest.MonkeyPatch) -> How:
    """A workspace with 30 drawn faces, for commands called as functions; segments run in this process, and no report
    has pictures, which would take longer than all else.
    """
    draw_nothing(monkeypatch.setattr)
    shutil.copytree(decoded, tmp_path, dirs_exist_ok=True)
    workspace = Workspace.at(tmp_path)
    return How(
        workspace,
        workspace.mlflow_uri,
        executor="serial",
        command="deepcolor sweep grid.yaml",
        reporter=ConsoleReporter(),
    )


def command(root: Path, *words: str) -> dict[str, Any]:
    """Run a command in this process and a workspace, and return what it prints with --json."""
    words = tuple(str(root / word) if word.endswith(".yaml") else word for word in words)
    done = CliRunner().invoke(app, [*words, "--workspace", str(root), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def run(sweep: Sweep, how: How) -> Summary:
    """Run a sweep as `deepcolor sweep` does, in this process."""
    executor = how.make_executor()
    try:
        return run_sweep(sweep, how, executor=executor)
    finally:
        executor.close()
