"""`deepcolor serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    Bfloat16Option,
    DebugOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.errors import UserError
from deepcolor.serving.work import Bounds
from deepcolor.workspace import Workspace

_TOKEN = "DEEPCOLOR_SERVE_TOKEN"  # noqa: S105  # the name of a variable
_USUAL = Bounds()
_MIB = 2**20
_LIMITS = "Limits for clients"


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="STAGE@ALIAS, which is followed when it moves; STAGE@VERSION, or a model folder.",
            show_default="the champion, where one alone colours pictures",
            autocompletion=completing.models,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to serve on; 0: any.")] = 8080,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes that colour.", show_default="one a core, or four a GPU")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help="What clients must show (Authorization: Bearer TEXT); better in the variable, or a file.",
            envvar=_TOKEN,
            show_default="none",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="File with the token in its first line.", show_default="none"
        ),
    ] = None,
    max_mib: Annotated[
        int,
        typer.Option("--max-mib", min=1, max=1024, help="Most MiB of one request.", rich_help_panel=_LIMITS),
    ] = _USUAL.request_bytes // _MIB,
    max_megapixels: Annotated[
        float,
        typer.Option("--max-megapixels", min=0.01, help="Largest picture that is read.", rich_help_panel=_LIMITS),
    ] = _USUAL.megapixels,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=0.1,
            help="Seconds for a request to arrive, and for a picture to be coloured.",
            rich_help_panel=_LIMITS,
        ),
    ] = _USUAL.seconds,
    queue: Annotated[
        int,
        typer.Option(
            "--queue",
            min=1,
            max=4096,
            help="Pictures that may wait; beyond, clients are told to try again (503).",
            rich_help_panel=_LIMITS,
        ),
    ] = _USUAL.waiting,
    bfloat16: Bfloat16Option = False,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Serve a model over HTTP, with a page to try it on; Ctrl-C ends it.

    POST /colorize takes a picture file as it is, a form with several, or base64 in JSON, and gives PNG, JPEG or WebP
    back (?format=jpeg&quality=85&size=2048&saturation=1.2&flip=true&model=colorizer@2). GET /models, /healthz, /metrics
    and /openapi.json say the rest. When the alias moves to another version, the server follows within seconds, or at
    once on POST /reload; no request is lost. Votes of the page are kept in votes.csv of the workspace. docs/serving.md
    has more.

    [bold]Examples[/bold]

      deepcolor serve

      deepcolor serve colorizer@champion --port 9000

      curl --data-binary @grandma.jpg -H "Content-Type: image/jpeg" http://127.0.0.1:8080/colorize -o coloured.png

      deepcolor serve transfer@2 --host 0.0.0.0 --token-file ~/.deepcolor-token
    """
    from deepcolor.app.serve import serving

    place, reporter = Workspace.at(workspace), ConsoleReporter()
    uri = tracking_uri(place, tracking)
    bounds = Bounds(
        request_bytes=max_mib * _MIB,
        megapixels=max_megapixels,
        seconds=timeout,
        pictures=min(_USUAL.pictures, queue),
        waiting=queue,
        waiting_bytes=max(_USUAL.waiting_bytes, 2 * max_mib * _MIB),
    )
    with serving(
        model,
        workspace=place,
        tracking_uri=uri,
        host=host,
        port=port,
        workers=workers,
        device=device,
        bfloat16=bfloat16,
        token=_token(token, token_file),
        bounds=bounds,
        aloud=console.settings.debug,
        reporter=reporter,
    ) as server:
        follows = ", and what its alias moves to" if server.follows else ""
        console.result(
            f"{server.url}  {server.model}{follows}",
            {"url": server.url, "model": server.model, "follows": server.follows, "processes": server.processes},
        )
        sys.stdout.flush()
        console.note("Ctrl-C ends it")
        try:
            server.running.run()
        except KeyboardInterrupt:
            console.note("ended")


def _token(given: str | None, file: Path | None) -> str | None:
    from deepcolor.app.serve import token_of

    if given is not None and file is not None:
        raise UserError("--token: must be given without --token-file; got both. Leave one of them out.")
    if file is not None:
        return token_of(file)
    if given is not None and given != os.environ.get(_TOKEN):
        console.warn(
            "--token: everyone on this machine can see it, in the list of processes. "
            f"Set {_TOKEN}, or use --token-file, instead."
        )
    return given
