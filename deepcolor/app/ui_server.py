"""MLflow's server on a database, for its pages alone: where it serves, whom it answers to, how it starts and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deepcolor.addresses import EVERYWHERE, LOOPBACK, bracketed, listening, url_here
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import TrackingError
from deepcolor.scratch import process_folder
from deepcolor.workspace import Workspace

_START_S = 90
_STOP_S = 3
_POLL_S = 0.2
_ALLOWED_HOSTS, _ALLOWED_ORIGINS = "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
"""MLflow answers 403 to any other name in a request, and blocks what a page of any other origin would search for."""
_LOG = "ui.log"


@dataclass(frozen=True)
class RunningServer:
    """A server that has come up."""

    process: subprocess.Popen[bytes]
    log: Path
    """Where it writes what it does."""

    def wait(self) -> None:
        """Wait until it ends; while all is well it never does by itself.

        Raises:
            TrackingError: It has ended.
        """
        code = self.process.wait()
        raise TrackingError(f"ui: MLflow's server must run until Ctrl-C; got exit code {code}. {_last_words(self.log)}")


@dataclass(frozen=True)
class PagesServer:
    """MLflow's server on a database, with its address; started by `running`."""

    workspace: Workspace
    """Where it keeps its log, and new artifacts."""
    tracking_uri: str = field(repr=False)  # It may hold a password.
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return url_here(self.host, self.port)

    @property
    def exposed(self) -> str:
        """What others than this machine's users could do there, and where; empty where they cannot reach it."""
        host, port = self.host, self.port
        if host in LOOPBACK:
            return ""
        others = f" at http://{bracketed(socket.gethostname())}:{port}" if host in EVERYWHERE else ""
        return f"{host} is open to others{others}: who reaches port {port} can see, change and delete every run"

    def check_address(self) -> None:
        """Raise UserError where its host and port are in use, or not of this machine."""
        listening(self.host, self.port, command="ui", perhaps="the pages are served already").close()

    @contextmanager
    def running(self, *, aloud: bool = False, reporter: Reporter = SILENT) -> Iterator[RunningServer]:
        """Run the server, which answers from the first moment on; however this ends, it and its workers end too.

        Args:
            aloud: Let it write where this process does, and not into its log.
            reporter: Is warned where the database can only be read.
        Raises:
            TrackingError: It does not come up.
        """
        log = _log_file(self.workspace)
        with log.open("wb") as written:
            output = None if aloud else written
            # Not as an argument: a database's password would stand in the list of processes.
            store = {"MLFLOW_BACKEND_STORE_URI": _for_server(self.tracking_uri, reporter)}
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(self.host, self.port) | store,
                # Uvicorn imports from the folder it is started in, whatever Python is told.
                cwd=Path(Path.cwd().anchor),
                # A group of its own: Ctrl-C comes here alone, and the workers are ended with the server.
                start_new_session=True,
            )
            try:
                _wait_until_up(process, self.url, log)
                yield RunningServer(process, log)
            finally:
                _end(process)

    def _command(self) -> Sequence[str]:
        return (
            *(sys.executable, "-P", "-m", "mlflow", "server"),
            *("--default-artifact-root", self.workspace.artifacts.as_uri(), "--no-serve-artifacts"),
            *("--host", self.host, "--port", str(self.port), "--workers", "1"),
        )


def _for_server(uri: str, reporter: Reporter) -> str:
    """The same store for a process in another folder; a copy of one that can only be read."""
    from deepcolor.sqlite import is_read_only, sqlite_file, sqlite_url
    from deepcolor.tracking.relocation import readable_copy

    database = sqlite_file(uri)
    if database is None:
        return uri
    if is_read_only(database):
        reporter.warn(f"{database} cannot be written to: what is changed in the pages is lost when they end")
        return sqlite_url(readable_copy(database))
    return sqlite_url(database)


def _log_file(place: Workspace) -> Path:
    """Where the server's words go: beside its database, or, where nothing can be written, to the temporary files."""
    return (place.mlruns if os.access(place.mlruns, os.W_OK | os.X_OK) else process_folder()) / _LOG


def _environment(host: str, port: int) -> dict[str, str]:
    """What the server is told beside its command line: whom it answers to, by the names it may be called by."""
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if host not in LOOPBACK:
        named = [bracketed(name) for name in (*LOOPBACK, *_names(host))]
        with_port = [f"{name}:{port}" for name in named]
        origins = [f"http://{name}" for name in (*with_port, *(named if port == 80 else ()))]
        for variable, ours in ((_ALLOWED_HOSTS, [*named, *with_port]), (_ALLOWED_ORIGINS, origins)):
            given = os.environ.get(variable)
            settings[variable] = ",".join(dict.fromkeys([*(given.split(",") if given else ()), *ours]))
    return os.environ | settings


def _names(host: str) -> list[str]:
    """What a browser may call the server by that serves on this address."""
    if host not in EVERYWHERE:
        return list(dict.fromkeys((host, host.lower())))
    names = [socket.gethostname(), socket.getfqdn()]
    with suppress(OSError):
        names += [str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(names[0], None)]
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Nothing is sent: the system only says which of its addresses it would use.
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            names.append(str(probe.getsockname()[0]))
    return list(dict.fromkeys((*names, *(name.lower() for name in names))))


def _end(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signum)
            process.wait(_STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=_POLL_S * 5):  # noqa: S310  # our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
    raise TrackingError(f"ui: MLflow's server must come up within {_START_S} s; it did not. {_last_words(log)}")


def _last_words(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return f"Its last words: {lines[-1].strip()[:200]} ({log})" if lines else "See it with --debug."
