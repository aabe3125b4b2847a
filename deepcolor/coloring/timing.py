"""How long each stage's training takes on each device of this machine: the one loop under torch's benchmark timer.

for each stage, for each device:
    begin a session as a segment would; a transfer from a colorizer's weights
    train five epochs once, to warm up
    train five epochs again and again, until the spread is small or the time is up
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from deepcolor import __version__
from deepcolor.coloring.session import initial_network
from deepcolor.config.schema import (
    AugmentConfig,
    DataConfig,
    InitConfig,
    ModelConfig,
    Setting,
    TrainingConfig,
)
from deepcolor.data.cache.arrays import CachedData
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.drawn import draw_set
from deepcolor.data.manifest import prepare
from deepcolor.models.description import ModelDescription
from deepcolor.models.modelfile import save_model
from deepcolor.scratch import temporary_folder
from deepcolor.stages.finding import SHIPPED
from deepcolor.training.device import pick_device, torch_set_up
from deepcolor.training.machine import cpu_name
from deepcolor.training.training import Training, job_of
from deepcolor.training.trajectory import InitWeights, Trajectory
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from torch.utils.benchmark import Timer

EPOCHS = 5
"""Epochs of one measured run, as in the course's first report."""
MOST_S = 10.0
"""Seconds of measured runs for one stage on one device, after which no other run begins."""
SPREAD = 0.05
"""Runs end sooner when the interquartile range is below this share of the median."""
MOST_COPIES = len(AugmentConfig().active)


@dataclass(frozen=True)
class StageTime:
    """What `EPOCHS` epochs of one stage take on one device."""

    stage: str
    device: str
    """`cpu` or `cuda:N`."""
    device_name: str
    threads: int
    """CPU threads of torch."""
    runs: int
    """Measured runs of `EPOCHS` epochs."""
    median_s: float
    """Seconds of `EPOCHS` epochs, validation included."""
    iqr_s: float | None
    """Interquartile range of the runs; None of a single one."""
    images_per_s: float
    """Training images, augmented copies included, through forward, backward and optimizer."""


def time_stages(
    cache: Path,
    config: DataConfig,
    *,
    model: ModelConfig,
    batch_size: int,
    devices: Sequence[str],
    threads: int = 1,
    stages: Sequence[str] = tuple(SHIPPED),
    most_s: float = MOST_S,
    on_next: Callable[[str, str], None] | None = None,
) -> Iterator[StageTime]:
    """Measure stage by stage, each on every device.

    Args:
        cache: Folder of the decoded data.
        config: What it holds.
        model: The networks' form.
        batch_size: Images a step.
        devices: `cpu` or `cuda:N` (see `timed_devices`).
        threads: CPU threads of torch, on every device.
        stages: Which of them.
        most_s: See `MOST_S`; at least one run is measured.
        on_next: Called before each measurement.
    Raises:
        DataError: The cache is missing, or holds too few pictures to train on.
    """
    for stage in stages:
        for device in devices:
            if on_next is not None:
                on_next(stage, device)
            setting = Setting(
                stage=stage,
                data=config,
                model=model,
                training=TrainingConfig(epochs=EPOCHS, batch_size=batch_size),
                init=InitConfig(),
            )
            yield _timed(setting, cache, torch.device(device), threads=threads, most_s=most_s)


def timed_devices(name: str) -> tuple[str, ...]:
    """Return the devices that `auto`, `cpu`, `cuda` or `cuda:N` stands for here.

    Args:
        name: `auto` is every GPU that torch sees and then the CPU; `cuda` is every GPU.
    Raises:
        ConfigError: The name is none of these, or torch sees no such GPU.
    """
    if name != "auto":
        pick_device(name)
    gpus = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return {"auto": (*gpus, "cpu"), "cuda": gpus}.get(name, (name,))


def draw_data(
    folder: Path, config: DataConfig, *, pictures: int, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw portraits and decode them, for measuring where there are no photos.

    Args:
        folder: An empty one; all lies below it.
        config: The form wanted.
        pictures: How many; 8 of 10 are trained on.
        on_progress: Called with (pictures drawn, all pictures).
    Returns:
        The cache's folder.
    Raises:
        DataError: There are too few pictures, or too many.
    """
    draw_set("faces", folder / "pictures", count=pictures, size_px=config.size_px, on_progress=on_progress)
    workspace = Workspace.at(folder).create()
    return ensure_cache(workspace, prepare(folder / "pictures", name=config.name, workspace=workspace), config)


def with_copies(count: int) -> AugmentConfig:
    """Return the augmentation that gives every training image `count` copies, 0 to `MOST_COPIES`."""
    return AugmentConfig().model_copy(update={name: None for name, _ in AugmentConfig().active[count:]})


def device_name(device: torch.device) -> str:
    """Return what a device is called by its maker."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def _timed(setting: Setting, cache: Path, device: torch.device, *, threads: int, most_s: float) -> StageTime:
    with (
        temporary_folder("timing") as folder,
        torch_set_up(threads=threads, reduced_precision=setting.training.reduced_precision),
        # The timer waits for the present GPU alone.
        torch.cuda.device(device) if device.type == "cuda" else nullcontext(),
    ):
        data = CachedData.open(cache, device=device)
        trajectory = _trajectory(setting, cache, folder)
        training = Training.begin(trajectory, job_of(trajectory, folder=cache, device=device))
        # To the timer, no time at all means no end.
        measured = _timer(training, threads).adaptive_autorange(
            SPREAD, min_run_time=0.0, max_run_time=max(most_s, 1e-9)
        )
    return StageTime(
        stage=setting.stage,
        device=str(device),
        device_name=device_name(device),
        threads=threads,
        runs=len(measured.times),
        median_s=measured.median,
        iqr_s=measured.iqr if len(measured.times) > 1 else None,
        images_per_s=EPOCHS * len(data.train) / measured.median,
    )


def _timer(training: Training, threads: int) -> Timer:
    """Time `EPOCHS` epochs. The timer waits for a GPU before it reads the clock, and runs once before it measures."""
    # On import it looks for a CUDA compiler, and warns where there is none; nothing is compiled here.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer

    statement = "for _ in range(epochs): training.train_epoch()"
    return Timer(statement, globals={"epochs": EPOCHS, "training": training}, num_threads=threads)


def _trajectory(setting: Setting, cache: Path, folder: Path) -> Trajectory:
    data = CachedData.open(cache)
    trajectory = Trajectory(setting, data_digest=data.digest)
    if not setting.stage_class.must_start:
        return trajectory
    colorizer = Trajectory(setting.model_copy(update={"stage": "colorizer"}), data_digest=data.digest)
    description = ModelDescription(
        stage="colorizer",
        model=setting.model,
        size_px=data.size_px,
        trajectory=colorizer.digest,
        epoch=0,  # Untrained weights cost what trained ones cost.
        data_digest=data.digest,
        deepcolor_version=__version__,
    )
    job = job_of(colorizer, folder=cache, device="cpu")
    network = initial_network(job, target="pixels", size_px=data.size_px)
    sha256 = save_model(folder / "colorizer", network, description).weights_sha256
    init = InitWeights(sha256=sha256, folder=folder / "colorizer", ref="colorizer")
    return Trajectory(setting, data_digest=data.digest, init=init)
