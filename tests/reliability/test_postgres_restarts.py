from __future__ import annotations

import json
from pathlib import Path

from deepcolor.search.study.storage import StudyStorage
from deepcolor.settings import SETTINGS_FILE
from deepcolor.workspace import Workspace
from tests.postgres import PASSWORD, Postgres, own_postgres
from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, wait_until
from tests.running import run_commands
from tests.search.trivial import loss

SECRETS = (PASSWORD, PASSWORD.replace(" ", "%20"))


def test_a_server_restarted_during_a_sweep_costs_nothing(place: Place, postgres: Postgres) -> None:
    """With two workers and PostgreSQL restarted in the middle, every trial is there once with the value that it has on
    SQLite, every run is whole, and a line says what happened; a second driver is refused meanwhile. The password that
    was given is in no file and no line.
    """
    server = own_postgres(postgres)
    database = server.new_database()
    place.write(SETTINGS_FILE, f"storage: {server.url(database)}\n")

    def complete() -> int:
        return int(server.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'", database=database)[0][0])

    slow = Faults(environment={"TRIVIAL_EPOCH_S": "0.4"})
    url = server.by_port(database, password=PASSWORD.replace(" ", "%20"))
    sweep = place.start("sweep", "grid.yaml", "--workers", "2", "--storage", url, faults=slow)
    wait_until(lambda: complete() >= 1, "a trial is complete")
    server.stop()
    server.start()
    refused = place.start("sweep", "grid.yaml", "--executor", "serial")
    assert "already being run" in refused.ends(2)
    text = sweep.ends(0)
    assert "the studies database is back after" in text, text
    assert not any(secret in text for secret in SECRETS)
    assert [file for file in place.root.rglob("*") if file.is_file() and _tells(file)] == []
    trials = StudyStorage(Workspace.at(place.root)).load("grid").trials()
    for trial in trials:
        lr, decay, epochs = (float(str(trial.params[name])) for name in ("lr", "weight_decay", "epochs"))
        assert trial.value == loss(lr, decay, int(epochs))
    assert server.execute("SELECT count(*) FROM trials", database=database) == [(POINTS,)]
    place.assert_whole()
    done = json.loads(place.start("sweep", "grid.yaml", "--json").ends(0).splitlines()[-1])
    assert (done["complete"], done["trained_now"], done["trained_epochs"]) == (POINTS, 0, EPOCHS)
    commands = (["studies", "grid"], ["plan", "grid.yaml"], ["sync"], ["gc"])
    said = run_commands(
        [[*words, "--json"] for words in commands], folder=place.root, environment={"PGPASSWORD": PASSWORD}
    )
    assert [one.code for one in said] == [0, 0, 0, 0], said
    assert len(json.loads(said[0].out)["trials"]) == POINTS
    server.stop("immediate")


def _tells(file: Path) -> bool:
    content = file.read_bytes()
    return any(secret.encode() in content for secret in SECRETS)
