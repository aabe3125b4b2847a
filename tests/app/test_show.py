from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deepcolor.app.show import show_trial
from deepcolor.cli.app import app
from deepcolor.cli.sparkline import BLOCKS, sparkline
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace
from tests.cli.conftest import command, decoded  # noqa: F401  # a fixture
from tests.report.conftest import reported  # noqa: F401  # a fixture
from tests.shared import copied


def test_a_trial_is_shown_with_curve_and_pictures(reported: Workspace, tmp_path: Path) -> None:  # noqa: F811
    """Its setting, its figures, its curve with the objective first, and files that are there; a study is its best
    trial. Where a clean-up has removed the result, the rest is as before.
    """
    shown = show_trial(reported, "painted#1")
    assert next(iter(shown.curves)) == "val/mse"
    assert [epoch for epoch, _ in shown.curves["val/mse"]] == [1, 2]
    assert shown.curves["val/mse"][shown.trial.outcome.view.chosen_epoch - 1][1] == shown.trial.value  # type: ignore[union-attr]
    assert shown.pictures[0].name == "samples.png"
    assert all(file.is_file() for file in shown.pictures)
    told = command(reported.root, "show", "painted#1")
    assert (told["params"], told["value"]) == (shown.trial.params, shown.trial.value)
    best = command(reported.root, "show", "painted")
    assert best["value"] == min(t["value"] for t in command(reported.root, "studies", "painted")["trials"])

    copy = tmp_path / "copy"
    copied(reported.root, copy)
    assert shown.result is not None
    shutil.rmtree(copy / shown.result.relative_to(reported.root))
    without = show_trial(Workspace.at(copy), "painted#1")
    assert (without.result, without.pictures, without.curves) == (None, (), shown.curves)


def test_a_trial_is_printed_for_people(reported: Workspace) -> None:  # noqa: F811
    """Where pictures cannot be shown, their paths are, each on a line of its own; no escape code is printed."""
    where = ("--workspace", str(reported.root))
    printed = CliRunner().invoke(app, ["show", "painted#1", *where], env={"TERM": "xterm-kitty"}).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0] == ["painted#1", "complete"]
    assert any(line[:1] == ["val/mse"] and set(line[1]) <= set(BLOCKS) for line in lines)
    (samples,) = (line[1] for line in lines if line[0] == "samples")
    assert Path(samples).is_file()
    assert "\x1b" not in printed
    with pytest.raises(StudyError, match="must be one of painted; got 99"):
        CliRunner().invoke(app, ["show", "painted#99", *where], catch_exceptions=False)


@given(st.lists(st.floats(), min_size=1, max_size=200), st.integers(1, 60))
def test_a_curve_is_one_line(values: list[float], width: int) -> None:
    """Of any numbers, with no more characters than asked for: a block each, and an x where there is no number."""
    drawn = sparkline(values, width=width)
    assert len(drawn) == min(width, len(values))
    assert set(drawn) <= {*BLOCKS, "x"}
    assert (drawn[-1] == "x") == (not math.isfinite(values[-1]))


def test_a_curve_that_falls_is_drawn_falling() -> None:
    """The highest value has the highest block and the last one is seen; large spans are drawn by their logarithms."""
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], width=8) == BLOCKS[::-1]
    assert sparkline([1e4, 1e3, 1e2, 1e1, 1], width=5) == "█▇▅▃▁"
    assert sparkline([1.0, 1.0], width=8) == "▁▁"
