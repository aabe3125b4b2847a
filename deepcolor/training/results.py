"""What one view of a trajectory leaves behind: a model folder with its figures and pictures, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from deepcolor import __version__
from deepcolor.atomic import write_folder_atomically
from deepcolor.data.cache.arrays import CachedData
from deepcolor.models.description import ModelDescription
from deepcolor.models.modelfile import model_files
from deepcolor.models.networks import build_from
from deepcolor.training.curve import loss_curve
from deepcolor.training.figures import LOSS_FILE, METRICS_FILE, SAMPLES_FILE, THREADS
from deepcolor.training.metrics import picture_metrics
from deepcolor.training.samples import contact_sheet
from deepcolor.training.trajectory import EpochMetrics, Trajectory, View


def write_result(
    folder: Path,
    trajectory: Trajectory,
    *,
    view: View,
    history: Sequence[EpochMetrics],
    weights: Mapping[str, Tensor],
    data: CachedData,
    device: torch.device,
    threads: Sequence[int] = (),
) -> dict[str, float]:
    """Write the result folder of a view: model.safetensors, model.json, metrics.json, samples.png, loss.png.

    Args:
        folder: `TrajectoryPaths.result(view)`.
        trajectory: What was trained.
        view: Not diverged.
        history: Epochs 1 to `view.end_epoch` at least.
        weights: State of the network after `view.chosen_epoch` epochs.
        data: What it was trained on.
        device: Where the weights are measured.
        threads: The numbers of CPU threads that they were trained with.
    Returns:
        `psnr_db`, `ssim`, `colourfulness` on the validation split.
    Raises:
        OSError: The disk is full or the folder is read-only; nothing is left behind.
    """
    network = build_from(trajectory.stage, trajectory.model, data.size_px, weights=weights, device=device)
    pictures = picture_metrics(network, data.val, device=device)
    chosen = history[view.chosen_epoch - 1].metrics
    figures = {**{name.replace("/", "_"): value for name, value in chosen.items()}, **pictures}
    description = ModelDescription(
        stage=trajectory.stage,
        model=trajectory.model,
        size_px=data.size_px,
        deepcolor_version=__version__,
        trajectory=trajectory.digest,
        epoch=view.chosen_epoch,
        data_digest=trajectory.data_digest,
        parent=trajectory.init.ref if trajectory.init else None,
        metrics=figures,
    )
    measured = {"end_epoch": view.end_epoch, "chosen_epoch": view.chosen_epoch, "value": view.value, **figures}
    made = {**measured, THREADS: list(threads)}
    title = title_of(trajectory)
    files = {
        **model_files(weights, description),
        METRICS_FILE: json.dumps(made, indent=2).encode() + b"\n",
        SAMPLES_FILE: contact_sheet(network, data.val, title=f"{title}   epoch {view.chosen_epoch}"),
        LOSS_FILE: loss_curve(history, view=view, objective=trajectory.objective, title=title),
    }
    write_folder_atomically(folder, files)
    return pictures


def title_of(trajectory: Trajectory) -> str:
    """Name a setting in one line: the stage, and what differs most between trials."""
    setting = trajectory.setting
    model, training = setting.model, setting.training
    parts = [
        trajectory.stage,
        f"lr={_short(training.lr)}",
        f"wd={_short(training.weight_decay)}",
        f"fm={model.feature_maps}{' doubling' if model.growth == 'double' else ''}",
        f"batch={training.batch_size}",
        f"{training.optimizer}{' cosine' if training.lr_schedule == 'cosine' else ''}",
        *([training.loss] if training.loss != "mse" else []),
        model.output_activation
        if trajectory.stage == "regressor"
        else f"{model.hidden_activation}/{model.output_activation}",
    ]
    if model.skip_connections:
        parts.append("skip")
    if trajectory.init is not None:
        parts.append(f"from {trajectory.init.ref}{' (encoder frozen)' if setting.init.freeze == 'encoder' else ''}")
    return "  ".join([*parts, f"seed={training.seed}"])


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-")
