from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor import mounts
from deepcolor.errors import WorkspaceError
from deepcolor.search.study.ownership import unkept_locks
from deepcolor.search.study.storage import StudyStorage
from deepcolor.settings import SETTINGS_FILE
from deepcolor.sqlite import journal_of
from deepcolor.workspace import Workspace

POSTGRES = "postgresql+psycopg://ann@db/deepcolor"
MOUNTS = """22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 27 0:44 / {place} rw,relatime shared:1 - {kind} server:/export rw,vers=4.2{options}
"""


def settle(folder: Path, text: str) -> Workspace:
    (folder / SETTINGS_FILE).write_text(text)
    return Workspace.at(folder)


def test_a_storage_is_named_in_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option comes before the environment, that before the workspace's settings, and those before its own file; a
    file that settings name is found from the workspace.
    """
    assert Workspace.at(tmp_path).optuna_db == tmp_path / "studies" / "optuna.db"
    place = settle(tmp_path, f"storage: {POSTGRES}\ntracking_uri: http://mlflow:5000\n")
    assert (place.storage, place.shown_storage, place.on_server) == (POSTGRES, POSTGRES, True)
    assert place.store_uri(None) == "http://mlflow:5000"
    monkeypatch.setenv("DEEPCOLOR_STORAGE", "postgres://bob:secret@db:5433/x")
    place = Workspace.at(tmp_path)
    assert place.storage == "postgresql+psycopg://bob:secret@db:5433/x"
    assert place.shown_storage == "postgresql+psycopg://db:5433/x"
    assert place.storage_to_keep == "postgresql+psycopg://bob@db:5433/x"
    assert "secret" not in repr(place)
    other = tmp_path / "other.db"
    assert Workspace.at(tmp_path, storage=f"sqlite:///{other}").optuna_db == other
    monkeypatch.delenv("DEEPCOLOR_STORAGE")
    assert settle(tmp_path, "storage: sqlite:///local/s.db").optuna_db == tmp_path / "local" / "s.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("storage: postgresql://ann:pw@db/x", "storage: must hold no password"),
        ("tracking_uri: https://ann:pw@mlflow", "MLflow's own variables"),
        ("storage: mysql://db/x", "storage: must be a database of PostgreSQL or SQLite; got mysql://db/x"),
        ("storage: postgresql://db", "USER@HOST/DATABASE"),
        (
            "storages: x",
            "sqlite_journal, storage_wait_s, mlflow_pictures, system_metrics, service; got 'storages'",
        ),
        ("sqlite_journal: of", "sqlite_journal: must be one of auto, wal, delete; got of"),
        ("system_metrics: often", "system_metrics: must be true or false; got often"),
        ("storage_wait_s: -1", "storage_wait_s: must be seconds, 0 to 86400; got -1"),
        ("mlflow_pictures: 9", "mlflow_pictures: must be a number of pictures, 0 to 8; got 9"),
        ("mlflow_pictures: true", "mlflow_pictures: must be a number of pictures, 0 to 8; got True"),
        ("- storage", "must be KEY: VALUE lines; got list"),
        ("a: [", "line 1"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    """Each names the file, and shows no password."""
    with pytest.raises(WorkspaceError) as refused:
        StudyStorage(settle(tmp_path, text))
    assert said in str(refused.value)
    assert SETTINGS_FILE in str(refused.value)
    assert ":pw" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "options", "journal", "named"),
    [
        ("ext4", "", "wal", None),
        ("nfs4", "", "delete", None),
        ("nfs", ",local_lock=all", "delete", "local_lock=all"),
        ("lustre", ",localflock", "delete", "localflock"),
        ("fuse.sshfs", "", "delete", None),
    ],
)
def test_sqlite_fits_the_file_system(  # noqa: PLR0917  # what is given, and what comes of it
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, journal: str, named: str | None
) -> None:
    """On a network file system there is no write-ahead log, one that was there goes, and locks that hold on one host
    only are named; the settings decide otherwise.
    """
    place, table = Workspace.at(tmp_path / "my work").create(), tmp_path / "mountinfo"
    StudyStorage(place)._database.open()
    table.write_text(MOUNTS.format(place=str(place.root).replace(" ", "\\040"), kind=kind, options=options))
    monkeypatch.setattr(mounts, "TABLE", table)
    assert journal_of(place.optuna_db) == journal
    said = unkept_locks(place)
    assert (named is None) == (said is None)
    assert said is None or (kind in said and str(named) in said)
    with StudyStorage(place)._database.open().engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == journal
    settle(place.root, f"sqlite_journal: {'wal' if journal == 'delete' else 'delete'}")
    assert journal_of(place.optuna_db) != journal
