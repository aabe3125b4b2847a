from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from deepcolor.app.ending import told_of_end
from deepcolor.app.reporter import Silent
from deepcolor.errors import ConfigError, Interrupted, StudyError
from deepcolor.notify import Notify, notify_of
from deepcolor.printable import resume_line, shown_command
from tests.cli.conftest import Cli, cli, decoded, mlflow_database, ready  # noqa: F401  # fixtures

SECRET = "T012345/B678901/s3cr3tXs3cr3tX"
SWEEP = """
study: told
stage: regressor
data: {name: faces, size_px: 64}
training: {epochs: 1}
search: {space: {lr: [1.0e-3]}}
"""


@dataclass
class Hook:
    """A webhook that writes down what it is sent."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


class Warned(Silent):
    """Writes down warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize(
    ("error", "event", "message"),
    [
        (None, "done", "4 complete"),
        (StudyError("study: 'x' is not there."), "failed", "study: 'x' is not there."),
        (ZeroDivisionError("inner"), "failed", "ZeroDivisionError"),
        (Interrupted("stopped; 1 complete"), "interrupted", "stopped; 1 complete"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
)
def test_each_end_is_told_once(hook: Hook, error: BaseException | None, event: str, message: str) -> None:
    """A webhook is sent how a sweep has ended, and with what; an error goes on as it was."""

    def act() -> None:
        if error is not None:
            raise error

    told_there = told_of_end(Notify(hook.url), kind="sweep", name="s", studies=["s"], reporter=Warned())
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, told_there as ending:
        ending.message = "4 complete"
        act()
    (told,) = hook.got
    assert (told["event"], told["message"], told["kind"], told["studies"]) == (event, message, "sweep", ["s"])


def test_one_who_cannot_be_told_is_named_without_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that has ended well has, whoever could not be told; the warning says why, and nothing of the URL."""
    monkeypatch.setattr("deepcolor.app.ending._WAITS_S", (0.0,))
    warned = Warned()
    for notify in (notify_of(f"http://127.0.0.1:1/{SECRET}", option="--notify"), Notify(command=("false",))):
        with told_of_end(notify, kind="sweep", name="s", studies=["s"], reporter=warned):
            pass
    assert warned.warnings == [
        "webhook: could not be told that s is done; got Connection refused",
        "command: could not be told that s is done; got exit code 1",
    ]


def test_what_is_neither_a_webhook_nor_a_command_is_refused() -> None:
    """One line says the rule, without the URL."""
    for text, said in (
        (f"ftp://host/{SECRET}", "got ftp"),
        (f"https:///{SECRET}", "got a URL without a host"),
        ("  ", "got nothing"),
        ("mail 'open", "open quote"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            notify_of(text, option="--notify")
        assert "s3cr3t" not in str(caught.value)
    assert notify_of("mail -s 'all done'", option="--notify") == Notify(command=("mail", "-s", "all done"))


def test_who_is_told_is_no_part_of_the_command_that_is_kept() -> None:
    """What is recorded of a command, and the line that resumes it, are without the option in either form."""
    for words in (["--notify", f"https://h/{SECRET}"], [f"--notify=https://h/{SECRET}"]):
        arguments = ["deepcolor", "sweep", "x.yaml", *words, "--workers", "2"]
        assert shown_command(arguments) == resume_line(arguments) == "deepcolor sweep x.yaml --workers 2"


def test_the_end_of_a_sweep_is_told(ready: Cli, hook: Hook, tmp_path: Path) -> None:  # noqa: F811
    """A command gets the end of a sweep on its standard input, a webhook that of one that cannot begin; no file and no
    message of either holds the URL's secret.
    """
    ready.write("told.yaml", SWEEP)
    code = f"import sys; open({str(tmp_path / 'end.json')!r}, 'w').write(sys.stdin.read())"
    told = f"{quote(sys.executable)} -c {quote(code)}"
    ready.run("sweep", "told.yaml", "--executor", "serial", "--notify", told, "--quiet")
    end = json.loads((tmp_path / "end.json").read_text())
    assert (end["event"], end["name"]) == ("done", "told")
    assert end["message"].startswith("1 complete; best: trial 0, ")

    done = ready.run(
        "sweep", "told.yaml", "-o", "training.epochs=2", "--executor", "serial", "--notify", hook.url, code=2
    )
    assert [(each["event"], "has a different sweep" in each["message"]) for each in hook.got] == [("failed", True)]
    assert "everyone on this machine can see the URL" in done.stderr
    secret = SECRET.rpartition("/")[2]
    assert secret not in done.stdout + done.stderr
    files = [path for path in ready.workspace.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
