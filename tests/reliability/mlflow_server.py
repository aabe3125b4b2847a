"""A real MLflow server that can be made to misbehave: it answers, answers 500, or does not answer at all."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.reliability.processes import Command, start_call, wait_until

MODES = ("ok", "500", "hang")
MODE_FILE, ANSWERED_FILE, CREDENTIALS_FILE = "mode", "answered", "credentials"


class Server:
    """One server on a port of its own; its database outlives it."""

    def __init__(self, folder: Path, *, database: Path, credentials: str | None = None) -> None:
        """Do not start it yet.

        Args:
            folder: Of its own.
            database: An empty one to copy.
            credentials: `user:password`, asked for in HTTP's basic way.
        """
        self.folder = folder
        folder.mkdir()
        shutil.copy(database, folder / "mlflow.db")
        if credentials is not None:
            expected = f"Basic {base64.b64encode(credentials.encode()).decode()}"
            (folder / CREDENTIALS_FILE).write_text(hashlib.sha256(expected.encode()).hexdigest())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._command: Command | None = None
        self.behave("ok")

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def answered(self) -> int:
        """Requests it has answered in mode `ok`."""
        path = self.folder / ANSWERED_FILE
        return path.stat().st_size if path.exists() else 0

    def behave(self, mode: str) -> None:
        """Answer like this from the next request on."""
        assert mode in MODES
        (self.folder / "next").write_text(mode)
        (self.folder / "next").replace(self.folder / MODE_FILE)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._command = start_call(serve, self.port, folder=self.folder)
        wait_until(self._listens, "the server listens")

    def stop(self) -> None:
        """Kill it."""
        if self._command is not None:
            self._command.process.kill()
            self._command.process.join()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def serve(port: int) -> None:
    """Serve MLflow from the present folder, in the mood that its file `mode` says."""
    here = Path.cwd()
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{here / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(here / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    from mlflow.server import app
    from werkzeug.serving import make_server

    def moody(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        while (mode := (here / MODE_FILE).read_text()) == "hang":
            time.sleep(0.05)
        if mode == "500":
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"no"]
        authorization = hashlib.sha256(environ.get("HTTP_AUTHORIZATION", "").encode()).hexdigest()
        if (here / CREDENTIALS_FILE).exists() and authorization != (here / CREDENTIALS_FILE).read_text():
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="mlflow"')])
            return [b"who are you?"]
        with (here / ANSWERED_FILE).open("a") as count:
            count.write(".")
        return app(environ, start_response)

    make_server("127.0.0.1", port, moody, threaded=True).serve_forever()
