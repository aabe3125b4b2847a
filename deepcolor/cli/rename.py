"""`deepcolor rename`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted

if TYPE_CHECKING:
    from deepcolor.app.rename import Renamed


def rename(
    study: Annotated[
        str, typer.Argument(help="The study to rename.", show_default=False, autocompletion=completing.studies)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name it gets.", show_default=False)],
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Give a study another name: in its database, its folder, its report, and MLflow.

    Trials and trainings stay as they are, and the study goes on as if it had always been called so. Its former names
    still find it (deepcolor show OLD#3, init_from: study:OLD), and no other study can take them. A sweep file that
    begins with one is refused: write study: NEW in it. If this is interrupted, run it again.

    Nobody may be training the study meanwhile, and it must not be queued in the service.

    [bold]Examples[/bold]

      deepcolor rename tpe-regressor rates-of-spring

      deepcolor rename tpe-regressor rates-of-spring --json
    """
    from deepcolor.service.renaming import rename as rename_study

    place = workspace_at(workspace, storage)
    uri = tracking_uri(place, tracking)
    done = rename_study(place, study, new, tracking_uri=uri, reporter=ConsoleReporter())
    console.result(_said(done), done.as_dict())


def _said(done: Renamed) -> str:
    runs = done.runs
    followed = f"; {counted(runs.updated, 'run')} in MLflow updated" if runs else ""
    return f"{done.before} is called {done.study} now{followed}. In its sweep file, write study: {done.study}"
