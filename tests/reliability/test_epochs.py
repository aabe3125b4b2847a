"""Every epoch of every trial stands in MLflow once: with worker processes, which train faster than they tell of it."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from tests.reliability.conftest import Place
from tests.reliability.processes import Faults, wait_until

WORKERS = ("--executor", "local", "--workers", "2")
METRICS = ("train/mse", "val/mse", "val/mse_a", "val/mse_b", "epoch_s")
FAST = """
study: fast
stage: regressor
data: {{name: faces, size_px: 64, augment: {{random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}}}
search:
  space:
    lr: [1e-2, 1e-3]
    epochs: {epochs}
"""


def write(place: Place, *epochs: int) -> None:
    """Write the sweep of two learning rates and these numbers of epochs."""
    place.write("fast.yaml", FAST.format(epochs=list(epochs)))


def query(place: Place, text: str, *values: Any) -> list[Any]:
    """Ask MLflow's database itself."""
    with closing(sqlite3.connect(place.root / "mlruns" / "mlflow.db", timeout=60)) as database, database:
        return database.execute(text, values).fetchall()


def live_epochs(place: Place) -> int:
    """How many epochs MLflow shows; read beside a running driver."""
    path = place.root / "mlruns" / "mlflow.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1)) as database:
            return int(database.execute("select count(*) from metrics where key = 'val/mse'").fetchone()[0])
    except sqlite3.Error:
        return 0


def assert_every_epoch_once(place: Place) -> None:
    """Each trial's one run holds its epochs from the first to its last one, each once, with the store's figures."""
    runs = dict(
        query(
            place,
            "select tags.value, run_uuid from tags join runs using (run_uuid)"
            " where key = 'deepcolor.trial' and lifecycle_stage = 'active'",
        )
    )
    trials = place.trials("fast")
    assert sorted(runs) == sorted(str(trial.number) for trial in trials)
    for trial in trials:
        assert trial.place is not None
        epochs = range(1, int(str(trial.params["epochs"])) + 1)
        for name in METRICS:
            rows = query(
                place, "select step, value from metrics where run_uuid = ? and key = ?", runs[str(trial.number)], name
            )
            assert Counter(step for step, _ in rows) == Counter(epochs), (trial.number, trial.params, name)
            if name == "val/mse":
                assert dict(rows)[max(epochs)] == trial.value


def test_epochs_faster_than_messages_are_all_there(place: Place) -> None:
    """Two workers whose epochs take no time at all, beside trials that end on the way of others: nothing is missing,
    nothing is there twice; neither after the study grew by a shorter trial on each trajectory, whose weights are
    trained anew, and by a longer one.
    """
    write(place, 40, 120)
    assert place.sweep(*WORKERS, study="fast")["complete"] == 4
    assert_every_epoch_once(place)
    write(place, 20, 40, 120, 130)
    assert place.sweep(*WORKERS, "--extend", study="fast")["trained_now"] == 2 * (20 + 10)
    assert_every_epoch_once(place)


def test_a_driver_killed_while_it_shows_a_training_leaves_no_gap(place: Place) -> None:
    """Killed with live epochs in MLflow that no checkpoint holds, and between an epoch and what is said of it: gone on
    with, every epoch is there once.
    """
    write(place, 60, 90)
    driver = place.start("sweep", "fast.yaml", *WORKERS, faults=Faults(environment={"TRIVIAL_EPOCH_S": "1"}))
    wait_until(lambda: live_epochs(place) > 3, "live epochs in MLflow")
    driver.signal(signal.SIGKILL)
    driver.ends(-signal.SIGKILL)
    assert not any(trial.finished for trial in place.trials("fast"))
    query(place, "update tags set value = '1' where key = 'deepcolor.epochs'")
    place.sweep("--executor", "serial", study="fast")
    assert_every_epoch_once(place)


def test_runs_of_an_early_release_are_made_whole(place: Place) -> None:
    """What an early release left out is added by the next start and by `sync`, and its runs with epochs too many are
    made again: with the name and the tags that people gave them. A second time changes nothing.
    """
    write(place, 4, 9)
    place.sweep("--executor", "serial", study="fast")
    assert_every_epoch_once(place)
    runs = dict(query(place, "select value, run_uuid from tags where key = 'deepcolor.trial'"))

    def spoil() -> None:
        query(place, "delete from tags where key = 'deepcolor.epochs'")
        query(place, "delete from metrics where step in (2, 3) and run_uuid = ?", runs["0"])
        query(
            place,
            "insert or replace into tags (key, value, run_uuid) values ('deepcolor.stored_epochs', '9', ?)",
            runs["0"],
        )

    def too_many(run: str) -> None:
        spoil()
        query(place, "update runs set name = 'the good one' where run_uuid = ?", run)
        query(place, "insert into tags (key, value, run_uuid) values ('seen by', 'Ada', ?)", run)
        query(
            place,
            "insert into metrics (key, value, timestamp, run_uuid, step, is_nan) values ('val/mse', 1, 1, ?, 10, 0)",
            run,
        )

    spoil()
    place.sweep("--executor", "serial", study="fast")
    assert_every_epoch_once(place)
    too_many(runs["1"])
    for counts in ({"made": 1, "updated": 3, "unchanged": 1}, {"made": 0, "updated": 0, "unchanged": 5}):
        done = json.loads(place.start("sync", "--json").ends(0).splitlines()[-1])
        assert {name: done[name] for name in counts} == counts
        assert_every_epoch_once(place)
    again = dict(query(place, "select value, run_uuid from tags where key = 'seen by' order by rowid"))
    assert again["Ada"] != runs["1"]
    assert query(place, "select name from runs where run_uuid = ?", again["Ada"]) == [("the good one",)]
