"""PostgreSQL servers that answer, and do not do what they are asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from deepcolor.settings import SETTINGS_FILE
from tests.needs import SMALL_DISK
from tests.postgres import Postgres, kill_backends
from tests.reliability.conftest import FORMULA_GRID, POINTS, Place
from tests.reliability.processes import Faults, wait_until

SERIAL = ("--executor", "serial")
SLOW = Faults(environment={"TRIVIAL_EPOCH_S": "0.1"})
MANY = """
study: many
stage: regressor
data: {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}
search: {sampler: random, trials: 400, space: {lr: {low: 1.0e-4, high: 0.1, log: true}, epochs: [2, 3]}}
"""
"""More than fits into the pages that a database has already got."""


def complete(server: Postgres, database: str) -> int:
    return int(server.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'", database=database)[0][0])


def refused(place: Place, name: str) -> str:
    """What a sweep that cannot begin says: one line."""
    said = place.start("sweep", name, *SERIAL).ends(2)
    assert said.count("\n") == 1, said
    return said


def test_a_database_that_can_only_be_read(place: Place, postgres: Postgres) -> None:
    """From the middle of a sweep on, as after a switch to a standby, and from the start: one line says so, and the same
    command goes on once it can be written to.
    """
    database = postgres.new_database()
    place.write(SETTINGS_FILE, f"storage: {postgres.url(database)}\n")
    place.write("grid.yaml", FORMULA_GRID.format(study="grid"))
    read_only = f"ALTER DATABASE {database} SET default_transaction_read_only = "
    sweep = place.start("sweep", "grid.yaml", *SERIAL, faults=SLOW)
    wait_until(lambda: complete(postgres, database) > 0, "a trial is complete")
    postgres.execute(read_only + "on")
    kill_backends(postgres, database)
    for said in (sweep.ends(2).splitlines()[-1], refused(place, "grid.yaml")):
        assert "must take what is written; got cannot execute" in said
        assert "Name the primary server" in said
    postgres.execute(read_only + "off")
    place.start("sweep", "grid.yaml", *SERIAL).ends(0)
    assert complete(postgres, database) == POINTS


@pytest.fixture
def small(postgres: Postgres) -> Iterator[str]:
    """A database on a disk that can be filled."""
    if os.geteuid() != 0:
        SMALL_DISK.lacking()
    disk = postgres.folder / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", disk], check=True)
    shutil.chown(disk, "postgres", "postgres")
    try:
        postgres.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        database = postgres.new_database()
        postgres.execute(f"ALTER DATABASE {database} SET TABLESPACE small")
        yield database
        postgres.execute(f"DROP DATABASE {database} (FORCE)")
        postgres.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_server_without_room(place: Place, postgres: Postgres, small: str) -> None:
    """A disk that is full from the middle of a sweep on ends it with one line that says where, and the study goes on
    once there is room.
    """
    place.write(SETTINGS_FILE, f"storage: {postgres.url(small)}\n")
    place.write("many.yaml", MANY)
    sweep = place.start("sweep", "many.yaml", *SERIAL, faults=SLOW)
    wait_until(lambda: complete(postgres, small) > 0, "a trial is complete")
    postgres.execute("CREATE TABLE filler (what text)", database=small)
    for rows in (2000, 100, 1):
        with suppress(psycopg.errors.DiskFull):
            while True:
                fill = f"INSERT INTO filler SELECT repeat('x', 2000) FROM generate_series(1, {rows})"
                postgres.execute(fill, database=small)
    said = sweep.ends(2).splitlines()[-1]
    assert "must have room; got could not extend file" in said
    assert "No space left on device" in said
    assert "Free disk space on its host" in said
    before = complete(postgres, small)
    postgres.execute("DROP TABLE filler", database=small)
    again = place.start("sweep", "many.yaml", *SERIAL, "--json", "-o", f"search.trials={before + 5}", "--extend")
    again.ends(0)
    assert complete(postgres, small) == before + 5
