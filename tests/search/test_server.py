"""Studies in PostgreSQL: who drives them, from whichever host, and what happens while the server is away."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from typer.testing import CliRunner

from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import DeepcolorError, StudyError, WorkspaceError
from deepcolor.search.study import server as server_module
from deepcolor.search.study.attendance import Attendance, running_trials
from deepcolor.search.study.held import answers, ask
from deepcolor.search.study.ownership import is_owned, owned, shared_store, sole_store
from deepcolor.search.study.storage import Outcome, StoredStudy, StudyStorage
from deepcolor.search.study.writing import Writer
from deepcolor.settings import SETTINGS_FILE
from deepcolor.study import open_study
from deepcolor.training.trajectory import View
from deepcolor.workspace import Workspace
from tests.postgres import PASSWORD, Postgres, kill_backends, own_postgres
from tests.reliability.processes import wait_until
from tests.search.conftest import Bench, Memory, on_both

SweepOf = Callable[..., Sweep]
on_postgres = pytest.mark.parametrize("bench", ["postgres"], indirect=True)
DONE = Outcome(View(3, 2, 0.25), "t/results/x", {"psnr_db": 20.5}, host="here", device="cpu")


@pytest.fixture
def elsewhere(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same studies seen from another folder, as another host would that shares no lock with this one."""
    url = f"{bench.workspace.storage}&application_name=elsewhere"  # So it has connections of its own.
    there = replace(bench.workspace, root=tmp_path_factory.mktemp("elsewhere"), named_storage=url)
    there.studies.mkdir()
    there.identity_file.write_text(bench.workspace.identified())
    return there


@pytest.fixture
def driven(bench: Bench, sweep_of: SweepOf) -> Iterator[tuple[StoredStudy, list[str]]]:
    """A study in the hands of its driver, and what that is told."""
    said: list[str] = []
    sweep = sweep_of({"lr": {"low": 1e-4, "high": 0.3, "log": True}}, sampler="tpe", trials=9)
    with owned(bench.workspace, "s", say=said.append):
        study = bench.storage().open(sweep, lambda: sweep)
        study.use_sampler(sweep.search)
        yield study, said


def cut(postgres: Postgres, study: StoredStudy, *, but: int = 0) -> None:
    kill_backends(postgres, str(engine_of_study(study).url.database), but=but)


def engine_of_study(study: StoredStudy) -> Any:
    writer: Any = study._storage._writer  # type: ignore[union-attr]
    assert isinstance(writer, Writer)
    return writer._engine


@on_postgres
def test_a_study_has_one_driver_whatever_the_host(
    bench: Bench, elsewhere: Workspace, driven: tuple[StoredStudy, list[str]]
) -> None:
    """A second driver is refused and told of the first; so is who would remove trainings. Readers see from everywhere
    which trials are being trained, and nothing of a driver that has gone.
    """
    study, _ = driven
    Attendance(Path(), held=study.held).say([4, 2])
    named = f"'s' is already being run on {platform.node()} by process {os.getpid()} since 20"
    with pytest.raises(StudyError, match=named), owned(elsewhere, "s"):
        pass
    with pytest.raises(StudyError, match=named), sole_store(elsewhere):
        pass
    assert is_owned(elsewhere, "s")
    assert not is_owned(elsewhere, "another")
    wait_until(lambda: running_trials(elsewhere, "s") == {2, 4}, "the trials are said")
    with owned(elsewhere, "another"), shared_store(elsewhere):
        assert is_owned(bench.workspace, "another")
    assert not is_owned(bench.workspace, "another")
    assert study.held is not None
    study.held.release()
    assert running_trials(elsewhere, "s") == frozenset()


@on_postgres
def test_a_study_is_of_one_workspace(bench: Bench, elsewhere: Workspace, sweep_of: SweepOf) -> None:
    """Two workspaces can keep studies in one database; a study is continued where its trainings are."""
    sweep = sweep_of({"lr": [0.1, 0.2]}, study="mine")
    bench.storage().open(sweep, lambda: sweep)
    StudyStorage(elsewhere).open(sweep, lambda: sweep)  # The same one, seen from another host.
    elsewhere.identity_file.write_text("another")
    with pytest.raises(
        StudyError, match=r"'mine' in .* must be continued in the workspace of its trainings; got another"
    ):
        StudyStorage(elsewhere).open(sweep, lambda: sweep)


@on_postgres
def test_trainings_are_removed_by_one_who_is_alone_on_all_hosts(bench: Bench, elsewhere: Workspace) -> None:
    """Whoever needs them waits, on another host too; and while anybody does, nobody may remove any."""
    said: list[str] = []

    def stop() -> None:
        raise InterruptedError

    waiting = shared_store(bench.workspace, on_wait=said.append, between=stop)
    with sole_store(elsewhere), pytest.raises(InterruptedError), waiting:
        pass
    assert said == ["waiting until trainings have been removed, from another host"]
    with shared_store(bench.workspace), pytest.raises(StudyError, match="a promotion"), sole_store(elsewhere):
        pass


@on_both
def test_a_file_system_without_locks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in one line where its locks are all there is, and does no harm where PostgreSQL has them."""

    def flock(_descriptor: int, _kind: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    if bench.workspace.on_server:
        with owned(bench.workspace, "s"):
            assert is_owned(bench.workspace, "s")
    else:
        with pytest.raises(WorkspaceError, match="must have locks; got Function not implemented"):
            owned(bench.workspace, "s").__enter__()


@on_postgres
def test_a_driver_whose_connections_are_cut_goes_on(
    elsewhere: Workspace, driven: tuple[StoredStudy, list[str]], postgres: Postgres
) -> None:
    """It takes its lock again, writes what it had to write, and says so; nobody can take the study from it."""
    study, said = driven
    sweep = study.sweep
    with engine_of_study(study).connect() as connection:  # A session that is lost half way is given up by the server.
        assert ask(connection, "SHOW idle_in_transaction_session_timeout") == "1min"
    study.ask(sweep.search)
    cut(postgres, study)
    study.tell(0, DONE)
    cut(postgres, study)
    study.pin("x", {"sha256": "y"})
    assert study.ask(sweep.search).number == 1
    assert StudyStorage(elsewhere).load("s").trials() == study.trials()
    assert StudyStorage(elsewhere).load("s").pins == {"x": {"sha256": "y"}}
    held = study.held
    assert held is not None
    held.say([1])  # So that its heart beats now.
    wait_until(held._answers, "the lock is held again")
    with pytest.raises(StudyError, match="already being run"), owned(elsewhere, "s"):
        pass
    assert all("is back after" in line or "does not answer" in line for line in said)


@on_postgres
@pytest.mark.parametrize("committed", [True, False])
def test_what_may_have_been_written_is_written_once(
    elsewhere: Workspace, driven: tuple[StoredStudy, list[str]], postgres: Postgres, *, committed: bool
) -> None:
    """Where the connection is lost at the commit, nobody knows whether that was done: a trial is begun and ended once,
    either way.
    """
    study, said = driven
    sweep, lost = study.sweep, list[int]()

    def lose(connection: Any) -> None:
        if lost:
            raw = connection.connection.driver_connection
            if committed:
                raw.commit()
            pid = raw.info.backend_pid
            lost.clear()
            postgres.execute(f"SELECT pg_terminate_backend({pid})")
            with pytest.raises(psycopg.Error):
                raw.execute("SELECT 1")

    event.listen(engine_of_study(study), "commit", lose)
    lost.append(1)
    assert study.ask(sweep.search).number == 0
    lost.append(1)
    ended = study.tell(0, DONE)
    assert not lost
    assert study.ask(sweep.search).number == 1
    kept = StudyStorage(elsewhere).load("s").trials()
    assert kept == study.trials()
    assert [(trial.number, trial.state) for trial in kept] == [(0, "complete"), (1, "waiting")]
    assert kept[0] == ended
    assert any("does not answer" in line for line in said)
    assert any("is back after" in line for line in said)


@on_postgres
def test_a_driver_that_was_replaced_writes_nothing_more(
    elsewhere: Workspace, driven: tuple[StoredStudy, list[str]], postgres: Postgres
) -> None:
    """If another one has taken the study while the first was cut off, the first one ends, and leaves it as it is."""
    study, _ = driven
    study.ask(study.sweep.search)
    held = study.held
    assert held is not None
    with held._mutex:  # So long its heart does not beat.
        cut(postgres, study)
        with owned(elsewhere, "s"):
            with pytest.raises(StudyError, match="another one that took it"):
                study.tell(0, DONE)
            with pytest.raises(StudyError, match="another one that took it"):
                Attendance(Path(), held=held).say([0])
            assert [trial.state for trial in StudyStorage(elsewhere).load("s").trials()] == ["waiting"]


@on_postgres
def test_a_former_session_of_ones_own_is_no_other_driver(
    driven: tuple[StoredStudy, list[str]], bench: Bench, postgres: Postgres
) -> None:
    """Where a network was cut, the server may hold the lock for a session at whose other end nobody is: the driver has
    that ended, and goes on.
    """
    study, _ = driven
    study.ask(study.sweep.search)
    held, server = study.held, server_module.server_of(bench.workspace)
    assert held is not None
    assert server is not None
    with held._mutex, closing(server.connect()) as former:
        cut(postgres, study, but=(pid := int(ask(former, "SELECT pg_backend_pid()"))))
        assert server.tries(former, server.key_of("study", "s"))
        held._backend = pid
        event.listen(engine_of_study(study), "begin", once := Once(postgres), once=True)
        assert study.tell(0, DONE).state == "complete"
        assert once.done
        assert not answers(former)
    assert server.is_held("s")


class Once:
    """Cuts the connection of a transaction as it begins."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.done = False

    def __call__(self, connection: Any) -> None:
        self.done = True
        pid = connection.connection.driver_connection.info.backend_pid
        self._postgres.execute(f"SELECT pg_terminate_backend({pid})")


def test_a_server_that_stays_away_ends_a_sweep(tmp_path: Path, sweep_of: SweepOf, postgres: Postgres) -> None:
    """It ends with one line after the time that the settings give, and nothing is lost: once the server is back, the
    same sweep goes on. Reading says in one line that it is away.
    """
    server = own_postgres(postgres)
    url, said = server.new_url(), list[str]()
    (tmp_path / SETTINGS_FILE).write_text(f"storage: {url}\nstorage_wait_s: 1\n")
    workspace, sweep = Workspace.at(tmp_path), sweep_of({"lr": [0.1, 0.01]})
    with owned(workspace, "s", say=said.append):
        study = StudyStorage(workspace).open(sweep, lambda: sweep)
        study.add({"lr": 0.1}, sweep.search)
        server.stop("immediate")
        with pytest.raises(WorkspaceError, match=r"got nothing for 1 s .* continues where it stopped") as away:
            study.tell(0, DONE)
    assert "\n" not in str(away.value)
    assert len(said) == 1
    with pytest.raises(WorkspaceError, match="must answer; got connection to server"):
        StudyStorage(workspace).names()
    server.start()
    with owned(workspace, "s"):
        study = StudyStorage(workspace).open(sweep, lambda: sweep)
        assert [trial.state for trial in study.trials()] == ["waiting"]
        assert study.tell(0, DONE).state == "complete"
    server.stop("immediate")


def told(*words: str) -> str:
    """What `deepcolor studies` says when it fails."""
    console.settings = console.Settings()
    done = CliRunner().invoke(app, ["studies", *words])
    assert isinstance(done.exception, DeepcolorError), done.output
    return str(done.exception)


def test_a_database_that_cannot_be_used_is_one_line(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, none, a missing database, a missing right and a missing package: each is one line with what to
    do, and none of them shows a password. The right one is taken from the environment.
    """
    monkeypatch.setattr(server_module, "_servers", {})
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    database, place = postgres.new_database(), ["-w", str(tmp_path)]
    url = postgres.by_port(database)
    lines = [
        (wrong := told(*place, "--storage", postgres.by_port(database, password="wr0ng-one"))),
        (none := told(*place, "--storage", url)),
        (missing := told(*place, "--storage", postgres.url("nowhere"))),
    ]
    assert "PGPASSWORD" in wrong
    assert "PGPASSWORD" in none
    assert "createdb" in missing
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("DEEPCOLOR_STORAGE", url)
    console.settings = console.Settings()
    assert CliRunner().invoke(app, ["studies", *place]).exit_code == 0
    bare = postgres.new_database(bare=True)
    postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=bare)
    with pytest.raises(WorkspaceError) as refused, owned(Workspace.at(tmp_path, storage=postgres.by_port(bare)), "s"):
        pass
    lines.append(str(refused.value))
    assert "GRANT" in lines[-1]
    monkeypatch.setattr(server_module, "_servers", {})
    monkeypatch.setattr(server_module, "find_spec", lambda _: None)
    lines.append(told(*place))
    assert "pip install 'deepcolor[postgres]'" in lines[-1]
    assert all("wr0ng" not in line and PASSWORD not in line and "\n" not in line for line in lines), lines


@on_postgres
def test_a_sweep_on_postgresql_is_the_one_on_sqlite(
    bench: Bench, sweep_of: SweepOf, tmp_path: Path, no_pictures: None
) -> None:
    """A driver gives the same trials with the same values on both, goes on, and lets the study grow."""
    sweep = sweep_of({"lr": {"low": 1e-3, "high": 0.1, "log": True}}, sampler="tpe", trials=6)
    on_file = Bench(Workspace.at(tmp_path / "file").create(), Memory())
    assert bench.run(sweep).complete == on_file.run(sweep).complete == 6
    found = [[(t.number, t.params, t.value) for t in each.storage().load("s").trials()] for each in (bench, on_file)]
    assert found[0] == found[1]
    grown = sweep_of({"lr": {"low": 1e-3, "high": 0.2, "log": True}}, sampler="tpe", trials=8)
    assert bench.run(grown, extend=True).complete == 8
    assert bench.run(grown).trained_now == 0
    opened = open_study("s", workspace=bench.workspace.root, storage=bench.workspace.storage)
    assert len(opened.trials()) == 8
