"""`deepcolor benchmark`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from deepcolor.app.benchmark import PICTURES, Benchmark
from deepcolor.app.benchmark import benchmark as measure
from deepcolor.cli import console
from deepcolor.cli.options import HERE, DebugOption, JsonOption, QuietOption, WorkspaceOption
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.workspace import Workspace


def benchmark(
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME", help="Prepared data set.", show_default="drawn pictures")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option("--pictures", min=20, help="Pictures to draw.", show_default=str(PICTURES))
    ] = None,
    size_px: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side in pixels, a multiple of 64.")] = 128,
    copies: Annotated[int, typer.Option("--copies", min=0, max=5, help="Augmented copies of each training image.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2, max=4096, help="Images a step.")] = 32,
    feature_maps: Annotated[
        int, typer.Option("--feature-maps", min=1, max=512, help="Width of the networks' first block.")
    ] = 3,
    growth: Annotated[str, typer.Option("--growth", metavar="constant|double", help="Width of the others.")] = (
        "constant"
    ),
    device: Annotated[
        str,
        typer.Option("--device", metavar="auto|cpu|cuda|cuda:N", help="auto: every GPU, and then the CPU too."),
    ] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Time to measure one stage on one device, about.")
    ] = 10.0,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure 5 epochs of each stage on each device of this machine.

    It is the training that a sweep does, validation included, without its checkpoints and reports, under PyTorch's
    benchmark timer: once to warm up, then again and again until the runs agree or the time is up.

    [bold]Examples[/bold]

      deepcolor benchmark

      deepcolor benchmark --data faces --feature-maps 32 --growth double

      deepcolor benchmark --device cpu --threads 2 --json
    """
    measured = measure(
        Workspace.at(workspace),
        data=data,
        pictures=pictures,
        size_px=size_px,
        copies=copies,
        batch_size=batch_size,
        feature_maps=feature_maps,
        growth=growth,
        device=device,
        threads=threads,
        most_s=seconds,
        reporter=ConsoleReporter(),
    )
    _show(measured)


def _show(measured: Benchmark) -> None:
    """Print a row for each stage on each device."""
    data, times = measured.data, measured.times
    said: dict[str, Any] = {
        "epochs": measured.epochs,
        "data": "drawn" if measured.drawn else data.name,
        "pictures": measured.pictures,
        "size_px": data.size_px,
        "copies": len(data.augment.active),
        "batch_size": measured.batch_size,
        "model": measured.model.model_dump(mode="json"),
        "times": [asdict(time) for time in times],
    }
    columns = ["stage", "device", "threads", f"{measured.epochs} epochs s", "IQR s", "images/s", "runs"]
    rows = [
        [
            time.stage,
            f"{time.device} ({time.device_name})",
            str(time.threads),
            f"{time.median_s:.3g}",
            "-" if time.iqr_s is None else f"{time.iqr_s:.2g}",
            f"{time.images_per_s:.0f}",
            str(time.runs),
        ]
        for time in times
    ]
    title = f"{'drawn portraits' if measured.drawn else data.name}, {data.size_px} px"
    console.table(title, columns, rows, numeric=columns[2:])
    if console.settings.json:
        console.result("", said)
