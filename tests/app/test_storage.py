"""Studies that move between SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from deepcolor.app.gc import collect_garbage
from deepcolor.app.storage import copy_studies, upgrade_storage
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.search.study import server as server_module
from deepcolor.search.study.ownership import owned
from deepcolor.search.study.storage import Outcome, Place, StudyStorage
from deepcolor.sqlite import sqlite_url
from deepcolor.training.trajectory import View
from deepcolor.workspace import Workspace
from tests.postgres import Postgres

SweepOf = Callable[..., Sweep]


def sweep_named(study: str) -> Sweep:
    return Sweep.model_validate(
        {
            "study": study,
            "stage": "regressor",
            "data": {"name": "faces"},
            "search": {"space": {"lr": {"low": 1e-4, "high": 0.3, "log": True}}, "sampler": "random", "trials": 5},
        }
    )


def fill(workspace: Workspace, name: str) -> None:
    """Trials of every kind: complete, diverged, pruned, failed and open."""
    sweep = sweep_named(name)
    with owned(workspace, name):
        study = StudyStorage(workspace).open(sweep, lambda: sweep)
        study.pin("x", {"ref": "regressor@champion", "sha256": "y"})
        study.use_sampler(sweep.search)
        for _ in range(5):
            study.ask(sweep.search)
        study.tell(0, Outcome(View(3, 2, 0.25), "t/results/x", {"psnr_db": 20.5}, host="here", device="cpu"))
        study.tell(1, Outcome(View(1, 1, float("inf"), diverged=True)))
        study.report(2, epoch=1, value=0.5)
        study.report(2, epoch=2, value=float("nan"))
        study.prune(2, Outcome(View(1, 1, 0.5)))
        study.fail(3, "the machine has had enough")


def shown(workspace: Workspace, name: str) -> list[str]:
    study = StudyStorage(workspace).load(name)
    return [repr(trial) for trial in study.trials()] + [repr(study.pins), repr(study.started_ms), repr(study.written)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path).create()
    for name in ("first", "second"):
        fill(made, name)
    return made


def test_studies_move_to_postgresql_and_back(workspace: Workspace, postgres: Postgres, tmp_path: Path) -> None:
    """They are the same there in every trial, go on there, and come back; what is there already is left alone, and
    what differs is never overwritten.
    """
    own, url = str(workspace.optuna_db), postgres.new_url(bare=True)
    there = replace(workspace, named_storage=url)
    assert copy_studies(workspace, own, url, names=["second"]).copied == ("second",)
    done = copy_studies(workspace, own, url)
    assert (done.copied, done.there) == (("first",), ("second",))
    assert sorted(StudyStorage(there).names()) == ["first", "second"]
    for name in ("first", "second"):
        assert shown(there, name) == shown(workspace, name)
    sweep = sweep_named("first")
    with owned(there, "first"):
        study = StudyStorage(there).open(sweep, lambda: sweep)
        assert study.fail(4, "enough").state == "failed"
    with pytest.raises(StudyError, match="must not be overwritten"):
        copy_studies(workspace, own, url)
    back = tmp_path / "back.db"
    assert copy_studies(workspace, url, str(back)).copied == ("second", "first")
    assert shown(replace(workspace, named_storage=sqlite_url(back)), "first") == shown(there, "first")


def test_a_copy_that_cannot_be_right_is_refused(workspace: Workspace, postgres: Postgres, tmp_path: Path) -> None:
    """Refused are a study that is being run, on either side, one that is not there, an empty database, and a copy onto
    itself; nothing is written then.
    """
    own, url = str(workspace.optuna_db), postgres.new_url()
    there = replace(workspace, named_storage=url)
    elsewhere = replace(there, root=tmp_path / "elsewhere", named_storage=f"{url}&application_name=elsewhere")
    with owned(workspace, "first"), pytest.raises(StudyError, match="'first' is already being run"):
        copy_studies(workspace, own, url, names=["first"])
    with owned(elsewhere, "second"), pytest.raises(StudyError, match="'second' is already being run"):
        copy_studies(workspace, own, url, names=["second"])
    with pytest.raises(StudyError, match="'third' is not in"):
        copy_studies(workspace, own, url, names=["first", "third"])
    with pytest.raises(WorkspaceError, match="FROM must be a database with studies"):
        copy_studies(workspace, str(tmp_path / "none.db"), url)
    with pytest.raises(WorkspaceError, match="another database than FROM"):
        copy_studies(workspace, own, own)
    assert StudyStorage(there).names() == []


def test_a_clean_up_asks_every_database_that_holds_studies(
    workspace: Workspace, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a study needs that has moved to PostgreSQL, or was begun there, stays, whichever database is named; if one
    does not answer, nothing is removed. A study that is being run there keeps all of it.
    """
    there = replace(workspace, named_storage=postgres.new_url())
    fill(there, "begun-there")
    with owned(there, "begun-there"):
        study = StudyStorage(there).open(sweep_named("begun-there"), lambda: sweep_named("begun-there"))
        study.place(4, Place("f" * 32, in_store_epochs=1, parent=None, epochs=3))
        (needed := workspace.trajectories / ("f" * 32)).mkdir(parents=True)
        with pytest.raises(StudyError):
            collect_garbage(workspace, workspace.mlflow_uri, keep=1, removing=True)
    for place in (workspace, there):
        collected = collect_garbage(place, workspace.mlflow_uri, keep=1, removing=True)
        assert needed.is_dir()
        assert "unmentioned" not in {item.kind for item in collected.garbage.items}
    monkeypatch.setattr(server_module, "_servers", {})
    postgres.execute(f"DROP DATABASE {there.storage.split('@/')[1].split('?')[0]} WITH (FORCE)")
    with pytest.raises(StudyError, match="has held studies of this workspace"):
        collect_garbage(workspace, workspace.mlflow_uri, keep=1, removing=True)


def test_a_database_of_an_earlier_optuna_is_upgraded(workspace: Workspace, postgres: Postgres) -> None:
    """It is refused with the command that helps; that keeps a copy of a file, and finds nothing to do when repeated."""
    url = postgres.new_url(bare=True)
    copy_studies(workspace, str(workspace.optuna_db), url)
    for place in (workspace, replace(workspace, named_storage=url)):
        engine = StudyStorage(place)._storage.engine
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        engine.dispose()
        with pytest.raises(WorkspaceError, match="deepcolor storage upgrade"):
            StudyStorage(place).names()
        done = upgrade_storage(place)
        assert (done.before, done.backup is not None) == ("v3.0.0.d", not place.on_server)
        assert shown(place, "first")
        assert upgrade_storage(place).before == done.now


def test_studies_of_other_programs_are_left_alone(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """Where others keep studies of Optuna in the same database, ours are listed and kept as before, and a sweep whose
    name is taken by one of theirs is refused; one of ours whose creation was interrupted is created again.
    """
    storage = StudyStorage(workspace)
    theirs = optuna.create_study(storage=storage._storage, study_name="theirs", direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("lr", 0, 1), n_trials=1)
    optuna.create_study(storage=storage._storage, study_name="interrupted")
    assert storage.names() == ["first", "second"]
    collect_garbage(workspace, workspace.mlflow_uri, keep=1, removing=True)
    with owned(workspace, "theirs"), pytest.raises(StudyError, match="'theirs' was not created by deepcolor"):
        storage.open(sweep_named("theirs"), lambda: sweep_named("theirs"))
    assert (len(theirs.trials), theirs.user_attrs) == (1, {})
    fill(workspace, "interrupted")
    assert StudyStorage(workspace).names() == ["first", "second", "interrupted"]
