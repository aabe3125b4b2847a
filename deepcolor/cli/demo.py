"""`deepcolor demo`: the pipeline on drawn pictures, then pictures nobody has trained on, coloured."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from deepcolor.app.demo import PICTURES, run_demo
from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    ExecutorOption,
    JsonOption,
    QuietOption,
    WorkersOption,
    WorkspaceOption,
    in_workspace,
    tracking_uri,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.words import duration
from deepcolor.workspace import Workspace


def demo(
    pictures: Annotated[int, typer.Option("--pictures", min=60, help="Pictures to draw of each kind.")] = PICTURES,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the whole way on drawn pictures: search, track, promote, fine-tune, colour. Needs no photos and no GPU.

    [bold]Examples[/bold]

      deepcolor demo --workspace demo
    """
    from deepcolor.app.how import How
    from deepcolor.cli.pipeline import reference, show_pipeline

    place = Workspace.at(workspace)
    command = shlex.join(["deepcolor", "demo", "--workspace", str(workspace)])
    how = How(place, tracking_uri(place, None), executor, workers, device, command=command, reporter=ConsoleReporter())
    done = run_demo(how, pictures=pictures)
    show_pipeline(done.pipeline, done.results, place)
    if not console.settings.json:
        model = reference(done.results[-1].promotion.version)
        console.result(_farewell(done.overview, done.file, workspace, model, wall_s=done.wall_s), {})


def _farewell(overview: Path, file: Path, workspace: Path, model: str, *, wall_s: float) -> str:
    where, edited = in_workspace(workspace), shlex.quote(str(file))
    return "\n".join(
        (
            f"{console.bold('look at')}   {overview}",
            f"{console.bold('compare')}   deepcolor ui{where}",
            f"{console.bold('colour')}    deepcolor colorize PHOTO -o coloured --model {model}{where}",
            f"{console.bold('change')}    {file}, then deepcolor pipeline {edited}{where}",
            f"{console.bold('your own')}  deepcolor data prepare FOLDER --name photos{where}",
            f"The demo took {duration(wall_s)}.",
        )
    )
