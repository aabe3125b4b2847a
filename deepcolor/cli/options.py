"""The options that mean the same in every command. Declared once, so that they read the same in every help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from deepcolor.cli import console
from deepcolor.workspace import Workspace

COMMON = "Common options"


def _set_quiet(value: bool) -> bool:
    if value:
        console.settings.quiet = True
    return value


def _set_debug(value: bool) -> bool:
    if value:
        console.settings.debug = True
    return value


def _set_json(value: bool) -> bool:
    if value:
        console.settings.json = True
    return value


WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="DEEPCOLOR_WORKSPACE",
        help="Folder that holds experiments/, studies/ and mlruns/.",
        show_default="the current folder",
        rich_help_panel=COMMON,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_set_quiet, help="Print results and errors only.", rich_help_panel=COMMON),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.", rich_help_panel=COMMON)
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", callback=_set_json, help="Print the result as one JSON object.", rich_help_panel=COMMON),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow server or database.",
        show_default="sqlite in mlruns/",
        rich_help_panel=COMMON,
    ),
]

OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override", "-o", metavar="KEY=VALUE", help="Replace a value of the file; may be given several times."
    ),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor", metavar="serial|local", help="Train in this process, or on worker processes of this machine."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Worker processes.", show_default="one a GPU, or one a core")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")]

HERE = Path()


def tracking_uri(workspace: Workspace, given: str | None) -> str:
    """Return the tracking URI asked for, else the workspace's own database; child code reads the same from the
    environment.
    """
    uri = given or workspace.mlflow_uri
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return uri
