"""Passwords stay where they were given: a real server that asks for one, and a search through all that is left."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from deepcolor.data.drawn import draw_set
from deepcolor.printable import _known
from deepcolor.tracking import writer as writing
from deepcolor.tracking.writer import Writer
from tests.processes import launch_writer
from tests.reliability.conftest import Place
from tests.reliability.mlflow_server import Server
from tests.running import Said, run_commands

USER, PASSWORD = "alice", "sw0rd/f1sh@sea:#%?x"
WORDS = [PASSWORD, quote(PASSWORD, safe=""), "sw0rd", "f1sh", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()]
"""The password in every form in which it might be told."""
SWEEP = """
study: tiny
stage: colorizer
data: {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}
model: {feature_maps: 1}
training: {epochs: 1}
search: {space: {lr: [1e-2]}}
"""


@pytest.fixture
def server(template: Path, tmp_path: Path) -> Iterator[Server]:
    database = template / "mlruns" / "mlflow.db"
    made = Server(tmp_path / "server", database=database, credentials=f"{USER}:{PASSWORD}")
    made.start()
    yield made
    made.stop()


def assert_untold(said: list[Said], *folders: Path) -> None:
    """No form of the password is in what was said, or in any file."""
    for each in said:
        for word in WORDS:
            assert word not in each.out + each.err, (word, each)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        assert not [word for word in WORDS if word.encode() in content], file


def test_a_password_in_the_tracking_uri_is_told_to_nobody(place: Place, server: Server) -> None:
    """Every command works with it, given by option or by variable, and when it fails says nothing of it: not on the
    screen, in the workspace, in a database, or in what the server keeps.
    """
    place.write("s.yaml", SWEEP)
    uri = server.uri.replace("//", f"//{USER}:{quote(PASSWORD, safe='')}@")
    dead, slashed = uri.replace(str(server.port), "9"), server.uri.replace("//", f"//{USER}:{PASSWORD}@")
    (photo,) = map(str, draw_set("faces", place.root.parent / "photo", count=1, size_px=64, seed=1))
    to = ["--tracking-uri", uri]
    draw = ["--model", "colorizer@champion", "-o", "coloured", "--overwrite"]
    commands = [
        ["sweep", "s.yaml", "--executor", "serial", *to],
        ["sweep", "s.yaml", "--executor", "serial", "--json", f"--tracking-uri={uri}"],
        ["promote", "tiny", "--force", *to],
        ["models", *to],
        ["pull", "colorizer@champion", "-o", "pulled", *to],
        ["colorize", photo, *draw, *to],
        ["sync", "--to", uri],
        ["gc", "--also", uri],
        ["ui", "tiny", *to],
    ]
    failing = [
        ["rollback", "colorizer", *to],
        ["pull", "colorizer@9", "-o", "elsewhere", *to],
        ["models", "--tracking-uri", uri.replace(USER, "bob")],
        ["models", "--debug", "--tracking-uri", dead],
        ["sync", "--to", dead],
        ["models", "--tracking-uri", slashed],
        ["models", "--tracking-uri", f"postgresql+pg8000://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:9/x"],
        ["models", "--tracking-uri", f"mssql+nothing://h/d?password={quote(PASSWORD, safe='')}"],
    ]
    impatient = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = run_commands([*commands, *failing], folder=place.root, environment=impatient)
    assert [said.code for said in done[: len(commands)]] == [0] * len(commands), [said.err for said in done]
    assert all(said.code for said in done[len(commands) :]), done
    stranger = done[len(commands) + 2].err
    assert "401: it does not know this user and password (MLFLOW_TRACKING_USERNAME" in stranger, stranger
    for said in done:
        assert "in the list of processes" in said.err, said
    assert json.loads((place.root / "studies" / "tiny" / "start.json").read_text())["command"].endswith(server.uri)
    bare = ["models", "--tracking-uri", server.uri]
    done += run_commands([["models"]], folder=place.root, environment={"MLFLOW_TRACKING_URI": uri})
    known = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    done += run_commands([bare, ["sync", "--to", server.uri]], folder=place.root, environment=known)
    for said in done[-3:]:
        assert (said.code, said.err.count("list of processes")) == (0, 0), said
    assert_untold(done, place.root, server.folder)


def test_the_process_that_writes_is_told_in_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its arguments nor its environment, which the list of processes shows, hold a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    uri = f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(writing, "_launch", launch_writer)
    writer = Writer(uri, None)
    writer.open()
    try:
        assert writer._process is not None
        seen = Path(f"/proc/{writer._process.pid}/cmdline").read_bytes()
        seen += Path(f"/proc/{writer._process.pid}/environ").read_bytes()
    finally:
        writer.close()
        _known.clear()
    assert b"OMP" in seen or b"PATH" in seen
    assert not [word for word in WORDS if word.encode() in seen]
