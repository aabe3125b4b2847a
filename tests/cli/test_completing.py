from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepcolor.workspace import Workspace
from tests.cli.conftest import ENVIRONMENT, Cli
from tests.report.conftest import reported  # noqa: F401  # a fixture

HEAVY = ("torch", "mlflow", "optuna", "sqlalchemy", "pandas", "numpy")


def completed(line: str, *, folder: Path, **variables: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_DEEPCOLOR_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['deepcolor']; from deepcolor.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**ENVIRONMENT, **environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("deepcolor studies p", ["painted"]),
        ("deepcolor compare painted m", ["moved"]),
        ("deepcolor show painted#2", ["painted#2", *(f"painted#2{number}" for number in range(4))]),
        ("deepcolor promote moved --trial ", ["0"]),
        ("deepcolor pull col", ["colorizer@champion", "colorizer@1"]),
        ("deepcolor rollback tr", ["transfer"]),
        ("deepcolor colorize a.png -o out --model transfer@c", ["transfer@champion"]),
        ("deepcolor delete nothing-like-it", []),
    ],
)
def test_names_of_the_workspace_are_offered(reported: Workspace, line: str, offered: list[str]) -> None:  # noqa: F811
    """Studies, trials behind a `#`, numbers of trials, models and what they compete as, where a command takes one."""
    assert completed(line, folder=reported.root) == offered


def test_what_is_wrong_is_silent(cli: Cli, reported: Workspace) -> None:  # noqa: F811
    """Nothing is offered, said or made where there is no workspace, or a database is no database; a workspace that is
    named is the one that is asked.
    """
    assert completed("deepcolor pull c", folder=cli.workspace) == []
    assert completed("deepcolor show painted#", folder=cli.workspace) == []
    assert list(cli.workspace.iterdir()) == []
    cli.write("mlruns/mlflow.db", "no database")
    cli.write("studies/optuna.db", "no database")
    cli.write("studies/s/sweep.yaml", "")
    assert completed("deepcolor pull c", folder=cli.workspace) == []
    assert completed("deepcolor show s#", folder=cli.workspace) == []
    assert completed(f"deepcolor studies -w {reported.root} m", folder=cli.workspace) == ["moved"]
    assert completed("deepcolor studies m", folder=cli.workspace, DEEPCOLOR_WORKSPACE=str(reported.root)) == ["moved"]


def test_completing_imports_nothing_heavy(reported: Workspace) -> None:  # noqa: F811
    """Whoever presses a key does not wait for a library: models and trials are read without those that wrote them."""
    code = (
        "import sys; from deepcolor.app.offered import offered_models, offered_trials\n"
        "from deepcolor.cli.app import app; from deepcolor.workspace import Workspace\n"
        "place = Workspace.at(sys.argv[1])\n"
        "assert offered_models(place, '') and offered_trials(place, 'painted#')\n"
        "print(' '.join(sys.modules))"
    )
    words = [sys.executable, "-c", code, str(reported.root)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert set(HEAVY).isdisjoint(done.stdout.split())
