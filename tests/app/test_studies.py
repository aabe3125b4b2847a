from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepcolor.app.studies import STATES, held_sweep, list_studies, standing_of, write_sweep
from deepcolor.cli.app import app
from deepcolor.config.load import load_sweep
from deepcolor.config.schema import Sweep
from deepcolor.errors import ConfigError, StudyError
from tests.search.conftest import Bench, bench, no_pictures, sweep_of  # noqa: F401  # fixtures


def test_how_studies_stand_comes_as_values(
    bench: Bench,  # noqa: F811
    sweep_of: Callable[..., Sweep],  # noqa: F811
    no_pictures: None,  # noqa: F811
) -> None:
    """Every study is listed with the trials in each state and its best one; one has them all, the best first."""
    assert list_studies(bench.workspace) == []
    for study in ("second", "first"):
        bench.run(sweep_of(study=study))
    second, first = list_studies(bench.workspace)
    assert (second.name, first.name) == ("second", "first")
    assert dict(first.trials) == dict.fromkeys(STATES, 0) | {"complete": 3}
    standing = standing_of(bench.workspace, "first")
    assert [standing.state(trial) for trial in standing.trials] == ["complete"] * 3
    values = [trial.value for trial in standing.ranked()]
    assert values == sorted(value for value in values if value is not None)
    assert standing.ranked()[0] == first.best
    assert standing.confirmation is None
    with pytest.raises(StudyError, match="did you mean first"):
        standing_of(bench.workspace, "frist")


def test_the_sweep_of_a_study_is_written_once(
    bench: Bench,  # noqa: F811
    sweep_of: Callable[..., Sweep],  # noqa: F811
    no_pictures: None,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Its text is a sweep file that means the same, and never takes the place of another file."""
    sweep, file = sweep_of(), tmp_path / "held.yaml"
    bench.run(sweep)
    write_sweep(bench.workspace, "s", file=file)
    assert load_sweep(file) == sweep
    assert file.read_text() == held_sweep(bench.workspace, "s")
    for taken, said in ((file, "which exists"), (tmp_path / "no" / "folder.yaml", "No such file")):
        with pytest.raises(ConfigError, match=said):
            write_sweep(bench.workspace, "s", file=taken)


def test_all_trials_are_printed_as_comma_separated_values(
    bench: Bench,  # noqa: F811
    sweep_of: Callable[..., Sweep],  # noqa: F811
    no_pictures: None,  # noqa: F811
) -> None:
    """Each trial is a row by its number, with full precision, those included that confirm the best ones; a study with
    no trial has the same columns.
    """
    space = {"lr": [0.1, 0.01], "early_stopping": {"values": [None, True]}}
    bench.run(sweep_of(space, confirm={"top": 1, "seeds": 2}))
    empty = sweep_of(space, study="empty")
    bench.storage().open(empty, lambda: empty)
    where = ("--csv", "--workspace", str(bench.workspace.root))

    printed = CliRunner().invoke(app, ["studies", "s", *where], catch_exceptions=False).stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    trials = bench.storage().load("s").trials()
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in trials] == list(range(6))
    assert [row["confirms"] for row in rows[:4]] == [""] * 4
    assert {row["confirms_seed"] for row in rows[4:]} == {str(t.confirms.seed) for t in trials if t.confirms}
    assert [float(row["value"]) for row in rows] == [trial.value for trial in trials]
    assert [row["params.early_stopping"] for row in rows[:4]] == ["null", "true", "null", "true"]
    assert all(row["trajectory"] == t.place.trajectory for row, t in zip(rows, trials, strict=True) if t.place)

    header = CliRunner().invoke(app, ["studies", "empty", *where], catch_exceptions=False).stdout
    assert header.splitlines() == printed.splitlines()[:1]
    for words, said in ((["studies"], "needs the name of a study"), (["studies", "s", "--json"], "got --json")):
        with pytest.raises(StudyError, match=said):
            CliRunner().invoke(app, [*words, *where], catch_exceptions=False)
