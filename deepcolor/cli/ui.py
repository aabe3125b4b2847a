"""`deepcolor ui`: MLflow's own web pages on the workspace's database, and links that open them in the right place."""

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
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.errors import StudyError, TrackingError, UserError, WorkspaceError
from deepcolor.printable import fit_to_print, shown_uri
from deepcolor.scratch import process_folder
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.tracking.store import TrackedStudy

_START_S = 90
_STOP_S = 3
_POLL_S = 0.2
_LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # to be told apart, not to be served on
_ALLOWED_HOSTS, _ALLOWED_ORIGINS = "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
"""MLflow answers 403 to any other name in a request, and blocks what a page of any other origin would search for."""
_LOG = "ui.log"


def ui(
    study: Annotated[str | None, typer.Argument(help="Open on this study.", show_default=False)] = None,
    host: Annotated[str, typer.Option("--host", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to serve on.")] = 5000,
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Serve MLflow's pages on the workspace, and print the links to its studies; Ctrl-C ends it.

    The link to a study opens its trials as one sorted table. With a server as --tracking-uri, only links are printed.

    [bold]Examples[/bold]

      deepcolor ui

      deepcolor ui report1-colorizer --port 5001

      deepcolor ui report1-colorizer --tracking-uri http://tracker:5000
    """
    place = Workspace.at(workspace)
    uri = tracking_uri(place, tracking)
    if uri.startswith(("http://", "https://")):
        base_url = shown_uri(uri)
        _print_links(base_url, _links(uri, base_url=base_url, study=study))
        return
    _check_database(uri)
    _check_port(host, port)
    base_url = f"http://{_bracketed('127.0.0.1' if host in _EVERYWHERE else host)}:{port}"
    links = _links(uri, base_url=base_url, study=study)
    if host not in _LOCAL:
        others = f" at http://{_bracketed(socket.gethostname())}:{port}" if host in _EVERYWHERE else ""
        console.warn(f"{host} is open to others{others}: who reaches port {port} can see, change and delete every run")
    try:
        with _server(uri, place, host=host, port=port) as process:
            _wait_until_up(process, base_url, place)
            _print_links(base_url, links)
            console.note("Ctrl-C ends it")
            process.wait()
    except KeyboardInterrupt:
        console.note("ended")
        return
    raise TrackingError(
        f"ui: MLflow's server must run until Ctrl-C; got exit code {process.returncode}. {_last_words(place)}"
    )


def _links(uri: str, *, base_url: str, study: str | None) -> dict[str, str]:
    """Return a link for each study, or for the one asked for; of several with one name, the newest."""
    from deepcolor.tracking.store import tracked_studies

    found: dict[str, TrackedStudy] = {each.name: each for each in tracked_studies(uri)}
    if study is None:
        return {name: each.link(base_url) for name, each in found.items()}
    if study not in found:
        near = get_close_matches(study, found, n=1, cutoff=0.5)
        known = ", ".join(found) or "none"
        raise StudyError(
            f"study: must be one that MLflow holds; got {study!r}, known: {known}. "
            + (f"Did you mean {near[0]}?" if near else "Run its sweep first.")
        )
    return {study: found[study].link(base_url)}


def _print_links(base_url: str, links: dict[str, str]) -> None:
    width = max((len(name) for name in links), default=0)
    lines = [f"{name:<{width}}  {link}" for name, link in links.items()] or [f"{base_url} (no studies yet)"]
    if console.settings.json:
        console.result("", {"url": base_url, "studies": links})
    else:
        # Not through the console: a link must not be wrapped at the edge of the terminal.
        sys.stdout.write(fit_to_print("\n".join(lines)) + "\n")
    sys.stdout.flush()


def _check_database(uri: str) -> None:
    from deepcolor.sqlite import sqlite_file

    database = sqlite_file(uri)
    if database is not None and not database.exists():
        raise WorkspaceError(
            f"ui: the workspace must hold tracked runs; got no {database}. "
            "Run a sweep first, or name another --workspace."
        )


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"ui: host and port must be free to serve on; got {host}:{port} ({error.strerror}). "
                "Choose another --port; perhaps the pages are served already."
            ) from error


@contextmanager
def _server(uri: str, place: Workspace, *, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server; however this ends, it and its workers end too."""
    with _log_file(place).open("wb") as log:
        output = None if console.settings.debug else log
        process = subprocess.Popen(
            _command(place, host=host, port=port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Not as an argument: a database's password would stand in the list of processes.
            env={**_environment(host, port), "MLFLOW_BACKEND_STORE_URI": _for_server(uri)},
            # Uvicorn imports from the folder it is started in, whatever Python is told.
            cwd=Path(Path.cwd().anchor),
            # A group of its own: Ctrl-C comes here alone, and the workers are ended with the server.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _command(place: Workspace, *, host: str, port: int) -> Sequence[str]:
    return (
        *(sys.executable, "-P", "-m", "mlflow", "server"),
        *("--default-artifact-root", place.artifacts.as_uri(), "--no-serve-artifacts"),
        *("--host", host, "--port", str(port), "--workers", "1"),
    )


def _for_server(uri: str) -> str:
    """The same store for a process in another folder; a copy of one that can only be read."""
    from deepcolor.sqlite import is_read_only, sqlite_file, sqlite_url
    from deepcolor.tracking.relocation import readable_copy

    database = sqlite_file(uri)
    if database is None:
        return uri
    if is_read_only(database):
        console.warn(f"{database} cannot be written to: what is changed in the pages is lost when they end")
        return sqlite_url(readable_copy(database))
    return sqlite_url(database)


def _log_file(place: Workspace) -> Path:
    """Where the server's words go: beside its database, or, where nothing can be written, to the temporary files."""
    return (place.mlruns if os.access(place.mlruns, os.W_OK | os.X_OK) else process_folder()) / _LOG


def _environment(host: str, port: int) -> dict[str, str]:
    """What the server is told beside its command line: whom it answers to, by the names it may be called by."""
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if host not in _LOCAL:
        named = [_bracketed(name) for name in (*_LOCAL, *_names(host))]
        with_port = [f"{name}:{port}" for name in named]
        origins = [f"http://{name}" for name in (*with_port, *(named if port == 80 else ()))]
        for variable, ours in ((_ALLOWED_HOSTS, [*named, *with_port]), (_ALLOWED_ORIGINS, origins)):
            given = os.environ.get(variable)
            settings[variable] = ",".join(dict.fromkeys([*(given.split(",") if given else ()), *ours]))
    return os.environ | settings


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _names(host: str) -> list[str]:
    """What a browser may call the server by that serves on this address."""
    if host not in _EVERYWHERE:
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


def _wait_until_up(process: subprocess.Popen[bytes], base_url: str, place: Workspace) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{base_url}/health", timeout=_POLL_S * 5):  # noqa: S310  # our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
    raise TrackingError(f"ui: MLflow's server must come up within {_START_S} s; it did not. {_last_words(place)}")


def _last_words(place: Workspace) -> str:
    log = _log_file(place)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return f"Its last words: {lines[-1].strip()[:200]} ({log})" if lines else "See it with --debug."
