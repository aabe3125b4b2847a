from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deepcolor.config.load import kind_of, load_pipeline, load_sweep
from deepcolor.config.schema import Sweep

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILES = sorted(EXPERIMENTS.rglob("*.yaml"))


def sweeps_of(path: Path) -> tuple[Sweep, ...]:
    """The sweep of a sweep file, or the sweeps of a pipeline file."""
    return (load_sweep(path),) if kind_of(path) == "sweep" else load_pipeline(path).sweeps


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_every_shipped_file_parses_and_says_how_to_run_it(path: Path) -> None:
    """A shipped file is valid, and begins with what it is, what it costs, and the command that runs it."""
    assert sweeps_of(path)
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    command = f"deepcolor {kind_of(path)} experiments/{path.relative_to(EXPERIMENTS)}"
    assert any(line.startswith("# Cost:") for line in head)
    assert any(line.endswith(command) for line in head)


def test_study_names_do_not_collide() -> None:
    """Two shipped sweeps never ask for different studies of the same name."""
    own = [sweep.study for path in FILES if path.stem != "pipeline" for sweep in sweeps_of(path)]
    assert [name for name, count in Counter(own).items() if count > 1] == []


def test_the_second_report_has_its_27_points() -> None:
    """The second report's grid is all of lr, weight decay and epochs, for each stage."""
    for stage in ("regressor", "colorizer", "transfer"):
        sweep = load_sweep(EXPERIMENTS / "report2" / f"{stage}.yaml")
        assert sweep.stage == stage
        assert sweep.grid_points() == 27
