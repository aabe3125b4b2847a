from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from deepcolor import __version__
from deepcolor.cli.app import app
from tests.cli.conftest import Cli

HEAVY = {"torch", "torchvision", "mlflow", "optuna", "cv2", "pandas", "matplotlib", "numpy", "distributed", "pydantic"}


def commands() -> list[tuple[str, ...]]:
    """Every command, those of a group under the group's name."""
    found: list[tuple[str, ...]] = []

    def walk(command: object, path: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if not children:
            found.append(path)
            return
        for name, child in children.items():
            walk(child, (*path, name))

    walk(get_command(app), ())
    return found


def test_help_imports_nothing_heavy() -> None:
    """The command line answers at once: torch, MLflow and the like are imported by the command that needs them."""
    code = "import sys; from deepcolor.cli.app import app; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_shows_examples_and_the_common_options(path: tuple[str, ...]) -> None:
    """The help of each command has examples that start with the command itself, and --quiet and --debug."""
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 0
    assert f"deepcolor {' '.join(path)}" in done.output.split("Examples", 1)[1]
    assert {"--quiet", "--debug"} <= set(done.output.replace(",", " ").split())


def test_version_is_printed(cli: Cli) -> None:
    """`--version` says which deepcolor this is."""
    assert cli.run("--version").stdout == f"deepcolor {__version__}\n"


def test_an_empty_workspace_has_no_studies(cli: Cli) -> None:
    """Listing studies in an empty folder says how to start one, as JSON gives an empty list, and writes nothing."""
    assert "deepcolor sweep" in cli.run("studies").stdout
    assert json.loads(cli.run("studies", "--json").stdout) == []
    assert list(cli.workspace.iterdir()) == []


def test_the_app_is_a_typer_app() -> None:
    """Other tools can build completion and documentation from the app."""
    assert isinstance(app, typer.Typer)
