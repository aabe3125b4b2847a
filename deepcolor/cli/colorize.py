"""`deepcolor colorize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    Bfloat16Option,
    DebugOption,
    DeviceOption,
    JsonOption,
    MegapixelsOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.errors import EXIT_FAILURE
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.colorize import Coloured

_SHOWN = 3


def colorize(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            autocompletion=completing.models,
            help="STAGE@ALIAS, STAGE@VERSION, or a model folder.",
            show_default="the champion, where one alone colours pictures",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    saturation: Annotated[
        float,
        typer.Option(
            "--saturation", metavar="FACTOR", help="0 leaves grey, 1 what the model says, up to 3 more colour."
        ),
    ] = 1.0,
    flip: Annotated[
        bool, typer.Option("--flip", help="Colour each picture mirrored, too, and take the mean: calmer colours.")
    ] = False,
    bfloat16: Bfloat16Option = False,
    max_megapixels: MegapixelsOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Colour pictures of any size; each keeps its own lightness at full resolution. Writes PNG.

    Folders are searched with all below them, and keep their form under OUT; where several PATHS are given, each folder
    keeps it under its own name (scans/a.jpg becomes OUT/scans/a.jpg.png). Results are named after their pictures:
    a.jpg.png for a.jpg, a.bmp.png for a.bmp, a.png for a.png; so the same command finds them again. Pictures that
    deepcolor made are passed over. Those that cannot be coloured are reported and left out; then the exit code is 1.

    Where several champions could colour (deepcolor models), name the one whose data is most like the pictures.

    [bold]Examples[/bold]

      deepcolor colorize grandma.jpg -o coloured/

      deepcolor colorize scans/ album/ -o coloured/ --model transfer@2

      deepcolor colorize scans/ -o coloured/ --model pulled/ --saturation 1.4 --flip --overwrite
    """
    from deepcolor.app.colorize import colorize_files

    coloured = colorize_files(
        paths,
        out=out,
        tracking_uri=tracking_uri(Workspace.at(workspace), tracking),
        model=model,
        overwrite=overwrite,
        device=device,
        saturation=saturation,
        flip=flip,
        bfloat16=bfloat16,
        reporter=ConsoleReporter(),
    )
    _show(coloured, out)
    if coloured.uncoloured:
        raise typer.Exit(EXIT_FAILURE)


def _show(coloured: Coloured, out: Path) -> None:
    """Print what was left alone, and what was done."""
    kept, written, uncoloured = coloured.kept, coloured.written, coloured.uncoloured
    if kept:
        shown = ", ".join(str(job.output) for job in kept[:_SHOWN])
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        console.warn(f"left alone, for they exist already: {shown}{more}. --overwrite replaces them.")
    not_done = f", {len(uncoloured)} could not be coloured" if uncoloured else ""
    using = f" with {coloured.model}" if coloured.model else ""
    console.result(
        f"{len(written)} coloured{using} into {out}{not_done}",
        {
            "model": coloured.model,
            "written": [{"picture": str(job.picture), "output": str(job.output)} for job in written],
            "unreadable": [{"picture": str(one.picture), "reason": one.reason} for one in uncoloured],
            "kept": [str(job.output) for job in kept],
        },
    )
