from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.storages import RDBStorage

from deepcolor.config.schema import Sweep
from deepcolor.search.study import reading
from deepcolor.search.study.reading import read_trials
from deepcolor.search.study.storage import Outcome, Place, StoredStudy, owned
from deepcolor.training.trajectory import View
from tests.search.conftest import Bench, on_both

SweepOf = Callable[..., Sweep]


@pytest.fixture
def sweep(sweep_of: SweepOf) -> Sweep:
    space = {"lr": {"low": 1e-4, "high": 0.3, "log": True}, "optimizer": ["adam", "sgd"]}
    return sweep_of(space, sampler="tpe", trials=9)


@on_both
def test_a_driver_remembers_what_the_database_holds(bench: Bench, sweep: Sweep) -> None:
    """After trials of every kind, a driver's memory holds the same trials that another reader finds."""
    with owned(bench.workspace, sweep.study):
        study = bench.storage().open(sweep, lambda: sweep)
        _trials_of_every_kind(study, sweep)
        assert bench.storage().load(sweep.study).trials() == study.trials()
        assert [trial.state for trial in study.trials()] == ["complete", "complete", "pruned", "failed", "waiting"]


@on_both
def test_trials_are_read_as_optuna_reads_them(bench: Bench, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast way to read all trials of a study gives the same as Optuna's own, field by field; a version of Optuna
    with different columns is read by its own methods.
    """
    with owned(bench.workspace, sweep.study):
        _trials_of_every_kind(bench.storage().open(sweep, lambda: sweep), sweep)
    study = bench.storage().load(sweep.study)
    by_optuna = study.optuna_study.get_trials(deepcopy=False)
    assert isinstance(study._storage, RDBStorage)
    assert list(read_trials(study._storage, study._study_id).values()) == by_optuna
    monkeypatch.setattr(reading, "_OF_TRIAL", ("trial_id", "a_column_of_another_optuna"))
    assert list(read_trials(study._storage, study._study_id).values()) == by_optuna


@on_both
def test_a_draw_that_is_not_started_leaves_nothing(bench: Bench, sweep: Sweep) -> None:
    """A trial appears whole, with all of its parameters, or not at all."""
    with owned(bench.workspace, sweep.study):
        study = bench.storage().open(sweep, lambda: sweep)
        study.use_sampler(sweep.search)
        asked = study.ask(sweep.search)
        assert set(asked.params) == {"lr", "optimizer"}
        assert bench.storage().load(sweep.study).trials() == [asked]


def _trials_of_every_kind(study: StoredStudy, sweep: Sweep) -> None:
    study.use_sampler(sweep.search)
    for number in range(5):
        assert study.ask(sweep.search).number == number
        study.place(number, Place("t" * 32, in_store_epochs=number, parent=None, epochs=3))
    study.tell(0, Outcome(View(3, 2, 0.25), "t/results/x", {"psnr_db": 20.5}, host="here", device="cpu"))
    study.tell(1, Outcome(View(1, 1, float("inf"), diverged=True)))
    study.let_on(2, to_epoch=1)
    study.report(2, epoch=1, value=0.5)
    study.prune(2, Outcome(View(1, 1, 0.5)))
    study.fail(3, "the machine has had enough")
