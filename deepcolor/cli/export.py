"""`deepcolor export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

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
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.workspace import Workspace


def export(
    model: Annotated[str, typer.Argument(help="STAGE@ALIAS, STAGE@VERSION, or a model folder.", show_default=False)],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="ONNX file to write.", show_default=False)],
    int8: Annotated[bool, typer.Option("--int8", help="Compute in 8 bits: a smaller file, other colours.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Prepared data set: training pictures give the ranges of 8 bits, validation pictures are compared on.",
            show_default="drawn faces and fruit",
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a model as an ONNX file, for browsers, phones and other languages (docs/onnx.md).

    The file takes lightness and gives a* and b*, as its metadata says; height and width may be any multiples of 64. It
    is compared with the model before it is written: in float it must give the same colours, in 8 bits it is said how
    far they are from them. Calibrate 8 bits on pictures like those to come: --data.

    [bold]Examples[/bold]

      deepcolor export colorizer@champion --onnx colorizer.onnx

      deepcolor export colorizer@champion --onnx colorizer-int8.onnx --int8 --data faces
    """
    from deepcolor.app.export import export_model

    place = Workspace.at(workspace)
    made = export_model(
        model,
        to=onnx,
        workspace=place,
        tracking_uri=tracking_uri(place, tracking),
        int8=int8,
        data=data,
        reporter=ConsoleReporter(),
    )
    compared = made.compared
    told = [
        f"{model} is in {onnx}",
        f"{len(made.content) / 1000:,.0f} kB, {'8 bits' if made.int8 else 'float'}",
        f"height and width {'any multiples of 64' if made.any_size else made.size_px} px",
    ]
    if made.int8:
        near = f"{compared.psnr_db:.1f} dB from the model's own ({compared.lowest_psnr_db:.1f} dB at worst)"
        beside = f"beside the originals {compared.file_psnr_db:.2f} dB, the model {compared.own_psnr_db:.2f} dB"
        told.append(f"its pictures are {near}; {beside}")
    else:
        told.append(f"a* and b* differ from the model's by at most {compared.largest_ab:.2g}")
    console.result(
        f"{told[0]} ({told[1]}): {'; '.join(told[2:])}",
        {
            "file": str(onnx),
            "model": model,
            "bytes": len(made.content),
            "int8": made.int8,
            "any_size": made.any_size,
            "size_px": made.size_px,
            "compared": asdict(compared),
        },
    )
