"""The options that mean the same in every command. Declared once, so that they read the same in every help."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcolor.cli import console
from deepcolor.data.decoding.bounds import LOCAL, MEGAPIXELS_OPTION, MEGAPIXELS_VARIABLE
from deepcolor.printable import (
    NOTIFY_OPTION,
    NOTIFY_VARIABLE,
    PASSWORD,
    TRACKING_URI,
    USERNAME,
    Guarded,
    call_tracking_uri,
    has_secret,
    note_secrets,
    resume_line,
    secrets_of_environment,
    shown_command,
    shown_uri,
    without_secrets,
)
from deepcolor.settings import SETTINGS_FILE, STORAGE_VARIABLE
from deepcolor.workspace import Workspace, check_store_uri

if TYPE_CHECKING:
    from deepcolor.app.how import Cluster, SlurmProfile
    from deepcolor.notify import Notify

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


def _set_megapixels(value: float | None) -> float | None:
    if value is not None:  # In the environment, so that child processes know it too.
        os.environ[MEGAPIXELS_VARIABLE] = f"{value:g}"
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
_NAMED_THERE = ("--also", "FROM", "TO")
"""What only the command line can name."""
_on_command_line: set[str] = set()
"""Tracking URIs that were given there, and not by a variable."""


def noted(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Take a tracking URI as it comes from the command line, or a variable; a callback of Typer's."""
    source = context.get_parameter_source(parameter.name or "")
    if value is not None:
        given_there = source is not None and source.name == "COMMANDLINE"
        (_on_command_line.add if given_there else _on_command_line.discard)(value)
    return value


TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        callback=noted,
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow server or database.",
        show_default="sqlite in mlruns/",
        rich_help_panel=COMMON,
    ),
]

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        callback=noted,
        envvar=STORAGE_VARIABLE,
        metavar="postgresql+psycopg://USER@HOST/DATABASE",
        help="Database of the studies; better said once, in the workspace's deepcolor.yaml.",
        show_default="sqlite in studies/",
        rich_help_panel=COMMON,
    ),
]

MegapixelsOption = Annotated[
    float | None,
    typer.Option(
        MEGAPIXELS_OPTION,
        min=1,
        envvar=MEGAPIXELS_VARIABLE,
        callback=_set_megapixels,
        help="Largest picture that is read; larger ones take more memory.",
        show_default=f"{LOCAL.megapixels:g}",
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
        "--executor",
        metavar="serial|local|dask|slurm|FILE.py:NAME",
        help="Train in this process, on worker processes of this machine, on a Dask cluster or in jobs of SLURM's "
        "(--cluster), or with an executor of your own (docs/extending.md).",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Worker processes.", show_default="one a GPU, or one a core")
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        help="Where to compute; auto: on all GPUs that there are, else the CPU.",
    ),
]
Bfloat16Option = Annotated[
    bool,
    typer.Option(
        "--bfloat16",
        help="Compute the network in bfloat16: nearly twice as fast where the processor knows it, a little coarser.",
    ),
]

SlotsPerGpuOption = Annotated[
    int | None, typer.Option("--slots-per-gpu", help="Trainings that share each GPU.", show_default="1")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS|slurm[:NAME]",
        help="Train on the workers of a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT, or its scheduler file (.json). "
        "Or in jobs of SLURM's, as ~/.config/deepcolor/slurm.yaml (NAME.yaml) says; see docs/cluster.md.",
    ),
]
ClusterProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--cluster-profile",
        metavar="FILE",
        help="Train in jobs of SLURM's, as this file says.",
        show_default="~/.config/deepcolor/slurm.yaml with --cluster slurm",
    ),
]
_CERTIFICATES = "Certificates of a cluster"


def _certificate(option: str, *, variable: str, meaning: str) -> Any:
    return typer.Option(
        option,
        metavar="FILE",
        envvar=variable,
        help=meaning,
        show_default="Dask's configuration",
        rich_help_panel=_CERTIFICATES,
    )


ClusterCaOption = Annotated[
    Path | None,
    _certificate("--cluster-ca", variable="DEEPCOLOR_CLUSTER_CA", meaning="Who may sign certificates (PEM)."),
]
ClusterCertOption = Annotated[
    Path | None,
    _certificate("--cluster-cert", variable="DEEPCOLOR_CLUSTER_CERT", meaning="The certificate to show (PEM)."),
]
ClusterKeyOption = Annotated[
    Path | None,
    _certificate("--cluster-key", variable="DEEPCOLOR_CLUSTER_KEY", meaning="The key of that certificate (PEM)."),
]

ServiceOption = Annotated[
    str | None,
    typer.Option(
        "--service",
        metavar="URL",
        envvar="DEEPCOLOR_SERVICE",
        help="A service elsewhere: http://HOST:PORT or https://HOST:PORT.",
        show_default="that of the workspace",
    ),
]
ServiceTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="DEEPCOLOR_TOKEN_FILE",
        help="Holds the token for it.",
        show_default="that of the workspace's service",
    ),
]

NotifyOption = Annotated[
    str | None,
    typer.Option(
        NOTIFY_OPTION,
        metavar="URL|COMMAND",
        envvar=NOTIFY_VARIABLE,
        help="Who is told of the end, with a JSON object: a POST to a webhook, or a command on its standard input.",
    ),
]

SystemMetricsOption = Annotated[
    bool | None,
    typer.Option(
        "--system-metrics/--no-system-metrics",
        help="Record how busy CPU, memory and GPU are while trainings run.",
        show_default="as deepcolor.yaml says, else they are",
    ),
]

HERE = Path()


def workspace_at(root: Path, storage: str | None) -> Workspace:
    """Return the workspace in a folder, with the database of its studies that was asked for.

    Raises:
        WorkspaceError: No studies can be kept in that.
    """
    option = STORAGE_VARIABLE if storage is not None and storage not in _on_command_line else "--storage"
    place = replace(Workspace.at(root, storage=storage), storage_option=option)
    guard_secrets(place.storage if storage is None else storage, option=option)
    return place


def on_command_line(value: str | None) -> str | None:
    """Return a storage or tracking URI if it was given there; None where a variable named it."""
    return value if value in _on_command_line else None


def with_storage(workspace: Workspace) -> str:
    """Return the options that a command needs to find the same workspace and the same studies."""
    named = workspace.named_storage
    storage = f" --storage {quote(shown_uri(named))}" if named is not None and named in _on_command_line else ""
    return in_workspace(workspace.root) + storage


def cluster_of(
    named: str | None, *, profile: Path | None, ca: Path | None, cert: Path | None, key: Path | None
) -> Cluster | SlurmProfile | None:
    """Return the cluster that the options name; None where they name none.

    Raises:
        UserError: The address, the profile or a file is wrong.
    """
    if named is None and profile is None:
        return None
    from deepcolor.app.how import cluster_at

    return cluster_at(named, profile=profile, ca=ca, cert=cert, key=key)


def notify_from(value: str | None) -> Notify | None:
    """Return who is told of the end; None: nobody.

    Raises:
        ConfigError: The option names neither a webhook nor a command.
    """
    if not value:
        return None
    from deepcolor.notify import notify_of

    by_variable = value == os.environ.get(NOTIFY_VARIABLE)
    found = notify_of(value, option=NOTIFY_VARIABLE if by_variable else NOTIFY_OPTION)
    if found.webhook and not by_variable and without_secrets(value) != value:
        console.warn(
            f"{NOTIFY_OPTION}: everyone on this machine can see the URL, in the list of processes. "
            f"Set {NOTIFY_VARIABLE} instead."
        )
    return found


def in_workspace(root: Path) -> str:
    """Return what a command needs to work in a workspace: an option, or nothing where it finds it by itself."""
    named = os.environ.get("DEEPCOLOR_WORKSPACE")
    found = Path(named) if named else HERE
    there, here = root.resolve(), Path.cwd().resolve()
    if found.resolve() == there:
        return ""
    return f" --workspace {quote(str(there.relative_to(here) if there.is_relative_to(here) else root))}"


def tracking_uri(workspace: Workspace, given: str | None) -> str:
    """Return the tracking URI asked for, else the workspace's own database.

    MLflow's own code and child processes read the same from the environment, without what must not be told.

    Raises:
        UserError: It names no store; the message says what it was given with.
    """
    by_variable = given is not None and given == os.environ.get(TRACKING_URI) and given not in _on_command_line
    option = TRACKING_URI if by_variable else "--tracking-uri"
    uri = given or workspace.settings.tracking_uri or workspace.mlflow_uri
    if not given and workspace.settings.tracking_uri:
        option = SETTINGS_FILE
    call_tracking_uri(option)
    guard_secrets(uri, option=option)
    check_store_uri(uri, option=option)
    os.environ[TRACKING_URI] = shown_uri(uri)
    return uri


def guard_secrets(uri: str, *, option: str) -> None:
    """Let nothing of a URI's secrets be printed, and warn where it was given on the command line."""
    note_secrets(uri)
    if has_secret(uri) or secrets_of_environment():
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, Guarded):
                setattr(sys, name, Guarded(stream))
    if has_secret(uri) and (uri in _on_command_line or option in _NAMED_THERE):
        better = f"{USERNAME} and {PASSWORD}" if uri.startswith(("http://", "https://")) else TRACKING_URI
        if option in {"--storage", "FROM", "TO"}:
            better = "PGPASSWORD, or write it into ~/.pgpass,"
        console.warn(
            f"{option}: everyone on this machine can see the password in it, in the list of processes. "
            f"Set {better} instead."
        )


def command_lines() -> tuple[str, str]:
    """The command as the user gave it: for a reader to run again, and for its user to continue with."""
    program = Path(sys.argv[0]).name
    arguments = ["deepcolor" if program == "__main__.py" else program, *sys.argv[1:]]
    return shown_command(arguments), resume_line(arguments)
