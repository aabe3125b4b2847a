"""What deepcolor uses of Optuna's inside, taken away piece by piece."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from deepcolor.config.schema import Sweep
from deepcolor.errors import UserError
from deepcolor.search.study import optuna_private
from deepcolor.search.study.mirror import Mirror
from deepcolor.workspace import Workspace
from tests.search.conftest import Bench, Memory

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.mark.parametrize("piece", ["TABLES", "ENGINE", "MEMORY"])
def test_a_study_is_searched_without_a_piece_of_it(
    bench: Bench, sweep_of: SweepOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: str
) -> None:
    """Where another Optuna has it not, a study is searched, gone on with and read as ever, by its public ways; its
    database still lets readers and the writer go on beside each other.
    """
    bench.run(sweep_of())
    trials = bench.storage().load("s").trials()
    monkeypatch.setattr(optuna_private, piece, "no_longer_there")
    assert bench.storage().load("s").trials() == trials
    new = Bench(Workspace.at(tmp_path / "new").create(), Memory())
    sweep = sweep_of({"lr": {"low": 0.001, "high": 0.1}}, sampler="tpe", trials=4)
    assert new.run(sweep).complete == 4
    assert new.run(sweep).trained_now == 0
    assert [trial.state for trial in new.storage().load("s").trials()] == ["complete"] * 4
    with closing(sqlite3.connect(new.workspace.optuna_db)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_later_optuna_that_asks_for_more_is_named(
    bench: Bench, sweep_of: SweepOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage that could not do all that Optuna asks of it is not used: the message names the version, and what is
    asked for.
    """
    monkeypatch.setattr(Mirror, "__abstractmethods__", frozenset({"archive_trial", "forget_study"}))
    sweep = sweep_of()
    with pytest.raises(UserError) as refused:
        bench.storage().open(sweep, lambda: sweep)
    assert str(refused.value) == (
        f"Optuna: must be a version that deepcolor knows; got {optuna.__version__}, which also asks a storage for "
        "archive_trial, forget_study. Install the one that constraints.txt names, or a later deepcolor."
    )
