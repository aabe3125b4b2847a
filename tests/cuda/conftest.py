"""What needs a GPU that torch can use by CUDA; elsewhere each of these tests is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from deepcolor.workspace import Workspace
from tests.cli.conftest import ENVIRONMENT, decoded  # noqa: F401  # a fixture
from tests.processes import WAIT_S
from tests.tracking.building import new_store, template_database
from tests.training.conftest import prepared, prepared_fresh, prepared_geometric  # noqa: F401  # fixtures

GPU = "cuda"


@pytest.fixture(scope="session", autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU that it can use by CUDA")


@dataclass(frozen=True)
class Commands:
    """Runs `deepcolor` in a workspace, each time as a new process with all that it starts itself."""

    folder: Path

    def run(
        self, *words: str, code: int = 0, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and check its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "deepcolor", *words],
            cwd=self.folder,
            env={**ENVIRONMENT, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == code, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run a command and return what it prints with --json."""
        return json.loads(self.run(*words, "--json", environment=environment).stdout)

    def trials(self, study: str) -> list[dict[str, Any]]:
        """The trials of a study, by number."""
        found: list[dict[str, Any]] = self.json("studies", study)["trials"]
        return sorted(found, key=lambda trial: int(trial["trial"]))

    @property
    def workspace(self) -> Workspace:
        return Workspace.at(self.folder)


def new_workspace(folder: Path, *, decoded: Path, database: Path) -> Commands:  # noqa: F811  # what the fixture gives
    """Make a workspace with 30 drawn faces prepared as `faces`, and with MLflow's database."""
    new_store(database, folder)
    shutil.copytree(decoded, folder, dirs_exist_ok=True)
    return Commands(folder)


@pytest.fixture
def commands(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, decoded: Path) -> Commands:  # noqa: F811
    """A workspace of a test's own."""
    return new_workspace(tmp_path, decoded=decoded, database=template_database(tmp_path_factory))
