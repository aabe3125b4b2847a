"""Measure how long the epochs of each stage take on each device of this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import ConfigError, UserError
from deepcolor.scratch import temporary_folder
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.coloring.timing import StageTime
    from deepcolor.config.schema import DataConfig, ModelConfig

PICTURES = 100
"""Portraits that are drawn where no data set is named."""
_DRAWN = "drawn-faces"


@dataclass(frozen=True)
class Benchmark:
    """What the stages took."""

    epochs: int
    """Of one measured run."""
    data: DataConfig
    """What was trained on."""
    pictures: int
    drawn: bool
    """They were drawn for this."""
    model: ModelConfig
    """The networks' form."""
    batch_size: int
    times: tuple[StageTime, ...]
    """Stage by stage, each on every device."""


def benchmark(
    workspace: Workspace,
    *,
    data: str | None = None,
    pictures: int | None = None,
    size_px: int = 128,
    copies: int = 5,
    batch_size: int = 32,
    feature_maps: int = 3,
    growth: str = "constant",
    device: str = "auto",
    threads: int = 1,
    most_s: float = 10.0,
    reporter: Reporter = SILENT,
) -> Benchmark:
    """Measure the training that a sweep does, validation included, without its checkpoints and reports.

    Args:
        workspace: Where the data set is; nothing is written there for drawn pictures.
        data: A prepared data set; None: portraits drawn for this.
        pictures: How many to draw, 20 or more; None: `PICTURES`.
        size_px: Side, a multiple of 64.
        copies: Augmented copies of each training image, 0 to 5.
        batch_size: Images a step.
        feature_maps: Width of the networks' first block.
        growth: `constant` or `double`: width of the others.
        device: `auto`: every GPU, and then the CPU too; or `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads.
        most_s: Seconds of measured runs for one stage on one device, about.
        reporter: Is told what is being measured.
    Raises:
        ConfigError: A size, a width or a device that cannot be.
        DataError: The data set is not prepared, or holds too few pictures.
        UserError: `pictures` is given beside `data`.
    """
    if data is not None and pictures is not None:
        raise UserError(
            f"--pictures: says how many to draw, and {data!r} has its own; got --pictures {pictures}. Leave one out."
        )
    if size_px % 64:
        raise ConfigError(f"--size: must be a multiple of 64; got {size_px}. Use {64 * math.ceil(size_px / 64)}.")
    model = _model(feature_maps, growth)
    from deepcolor.coloring.timing import EPOCHS, time_stages, timed_devices, with_copies
    from deepcolor.config.schema import DataConfig
    from deepcolor.memory import keep_freed_memory

    keep_freed_memory()  # As a process that trains does.
    devices = timed_devices(device)
    config = DataConfig(name=data or _DRAWN, size_px=size_px, augment=with_copies(copies))
    decoded = (
        _drawn(config, pictures or PICTURES, reporter) if data is None else _prepared(workspace, data, config, reporter)
    )
    with decoded as (cache, count):
        told = _described(config, count, drawn=data is None)
        reporter.note(f"{told}, batches of {batch_size}, {feature_maps} feature maps ({growth})")
        times = time_stages(
            cache,
            config,
            model=model,
            batch_size=batch_size,
            devices=devices,
            threads=threads,
            most_s=most_s,
            on_next=lambda stage, where: reporter.note(f"measuring {EPOCHS} epochs of the {stage} on {where}"),
        )
        return Benchmark(EPOCHS, config, count, data is None, model, batch_size, tuple(times))


def _model(feature_maps: int, growth: str) -> ModelConfig:
    from pydantic import ValidationError

    from deepcolor.config.schema import ModelConfig
    from deepcolor.fields.refusal import first_refusal

    try:
        return ModelConfig.model_validate({"feature_maps": feature_maps, "growth": growth})
    except ValidationError as error:
        raise ConfigError(f"--{first_refusal(error)}") from None


@contextmanager
def _prepared(workspace: Workspace, name: str, config: DataConfig, reporter: Reporter) -> Iterator[tuple[Path, int]]:
    """Decode a prepared data set; yield the folder, and how many pictures it holds."""
    from deepcolor.data.cache.stored import ensure_cache
    from deepcolor.data.manifest import load_manifest

    manifest = load_manifest(workspace, name)
    with reporter.progress(f"decoding {name} at {config.size_px} px") as on_progress:
        cache = ensure_cache(workspace, manifest, config, on_progress=on_progress)
    yield cache, len(manifest.files)


@contextmanager
def _drawn(config: DataConfig, pictures: int, reporter: Reporter) -> Iterator[tuple[Path, int]]:
    """Draw pictures into a folder that goes away again; yield what `_prepared` does."""
    from deepcolor.coloring.timing import draw_data

    with temporary_folder("benchmark") as folder:
        with reporter.progress("drawing portraits") as on_progress:
            cache = draw_data(folder, config, pictures=pictures, on_progress=on_progress)
        yield cache, pictures


def _described(config: DataConfig, pictures: int, *, drawn: bool) -> str:
    what = "drawn portraits" if drawn else f"pictures of {config.name}"
    copies = len(config.augment.active)
    return f"{pictures} {what} at {config.size_px} px, augmented copies of each training image: {copies}"
