"""What deepcolor uses of MLflow's inside, there and not there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deepcolor.tracking import mlflow_private, store


@pytest.mark.parametrize("there", [True, False])
def test_a_new_database_is_as_good_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Where another MLflow has other workings, a new database says all the same that its artifacts lie beside it, and
    lets readers and the writer go on beside each other.
    """
    if not there:
        monkeypatch.setattr(mlflow_private, "ARTIFACT_ROOT", "NO_LONGER_KNOWN")
        monkeypatch.setattr(mlflow_private, "ENGINES", (lambda client: client.no_longer_there.engine,))
    monkeypatch.chdir(tmp_path)
    database = tmp_path / "mlruns" / "mlflow.db"
    client = store.open_client(f"sqlite:///{database}")
    experiment = store.ensure_experiment(client, "regressor", artifact_root=None)
    locations = [client.get_experiment(each).artifact_location for each in ("0", experiment)]
    artifacts = database.with_name("artifacts")
    assert locations == [f"{artifacts.as_uri()}/0", f"{artifacts.as_uri()}/regressor"]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
