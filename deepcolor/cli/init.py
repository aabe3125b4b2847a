"""`deepcolor init`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import HERE, DebugOption, JsonOption, QuietOption, WorkspaceOption, in_workspace
from deepcolor.workspace import Workspace


def init(
    stage: Annotated[str, typer.Argument(help="regressor, colorizer or transfer.")] = "colorizer",
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME", help="A prepared data set.", show_default="the only one")
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="What to call the study.", show_default="DATA-STAGE")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A new file.", show_default="experiments/STUDY.yaml"),
    ] = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a first sweep file, commented, with sizes that fit this machine and the data set. No file is overwritten.

    [bold]Examples[/bold]

      deepcolor init colorizer --data faces

      deepcolor init transfer --data fruits -o fruits.yaml
    """
    from deepcolor.app.init import init_sweep

    place = Workspace.at(workspace)
    file = init_sweep(place, stage=stage, data=data, study=study, file=output)
    here = Path.cwd()
    shown = file.relative_to(here) if file.is_relative_to(here) else file
    where = in_workspace(place.root)
    said = f"{shown} is written; look what it costs with: deepcolor plan {quote(str(shown))}{where}"
    console.result(said, {"file": str(file)})
