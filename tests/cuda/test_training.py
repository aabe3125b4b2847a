"""Trainings on a GPU: as repeatable as on a CPU, and close to what a CPU computes."""

from __future__ import annotations

import math
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from deepcolor.coloring.measuring import measure
from deepcolor.models.description import read_description
from deepcolor.training.advance import advance
from deepcolor.training.calibration import calibrate
from deepcolor.training.checkpoint import read_history
from deepcolor.training.conditions import Conditions
from deepcolor.training.device import torch_set_up
from deepcolor.training.result_files import read_threads
from deepcolor.training.trajectory import EpochMetrics, InitWeights, Segment, TrajectoryPaths
from tests.cuda.conftest import GPU
from tests.training.conftest import Prepared
from tests.training.test_own_code import OPTIMIZERS, own  # noqa: F401  # a fixture

CASES: dict[str, dict[str, Any]] = {
    "regressor, adam": {"stage": "regressor", "weight_decay": 1e-3},
    "regressor, tanh, rmsprop, l1": {"output_activation": "tanh", "optimizer": "rmsprop", "loss": "l1"},
    "colorizer, cosine, adamw, smooth_l1": {
        "stage": "colorizer",
        "lr_schedule": "cosine",
        "optimizer": "adamw",
        "loss": "smooth_l1",
    },
    "colorizer, tanh, skip, sgd": {
        "stage": "colorizer",
        "output_activation": "tanh",
        "hidden_activation": "tanh",
        "skip_connections": True,
        "optimizer": "sgd",
    },
    "wide colorizer, skip, adam": {"stage": "colorizer", "feature_maps": 18, "skip_connections": True},
    "wide doubling regressor, sgd": {"feature_maps": 16, "growth": "double", "optimizer": "sgd"},
    "wide colorizer, mixed precision": {"stage": "colorizer", "feature_maps": 32, "mixed_precision": True},
    "transfer, frozen encoder, rmsprop": {
        "stage": "transfer",
        "init_from": "colorizer@1",
        "freeze": "encoder",
        "optimizer": "rmsprop",
    },
}
KNOWN: dict[str, Any] = {
    "stage": "colorizer",
    "encoder": "efficientnet_lite0",
    "encoder_weights": "none",
    "decoder": "bilinear",
    "decoder_width": 32,
    "skip_connections": True,
    "output_activation": "tanh",
    "output_scale": 110,
    "optimizer": "adamw",
    "loss": "smooth_l1",
    "lr_schedule": "one_cycle",
    "encoder_lr": 0.3,
    "batch_size": 5,
}
KNOWN_CASES: dict[str, dict[str, Any]] = {
    "averaged, clipped": {"ema": 0.9, "clip_norm": 1.0, "flip_at_test": True, "saturation_weight": 0.02},
    "dropout, mixed precision": {"dropout": 0.2, "mixed_precision": True},
    "bins": {"head": "bins"},
    "nearest, resnet18": {"encoder": "resnet18", "decoder": "nearest", "mixed_precision": True},
    "regressor": {"stage": "regressor", "decoder": "transposed", "decoder_width": 256, "skip_connections": False},
    "pixel mean": {"stage": "regressor", "head": "pixel_mean", "flip_at_test": True},
}
LOSS = """
import torch

class Weighted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0]))

    def forward(self, output, target):
        weight = self.weight.view(1, 2, *[1] * (output.ndim - 2)) + 0.1 * torch.rand_like(output)
        return (weight * (output - target).square()).mean()
"""
TRAIN_UNTIL_KILLED = """
import os, pickle, signal, sys
from deepcolor.training.advance import advance
def die(row):
    if row.epoch == 4: os.kill(os.getpid(), signal.SIGKILL)
advance(pickle.load(sys.stdin.buffer), die)
"""


@pytest.fixture(scope="module")
def colorizer(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> InitWeights:
    """A colorizer trained on the GPU, to start from."""
    segment = prepared.segment(tmp_path_factory.mktemp("colorizer"), stage="colorizer", to_epoch=1, device=GPU)
    outcome = advance(segment)
    assert outcome.result is not None
    return InitWeights(read_description(outcome.result).weights_sha256, outcome.result, "colorizer@1")


def numbers(history: tuple[EpochMetrics, ...]) -> list[dict[str, float]]:
    return [dict(row.metrics) for row in history]


def values(history: tuple[EpochMetrics, ...]) -> list[float]:
    return [row.metrics["val/mse"] for row in history]


def left(segment: Segment, epoch: int) -> bytes:
    """The checkpoint after an epoch: weights, optimizer, and the best weights so far."""
    return TrajectoryPaths(segment.store, segment.trajectory.digest).checkpoint(epoch).read_bytes()


def kept(segment: Segment, epoch: int) -> dict[str, Tensor]:
    """The weights and the optimizer's state after an epoch."""
    content = safetensors.torch.load(left(segment, epoch))
    return {name: value for name, value in content.items() if not name.startswith("best/")}


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_cut_gives_the_same_bytes(
    case: str, prepared: Prepared, colorizer: InitWeights, tmp_path: Path
) -> None:
    """Every stage, optimizer and loss: 0->6 at once and as 0->2->5->6 leave the same weights, state and figures."""
    options = {"device": GPU, "init": colorizer if "transfer" in case else None, **CASES[case]}
    whole = prepared.segment(tmp_path / "whole", **options)
    at_once = advance(whole)
    for cut in (prepared.segment(tmp_path / "cut", to_epoch=epoch, **options) for epoch in (2, 5, 6)):
        in_parts = advance(cut)
    assert (at_once.trained_epochs, in_parts.trained_epochs) == (6, 1)
    assert at_once.device.startswith("cuda")
    assert left(whole, 6) == left(cut, 6)
    assert numbers(at_once.history) == numbers(in_parts.history)
    assert at_once.metrics == in_parts.metrics
    assert all(map(math.isfinite, values(at_once.history)))


def test_fresh_augmentation_does_not_know_of_segments(prepared_fresh: Prepared, tmp_path: Path) -> None:
    """Copies drawn anew in every epoch are the same ones, however the training is cut."""
    whole = prepared_fresh.segment(tmp_path / "whole", to_epoch=3, device=GPU)
    advance(whole)
    for epoch in (1, 3):
        cut = prepared_fresh.segment(tmp_path / "cut", to_epoch=epoch, device=GPU)
        advance(cut)
    assert left(whole, 3) == left(cut, 3)


@pytest.mark.parametrize("case", KNOWN_CASES)
def test_a_known_encoder_is_cut_alike(case: str, prepared_geometric: Prepared, tmp_path: Path) -> None:
    """With pictures changed anew in every epoch, rates that follow the steps, averages and dropout: 0->4 at once and as
    0->1->3->4 leave the same bytes; in float32 the first epoch's figures are nearly those of a CPU.
    """
    options = {**KNOWN, "epochs": 4, "to_epoch": 4, **KNOWN_CASES[case]}
    whole = prepared_geometric.segment(tmp_path / "whole", **options, device=GPU)
    history = advance(whole).history
    assert all(map(math.isfinite, values(history)))
    for to_epoch in (1, 3, 4):
        cut = prepared_geometric.segment(tmp_path / "cut", **{**options, "to_epoch": to_epoch}, device=GPU)
        advance(cut)
    assert left(whole, 4) == left(cut, 4)
    if options.get("mixed_precision"):
        return
    on_cpu = prepared_geometric.segment(tmp_path / "cpu", **{**options, "to_epoch": 1}, device="cpu")
    assert values(history)[0] == pytest.approx(values(advance(on_cpu).history)[0], rel=0.1)


def test_a_killed_training_goes_on_to_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    """After kill -9 in the fourth epoch another process goes on from the last checkpoint to the same bytes."""
    killed = prepared.segment(
        tmp_path / "killed", stage="colorizer", feature_maps=16, checkpoint_every_s=0.0, threads=1, device=GPU
    )
    process = subprocess.run([sys.executable, "-c", TRAIN_UNTIL_KILLED], input=pickle.dumps(killed), check=False)
    assert process.returncode == -signal.SIGKILL
    assert len(read_history(TrajectoryPaths(killed.store, killed.trajectory.digest))) == 3
    assert advance(killed).trained_epochs == 3
    whole = replace(killed, store=tmp_path / "whole")
    advance(whole)
    assert left(killed, 6) == left(whole, 6)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "torch.optim:NAdam"])
@pytest.mark.parametrize(("first", "then"), [("cpu", GPU), (GPU, "cpu")])
def test_a_checkpoint_goes_on_on_another_device(
    first: str,
    then: str,
    optimizer: str,
    own: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    """What was begun on the CPU is finished on the GPU, and the other way round, to nearly what one alone gives."""
    options = {"text": OPTIMIZERS, "stage": "colorizer", "feature_maps": 16, "optimizer": optimizer}
    begun = own(tmp_path / "moved", to_epoch=3, device=first, **options)
    before = advance(begun)
    moved = own(tmp_path / "moved", to_epoch=6, device=then, **options)
    after = advance(moved)
    assert after.trained_epochs == 3
    assert numbers(after.history)[:3] == numbers(before.history)
    stayed = own(tmp_path / "stayed", to_epoch=6, device=then, **options)
    assert values(after.history) == pytest.approx(values(advance(stayed).history), rel=0.02)
    forms = [{name: (t.dtype, t.shape) for name, t in kept(each, 6).items()} for each in (moved, stayed)]
    assert forms[0] == forms[1]


def test_both_devices_start_from_the_same_weights(prepared: Prepared, tmp_path: Path) -> None:
    """At a learning rate that moves nothing, a GPU's convolutions keep to the last bit the weights of a CPU's."""
    cpu, gpu = (
        prepared.segment(tmp_path / device, stage="colorizer", feature_maps=16, to_epoch=1, lr=1e-30, device=device)
        for device in ("cpu", GPU)
    )
    advance(cpu)
    advance(gpu)
    weights = [{k: v for k, v in kept(each, 1).items() if k.endswith("conv.weight")} for each in (cpu, gpu)]
    assert len(weights[0]) == 11
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
@pytest.mark.parametrize("feature_maps", [3, 16])
def test_the_first_epoch_gives_nearly_the_figures_of_a_cpu(
    stage: str, feature_maps: int, prepared: Prepared, tmp_path: Path
) -> None:
    """Float32 is float32: without mixed precision nothing is rounded to fewer digits on the GPU."""
    cpu, gpu = (
        advance(prepared.segment(tmp_path / at, stage=stage, feature_maps=feature_maps, to_epoch=1, device=at))
        for at in ("cpu", GPU)
    )
    assert numbers(gpu.history)[0] == pytest.approx(numbers(cpu.history)[0], rel=1e-4)
    assert gpu.metrics == pytest.approx(cpu.metrics, rel=1e-2)


@pytest.mark.parametrize(("reduced", "least", "most"), [(False, 0.0, 5e-6), (True, 5e-5, 5e-3)])
def test_only_mixed_precision_rounds_the_factors_of_convolutions(reduced: bool, least: float, most: float) -> None:
    """Against double precision, a convolution is as exact as float32 is; with mixed precision it may be TF32."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(16, 64, 32, 32, generator=generator).to(GPU)
    weights = torch.randn(64, 64, 4, 4, generator=generator).to(GPU)
    exact = torch.nn.functional.conv2d(pictures.double(), weights.double(), stride=2, padding=1)
    with torch_set_up(threads=None, reduced_precision=reduced):
        got = torch.nn.functional.conv2d(pictures, weights, stride=2, padding=1)
    error = ((got - exact).norm() / exact.norm()).item()
    assert least <= error <= most, error


@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
def test_mixed_precision_trains_nearly_as_well(stage: str, prepared: Prepared, tmp_path: Path) -> None:
    """It computes something else than float32, always finite, and comes close to its figures."""
    options: dict[str, Any] = {"stage": stage, "feature_maps": 32, "skip_connections": stage == "colorizer"}
    mixed, full = (
        advance(prepared.segment(tmp_path / str(on), mixed_precision=on, to_epoch=6, device=GPU, **options))
        for on in (True, False)
    )
    assert values(mixed.history) != values(full.history)
    assert all(math.isfinite(value) for row in mixed.history for value in row.metrics.values())
    assert values(mixed.history)[0] == pytest.approx(values(full.history)[0], rel=0.1)
    assert min(values(mixed.history)) < 2 * min(values(full.history))


@pytest.mark.parametrize("optimizer", ["own.py:Noisy", "torch.optim:NAdam", "torch.optim:Adafactor", "own.py:Rprop"])
def test_a_brought_optimizer_is_cut_and_gone_on_with(
    own: Any,  # noqa: F811
    tmp_path: Path,
    optimizer: str,
) -> None:
    """All of its state goes through a checkpoint and back to the GPU, and what it draws there follows from the seed."""
    whole = own(tmp_path / "whole", text=OPTIMIZERS, optimizer=optimizer, to_epoch=4, device=GPU)
    assert all(map(math.isfinite, values(advance(whole).history)))
    for to_epoch in (1, 2, 4):
        cut = own(tmp_path / "cut", text=OPTIMIZERS, optimizer=optimizer, to_epoch=to_epoch, device=GPU)
        torch.rand(to_epoch, device=GPU)  # Whatever was drawn before.
        advance(cut)
    assert left(whole, 4) == left(cut, 4)


def test_a_brought_loss_is_computed_on_the_gpu(own: Any, tmp_path: Path) -> None:  # noqa: F811
    """A module with a buffer of its own is moved there, and what it draws follows from the seed, wherever it is cut."""
    options = {"text": LOSS, "loss": "own.py:Weighted", "stage": "colorizer", "device": GPU}
    whole = own(tmp_path / "whole", to_epoch=3, **options)
    assert math.isfinite(advance(whole).history[-1].metrics["train/loss"])
    for to_epoch in (1, 3):
        cut = own(tmp_path / "cut", to_epoch=to_epoch, **options)
        advance(cut)
    assert left(whole, 3) == left(cut, 3)


def test_data_too_large_for_the_gpu_gives_the_same_bytes(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the pictures lie on the GPU or are sent there batch by batch, the training is the same."""
    there = prepared.segment(tmp_path / "there", stage="colorizer", to_epoch=2, device=GPU)
    held = advance(there)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1000, 2000))
    sent = prepared.segment(tmp_path / "sent", stage="colorizer", to_epoch=2, device=GPU)
    assert advance(sent).metrics == held.metrics
    assert left(there, 2) == left(sent, 2)


@pytest.mark.parametrize("feature_maps", [3, 16])
def test_a_model_measures_what_its_training_recorded(prepared: Prepared, tmp_path: Path, feature_maps: int) -> None:
    """On the same GPU, to the last bit: the gate and the training see the same figures."""
    segment = prepared.segment(tmp_path, stage="colorizer", feature_maps=feature_maps, to_epoch=3, device=GPU)
    outcome = advance(segment)
    assert outcome.result is not None
    conditions = Conditions.of(segment.trajectory.setting.training, threads=read_threads(outcome.result)[-1])
    measured = measure(outcome.result, prepared.cache, split="val", device=GPU, conditions=conditions)
    assert outcome.view is not None
    assert measured.mse == outcome.history[outcome.view.chosen_epoch - 1].metrics["val/mse"]
    on_cpu = measure(outcome.result, prepared.cache, split="val", device="cpu")
    assert measured.mse == pytest.approx(on_cpu.mse, rel=1e-4)
    assert measured.ssim == pytest.approx(on_cpu.ssim, rel=1e-3)


@pytest.fixture
def _synchronisations_are_told() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("warn")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("_synchronisations_are_told")
@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_no_batch_waits_for_the_gpu(stage: str, optimizer: str, prepared: Prepared, tmp_path: Path) -> None:
    """However many batches an epoch has, the program waits for the GPU equally often: for the epoch's figures."""
    waits = []
    for batch_size in (12, 4):
        segment = prepared.segment(
            tmp_path, stage=stage, optimizer=optimizer, to_epoch=4, batch_size=batch_size, device=GPU, result=False
        )
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            advance(segment)
        waits.append(sum("synchronizing CUDA operation" in str(each.message) for each in told))
    assert waits[0] == waits[1] > 0


def test_a_calibration_measures_the_gpu(prepared: Prepared, tmp_path: Path) -> None:
    """Its figures are those of a GPU: an epoch, a start, a trial; nothing is left in the store."""
    outcome = calibrate(prepared.segment(tmp_path / "store", stage="colorizer", device=GPU))
    assert outcome.device.startswith("cuda")
    assert all(outcome.metrics[name] > 0 for name in ("epoch_s", "begin_s", "checkpoint_s", "result_s"))
    assert not (tmp_path / "store").exists()


MSE_AGAIN = "from torch.nn.functional import mse_loss"


@pytest.mark.parametrize("options", [{}, {"skip_connections": True, "mixed_precision": True}], ids=["plain", "mixed"])
@pytest.mark.parametrize("feature_maps", [3, 16])
def test_recorded_batches_give_the_same_weights(
    own: Any,  # noqa: F811
    tmp_path: Path,
    feature_maps: int,
    options: dict[str, Any],
) -> None:
    """A loss from a file is computed batch by batch, the shipped one from a recording: to the last bit the same."""
    form = {
        "stage": "colorizer",
        "feature_maps": feature_maps,
        "batch_size": 7,
        "to_epoch": 6,
        "device": GPU,
        **options,
    }
    recorded = own(tmp_path / "recorded", text=MSE_AGAIN, **form)
    plain = own(tmp_path / "plain", text=MSE_AGAIN, loss="own.py:mse_loss", **form)
    history = advance(recorded).history
    assert values(history) == values(advance(plain).history)
    weights = [kept(each, 6) for each in (recorded, plain)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("stage", ["regressor", "colorizer"])
def test_a_training_gives_its_memory_back(stage: str, prepared: Prepared, tmp_path: Path) -> None:
    """After each segment the GPU is as free as after the one before: trainings follow each other in one process."""
    taken = []
    for seed in range(4):
        advance(prepared.segment(tmp_path, stage=stage, feature_maps=64, seed=seed, to_epoch=3, device=GPU))
        taken.append(torch.cuda.memory_allocated())
    assert taken[1] == taken[2] == taken[3]
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < 2**28
