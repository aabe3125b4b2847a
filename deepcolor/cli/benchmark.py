"""`deepcolor benchmark`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcolor.cli import console
from deepcolor.cli.options import HERE, DebugOption, JsonOption, QuietOption, WorkspaceOption
from deepcolor.errors import ConfigError, UserError
from deepcolor.scratch import temporary_folder
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.config.schema import DataConfig, ModelConfig
    from deepcolor.training.timing import StageTime

PICTURES = 100
DRAWN = "drawn-faces"


@dataclass(frozen=True)
class _Data:
    """What is trained on."""

    cache: Path
    config: DataConfig
    pictures: int
    drawn: bool


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
    _check(data, pictures, size_px)
    model = _model(feature_maps, growth)
    from deepcolor.memory import keep_freed_memory
    from deepcolor.training.timing import EPOCHS, time_stages, timed_devices

    keep_freed_memory()  # As a process that trains does.
    devices = timed_devices(device)
    with _data(Workspace.at(workspace), data, pictures or PICTURES, _data_config(data, size_px, copies)) as found:
        console.note(f"{_described(found)}, batches of {batch_size}, {feature_maps} feature maps ({growth})")
        times = tuple(
            time_stages(
                found.cache,
                found.config,
                model=model,
                batch_size=batch_size,
                devices=devices,
                threads=threads,
                most_s=seconds,
                on_next=lambda stage, where: console.note(f"measuring {EPOCHS} epochs of the {stage} on {where}"),
            )
        )
    _show(times, found, model=model, batch_size=batch_size)


def _check(data: str | None, pictures: int | None, size_px: int) -> None:
    if data is not None and pictures is not None:
        raise UserError(
            f"--pictures: says how many to draw, and {data!r} has its own; got --pictures {pictures}. Leave one out."
        )
    if size_px % 64:
        raise ConfigError(f"--size: must be a multiple of 64; got {size_px}. Use {64 * math.ceil(size_px / 64)}.")


def _model(feature_maps: int, growth: str) -> ModelConfig:
    from pydantic import ValidationError

    from deepcolor.config.schema import ModelConfig
    from deepcolor.fields.refusal import first_refusal

    try:
        return ModelConfig.model_validate({"feature_maps": feature_maps, "growth": growth})
    except ValidationError as error:
        raise ConfigError(f"--{first_refusal(error)}") from None


def _data_config(name: str | None, size_px: int, copies: int) -> DataConfig:
    from deepcolor.config.schema import DataConfig
    from deepcolor.training.timing import with_copies

    return DataConfig(name=name or DRAWN, size_px=size_px, augment=with_copies(copies))


@contextmanager
def _data(workspace: Workspace, name: str | None, pictures: int, config: DataConfig) -> Iterator[_Data]:
    """Decode a prepared data set, or draw pictures into a folder that goes away again."""
    from deepcolor.cli.progress import progress
    from deepcolor.data.cache.stored import ensure_cache
    from deepcolor.data.manifest import load_manifest
    from deepcolor.training.timing import draw_data

    if name is not None:
        manifest = load_manifest(workspace, name)
        with progress(f"decoding {name} at {config.size_px} px") as on_progress:
            cache = ensure_cache(workspace, manifest, config, on_progress=on_progress)
        yield _Data(cache, config, len(manifest.files), drawn=False)
        return
    with temporary_folder("benchmark") as folder:
        with progress("drawing portraits") as on_progress:
            cache = draw_data(folder, config, pictures=pictures, on_progress=on_progress)
        yield _Data(cache, config, pictures, drawn=True)


def _described(data: _Data) -> str:
    what = "drawn portraits" if data.drawn else f"pictures of {data.config.name}"
    copies = len(data.config.augment.active)
    return f"{data.pictures} {what} at {data.config.size_px} px, augmented copies of each training image: {copies}"


def _show(times: tuple[StageTime, ...], data: _Data, *, model: ModelConfig, batch_size: int) -> None:
    from deepcolor.training.timing import EPOCHS

    said: dict[str, Any] = {
        "epochs": EPOCHS,
        "data": "drawn" if data.drawn else data.config.name,
        "pictures": data.pictures,
        "size_px": data.config.size_px,
        "copies": len(data.config.augment.active),
        "batch_size": batch_size,
        "model": model.model_dump(mode="json"),
        "times": [asdict(time) for time in times],
    }
    columns = ["stage", "device", "threads", f"{EPOCHS} epochs s", "IQR s", "images/s", "runs"]
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
    title = f"{'drawn portraits' if data.drawn else data.config.name}, {data.config.size_px} px"
    console.table(title, columns, rows, numeric=columns[2:])
    if console.settings.json:
        console.result("", said)
