"""`deepcolor sync`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    COMMON,
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    StorageOption,
    WorkspaceOption,
    noted,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter

if TYPE_CHECKING:
    from deepcolor.app.sync import Synced


def sync(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Study to bring up to date.", show_default="all of them", autocompletion=completing.studies
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--tracking-uri",
            callback=noted,
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow server or database.",
            show_default="sqlite in mlruns/",
            rich_help_panel=COMMON,
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Rebuild the MLflow runs of a study, or of all, from what the workspace holds.

    After an outage, into an empty database, or into another server. What MLflow holds already is left alone, so running
    it twice changes nothing.

    [bold]Examples[/bold]

      deepcolor sync

      deepcolor sync report1-regressor

      deepcolor sync --to http://127.0.0.1:5000
    """
    place = workspace_at(workspace, storage)
    uri = tracking_uri(place, to)
    from deepcolor.app.sync import sync_studies

    _show(sync_studies(place, uri, study=study, reporter=ConsoleReporter()), uri)


def _show(done: Synced, uri: str) -> None:
    """Print what was done."""
    from deepcolor.printable import shown_uri

    data = {
        "tracking_uri": shown_uri(uri),
        **asdict(done.total),
        "studies": {name: asdict(one) for name, one in done.studies.items()},
        "skipped": done.skipped,
    }
    if done.studies or done.skipped:
        console.result(f"{done.total.sentence}, in {shown_uri(uri)}", data)
    else:
        console.result("No studies yet. Start one with: deepcolor sweep FILE", data)
