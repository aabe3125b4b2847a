"""What is said of a tracking server that does not take what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deepcolor.tracking.store import first_line, prepare_environment

FILE = "/api/2.0/mlflow-artifacts/artifacts/1/ab/artifacts/metrics.json"
FULL = "the server's log says why: its disk may be full"


@contextmanager
def server(*, answers: bool) -> Iterator[str]:
    """A server that fails with 500, or hangs up, as MLflow's does when it cannot write a file."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if answers:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(500)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def said_of(url: str, path: str) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import MlflowHostCreds, http_request

    prepare_environment()
    with pytest.raises(MlflowException) as refused:
        http_request(MlflowHostCreds(url), path, "PUT", data=b"content")  # type: ignore[no-untyped-call]
    return first_line(refused.value)


@pytest.mark.parametrize("answers", [True, False])
def test_a_server_that_cannot_keep_a_file_is_told_from_one_that_is_away(answers: bool) -> None:
    """The line names the file and the likely reason; of other requests, and of a server that does not run, it says in a
    few words what the network said, and nothing of disks.
    """
    with server(answers=answers) as url:
        for_file, for_run = said_of(url, FILE), said_of(url, "/api/2.0/mlflow/runs/create")
    assert for_file == f"{for_run}, to metrics.json; {FULL}"
    assert for_run in ("too many 500 error responses", "Remote end closed connection without response")
    assert said_of(url, FILE) == "[Errno 111] Connection refused"
