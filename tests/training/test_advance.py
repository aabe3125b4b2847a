from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.config.schema import AugmentConfig
from deepcolor.errors import DataError, ModelError, SegmentError
from deepcolor.models import load_model
from deepcolor.models.description import read_description
from deepcolor.training.advance import advance
from deepcolor.training.checkpoint import read_history
from deepcolor.training.device import computes_in_bfloat16
from deepcolor.training.result_files import RESULT_FILES, read_threads
from deepcolor.training.trajectory import EpochMetrics, InitWeights, Segment, SegmentOutcome, TrajectoryPaths
from tests.reliability.processes import start_call
from tests.training.conftest import Prepared

CASES: dict[str, dict[str, Any]] = {
    "regressor": {"stage": "regressor", "optimizer": "adam", "weight_decay": 1e-3},
    "regressor, tanh, rmsprop": {"stage": "regressor", "output_activation": "tanh", "optimizer": "rmsprop"},
    "colorizer, cosine, adamw": {"stage": "colorizer", "lr_schedule": "cosine", "optimizer": "adamw"},
    "colorizer, tanh, skip, sgd": {
        "stage": "colorizer",
        "output_activation": "tanh",
        "hidden_activation": "tanh",
        "skip_connections": True,
        "optimizer": "sgd",
    },
    "wide colorizer, adam": {"stage": "colorizer", "feature_maps": 16, "optimizer": "adam"},
    "wide doubling regressor, sgd": {"stage": "regressor", "feature_maps": 16, "growth": "double", "optimizer": "sgd"},
    "wide colorizer, skip, rmsprop": {
        "stage": "colorizer",
        "feature_maps": 18,
        "skip_connections": True,
        "optimizer": "rmsprop",
        "momentum": 0.5,
    },
    "one cycle, average, dropout": {
        "stage": "colorizer",
        "decoder": "bilinear",
        "decoder_width": 16,
        "skip_connections": True,
        "output_activation": "tanh",
        "output_scale": 110.0,
        "flip_at_test": True,
        "optimizer": "adamw",
        "loss": "smooth_l1",
        "lr_schedule": "one_cycle",
        "encoder_lr": 0.2,
        "ema": 0.9,
        "clip_norm": 1.0,
        "dropout": 0.2,
        "saturation_weight": 0.1,
    },
    "mixed precision": {
        "stage": "colorizer",
        "decoder": "bilinear",
        "decoder_width": 16,
        "skip_connections": True,
        "mixed_precision": True,
        "ema": 0.9,
    },
    "bins, warm-up": {
        "stage": "colorizer",
        "decoder": "nearest",
        "decoder_width": 16,
        "head": "bins",
        "warmup_epochs": 1.5,
    },
    "transfer, frozen encoder": {"stage": "transfer", "init_from": "colorizer@1", "freeze": "encoder"},
}


@pytest.fixture(scope="module")
def colorizer(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> InitWeights:
    """A trained colorizer to start from."""
    return _trained(prepared, tmp_path_factory.mktemp("colorizer"), stage="colorizer")


@pytest.fixture(scope="module")
def regressor(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> InitWeights:
    """A trained regressor to start from."""
    return _trained(prepared, tmp_path_factory.mktemp("regressor"), stage="regressor")


def _trained(prepared: Prepared, store: Path, **options: Any) -> InitWeights:
    outcome = advance(prepared.segment(store, to_epoch=1, **options))
    assert outcome.result is not None
    return InitWeights(read_description(outcome.result).weights_sha256, outcome.result, f"{options['stage']}@1")


def _numbers(history: tuple[EpochMetrics, ...]) -> list[EpochMetrics]:
    return [replace(row, epoch_s=0.0, time_ms=0) for row in history]


def _state(segment: Segment, epoch: int = 6) -> bytes:
    return TrajectoryPaths(segment.store, segment.trajectory.digest).checkpoint(epoch).read_bytes()


def _same(one: SegmentOutcome, other: SegmentOutcome) -> bool:
    assert one.result is not None
    assert other.result is not None
    weights = [(outcome.result / "model.safetensors").read_bytes() for outcome in (one, other) if outcome.result]
    return (
        weights[0] == weights[1] and _numbers(one.history) == _numbers(other.history) and one.metrics == other.metrics
    )


@pytest.mark.parametrize("case", CASES)
def test_segments_leave_the_same_bytes(case: str, prepared: Prepared, colorizer: InitWeights, tmp_path: Path) -> None:
    """0->4 at once, or as 0->1->3->4, the second with a checkpoint after every epoch: all numbers are bit-identical."""
    options = CASES[case] | {"epochs": 4}
    options["init"] = colorizer if options["stage"] == "transfer" else None
    whole = prepared.segment(tmp_path / "whole", to_epoch=4, **options)
    at_once = advance(whole)

    for epoch, every_s in ((1, 3600.0), (3, 0.0), (4, 3600.0)):
        cut = prepared.segment(tmp_path / "cut", to_epoch=epoch, checkpoint_every_s=every_s, **options)
        in_parts = advance(cut)

    assert _same(at_once, in_parts)
    assert _state(whole, epoch=4) == _state(cut, epoch=4)
    assert (at_once.trained_epochs, in_parts.trained_epochs) == (4, 1)


def test_fresh_augmentation_does_not_know_of_segments(prepared_fresh: Prepared, tmp_path: Path) -> None:
    """Copies drawn anew in every epoch are the same ones, however the training is cut."""
    at_once = advance(prepared_fresh.segment(tmp_path / "whole", to_epoch=3))
    for epoch in (1, 3):
        in_parts = advance(prepared_fresh.segment(tmp_path / "cut", to_epoch=epoch))
    assert _same(at_once, in_parts)


def test_geometric_augmentation_does_not_know_of_segments(prepared_geometric: Prepared, tmp_path: Path) -> None:
    """Pictures that are changed anew in every epoch are changed alike, however the training is cut; the strengths are
    part of what the training is named by, though not of what its arrays are.
    """
    at_once = advance(prepared_geometric.segment(tmp_path / "whole", to_epoch=3))
    for epoch in (1, 3):
        in_parts = advance(prepared_geometric.segment(tmp_path / "cut", to_epoch=epoch))
    assert _same(at_once, in_parts)

    trajectory = prepared_geometric.segment(tmp_path).trajectory
    augment = AugmentConfig(mode="fresh", geometric=True, rotation=5.0)
    data = prepared_geometric.config.model_copy(update={"augment": augment})
    other = replace(trajectory, setting=trajectory.setting.model_copy(update={"data": data}))
    assert other.digest != trajectory.digest


def test_a_killed_training_goes_on_to_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    """After kill -9 in the fourth epoch the training goes on from the last checkpoint and ends in the same bytes."""
    killed = prepared.segment(tmp_path / "killed", stage="colorizer", checkpoint_every_s=0.0, threads=1)
    start_call(advance, killed, die_in_the_fourth, folder=tmp_path).ends(-signal.SIGKILL)
    assert len(read_history(TrajectoryPaths(killed.store, killed.trajectory.digest))) == 3

    resumed = advance(killed)

    whole = replace(killed, store=tmp_path / "whole")
    assert resumed.trained_epochs == 3
    assert _same(advance(whole), resumed)
    assert _state(whole) == _state(killed)


def die_in_the_fourth(row: EpochMetrics) -> None:
    """Kill the process that tells of its fourth epoch."""
    if row.epoch == 4:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_finished_segment_trains_nothing(prepared: Prepared, tmp_path: Path) -> None:
    """The same segment again gives the same outcome, 0 epochs trained, and the same result folder untouched."""
    segment = prepared.segment(tmp_path, to_epoch=3)
    first = advance(segment)
    assert first.result is not None
    stamp = (first.result / "metrics.json").stat().st_mtime_ns

    again = advance(segment)

    assert again.trained_epochs == 0
    assert (again.history, again.view, again.metrics) == (first.history, first.view, first.metrics)
    assert (first.result / "metrics.json").stat().st_mtime_ns == stamp


def test_the_result_folder(prepared: Prepared, tmp_path: Path) -> None:
    """A view leaves a model folder that loads, with figures and two pictures; they agree with the history."""
    outcome = advance(prepared.segment(tmp_path, stage="colorizer", to_epoch=2))
    assert outcome.result is not None
    network, description = load_model(outcome.result)
    measured = json.loads((outcome.result / "metrics.json").read_text())

    assert {path.name for path in outcome.result.iterdir()} == set(RESULT_FILES)
    assert not network.training
    assert (description.stage, description.epoch, description.trajectory) == ("colorizer", 2, outcome.digest)
    assert measured["val_mse"] == outcome.history[-1].metrics["val/mse"] == description.metrics["val_mse"]
    assert outcome.metrics == {name: measured[name] for name in PICTURE_METRICS}
    assert (outcome.result / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_result_says_with_how_many_threads_it_was_trained(prepared: Prepared, tmp_path: Path) -> None:
    """The number of threads is no part of what a training is, but its last bits depend on it: a result names every
    number that its epochs were trained with, and one that trains nothing more changes nothing.
    """
    one = advance(replace(prepared.segment(tmp_path, to_epoch=1), threads=1))
    both = advance(replace(prepared.segment(tmp_path, to_epoch=2), threads=2))
    again = advance(replace(prepared.segment(tmp_path, to_epoch=2), threads=3))
    assert one.digest == both.digest == again.digest
    assert one.result is not None
    assert both.result is not None
    assert (read_threads(one.result), read_threads(both.result), again.trained_epochs) == ((1,), (1, 2), 0)
    assert read_threads(tmp_path) == ()


def test_a_shorter_trial_finds_its_weights(prepared: Prepared, tmp_path: Path) -> None:
    """A trial of fewer epochs than the store holds gets its own weights, trained again if no checkpoint holds them."""
    advance(prepared.segment(tmp_path / "long", to_epoch=2))
    long = advance(prepared.segment(tmp_path / "long", to_epoch=6))
    held = advance(prepared.segment(tmp_path / "long", to_epoch=2))
    again = advance(prepared.segment(tmp_path / "long", to_epoch=4))
    alone = advance(prepared.segment(tmp_path / "short", to_epoch=4))

    assert (held.trained_epochs, again.trained_epochs) == (0, 2)
    assert again.history == long.history
    assert again.result is not None
    assert alone.result is not None
    assert (again.result / "model.safetensors").read_bytes() == (alone.result / "model.safetensors").read_bytes()


def test_a_lost_result_is_made_again(prepared: Prepared, tmp_path: Path) -> None:
    """Without its result folder a finished segment makes it again, from the checkpoint, and trains nothing."""
    segment = prepared.segment(tmp_path, to_epoch=2)
    first = advance(segment)
    assert first.result is not None
    before = (first.result / "model.safetensors").read_bytes()
    for path in first.result.iterdir():
        path.unlink()

    again = advance(segment)

    assert again.trained_epochs == 0
    assert again.metrics == first.metrics
    assert (first.result / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated tensors", "altered tensors", "altered record", "missing record"])
def test_a_damaged_checkpoint_is_noticed(damage: str, prepared: Prepared, tmp_path: Path) -> None:
    """A truncated or altered checkpoint is not used: the one before it is, and the training ends in the same bytes."""
    advance(prepared.segment(tmp_path / "damaged", to_epoch=2))
    advance(prepared.segment(tmp_path / "damaged", to_epoch=4))
    segment = prepared.segment(tmp_path / "damaged", to_epoch=6)
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
    tensors, record = paths.checkpoint(4), paths.record(4)
    if damage == "truncated tensors":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif damage == "altered tensors":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif damage == "altered record":
        record.write_text(record.read_text().replace('"best_epoch": ', '"best_epoch": 1'))
    else:
        record.unlink()

    mended = advance(segment)
    whole = prepared.segment(tmp_path / "whole", to_epoch=6)

    assert mended.trained_epochs == 4
    assert _same(advance(whole), mended)
    assert _state(whole) == _state(segment)
    assert _state(segment, epoch=2)


def test_early_stopping_takes_the_best_weights(prepared: Prepared, tmp_path: Path) -> None:
    """With patience the training ends early, and the result holds the weights of the best epoch."""
    stopped = advance(prepared.segment(tmp_path / "a", to_epoch=60, epochs=60, patience=2, lr=0.05))
    assert stopped.view is not None
    assert stopped.result is not None
    best = min(stopped.history, key=lambda row: row.metrics["val/mse"])

    assert stopped.view.end_epoch == len(stopped.history) == best.epoch + 2 < 60
    assert (stopped.view.chosen_epoch, stopped.view.value) == (best.epoch, best.metrics["val/mse"])
    straight = advance(prepared.segment(tmp_path / "b", to_epoch=best.epoch, epochs=60, lr=0.05))
    assert straight.result is not None
    assert (straight.result / "model.safetensors").read_bytes() == (stopped.result / "model.safetensors").read_bytes()


def test_divergence_ends_the_training(prepared: Prepared, tmp_path: Path) -> None:
    """An infinite or undefined error ends the training at once, without a result, and it is remembered."""
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 1e30, "to_epoch": 6}
    outcome = advance(prepared.segment(tmp_path, **options))
    again = advance(prepared.segment(tmp_path, **options))

    assert outcome.view is not None
    assert outcome.view.diverged
    assert outcome.result is None
    assert len(outcome.history) < 6
    assert (again.trained_epochs, again.view) == (0, outcome.view)


def test_the_stop_file(prepared: Prepared, tmp_path: Path) -> None:
    """When the stop file appears the epoch is finished and kept, and the segment goes on from it to the same bytes."""
    stop = tmp_path / "stop"
    segment = prepared.segment(tmp_path / "stopped", stop_file=stop)
    stopped = advance(segment, lambda row: stop.touch() if row.epoch == 3 else None)
    waiting = advance(segment)
    stop.unlink()
    resumed = advance(segment)

    assert (stopped.view, stopped.result, stopped.trained_epochs) == (None, None, 3)
    assert (waiting.view, waiting.trained_epochs) == (None, 0)
    assert resumed.trained_epochs == 3
    assert _same(advance(prepared.segment(tmp_path / "whole")), resumed)


def test_time_based_checkpoints_go_segment_ends_stay(prepared: Prepared, tmp_path: Path) -> None:
    """Only the ends of segments stay on disk, though a checkpoint was written after every epoch."""
    for epoch in (3, 6):
        segment = prepared.segment(tmp_path, to_epoch=epoch, checkpoint_every_s=0.0)
        advance(segment)
    folder = TrajectoryPaths(segment.store, segment.trajectory.digest).checkpoints

    assert sorted(path.name for path in folder.iterdir()) == [
        f"e{epoch:06d}.{kind}" for epoch in (3, 6) for kind in ("json", "safetensors")
    ]


@contextmanager
def _files_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write larger files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_previous_checkpoint(prepared: Prepared, tmp_path: Path) -> None:
    """A checkpoint that cannot be written is one line of error and leaves nothing half written; training can go on."""
    advance(prepared.segment(tmp_path / "full", to_epoch=2))
    segment = prepared.segment(tmp_path / "full", to_epoch=6)
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)

    with (
        _files_at_most(1000),
        pytest.raises(SegmentError, match="checkpoint: could not be written; got File too large") as caught,
    ):
        advance(segment)

    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in paths.checkpoints.iterdir()) == ["e000002.json", "e000002.safetensors"]
    resumed = advance(segment)
    assert resumed.trained_epochs == 4
    assert _same(advance(prepared.segment(tmp_path / "whole", to_epoch=6)), resumed)


def test_on_epoch_hears_every_trained_epoch(prepared: Prepared, tmp_path: Path) -> None:
    """The callback gets each epoch trained by this call, in order, with times that never go back."""
    heard: list[EpochMetrics] = []
    advance(prepared.segment(tmp_path, to_epoch=2), heard.append)
    outcome = advance(prepared.segment(tmp_path, to_epoch=5), heard.append)

    assert tuple(heard) == outcome.history
    assert [row.epoch for row in heard] == [1, 2, 3, 4, 5]
    assert [row.time_ms for row in heard] == sorted(row.time_ms for row in heard)


def test_training_learns(prepared: Prepared, tmp_path: Path) -> None:
    """Training lowers the training error of each stage clearly below that of its first epoch."""
    for stage in ("regressor", "colorizer"):
        history = advance(prepared.segment(tmp_path, stage=stage, to_epoch=12, epochs=12, lr=0.01)).history
        assert history[-1].metrics["train/mse"] < 0.8 * history[0].metrics["train/mse"]


def test_a_colorizer_starts_from_a_regressors_encoder(
    prepared: Prepared, regressor: InitWeights, tmp_path: Path
) -> None:
    """With a frozen encoder the trained colorizer still has the regressor's encoder, batch norm statistics too."""
    outcome = advance(
        prepared.segment(
            tmp_path, stage="colorizer", to_epoch=2, init=regressor, init_from="regressor@1", freeze="encoder"
        )
    )
    assert outcome.result is not None
    trained, description = load_model(outcome.result)
    parent, _ = load_model(regressor.folder)

    assert description.parent == "regressor@1"
    before = parent.encoder.state_dict()
    assert all(value.equal(before[name]) for name, value in trained.encoder.state_dict().items())


def test_weights_to_start_from_must_fit(
    prepared: Prepared, regressor: InitWeights, colorizer: InitWeights, tmp_path: Path
) -> None:
    """Other widths, another form, a regressor for a transfer, and weights that are not those pinned are refused."""
    wider = prepared.segment(tmp_path, stage="colorizer", feature_maps=3, init=regressor, init_from="regressor@1")
    with pytest.raises(ModelError, match=r"widths must be those of the network, \[3, 3, 3, 3, 3, 3\]; got \[2, 2"):
        advance(wider)
    other = prepared.segment(
        tmp_path, stage="transfer", hidden_activation="tanh", init=colorizer, init_from="colorizer@1"
    )
    with pytest.raises(ModelError, match="must have the form of the model it starts from"):
        advance(other)
    with pytest.raises(ModelError, match="must have the form of the model it starts from"):
        advance(prepared.segment(tmp_path, stage="transfer", init=regressor, init_from="colorizer@1"))
    changed = replace(colorizer, sha256="0" * 64)
    with pytest.raises(ModelError, match="must be those the training was planned with"):
        advance(prepared.segment(tmp_path, stage="transfer", init=changed, init_from="colorizer@1"))


def test_a_cache_of_other_data_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    """A cache whose digest is not that of the trajectory is not trained on."""
    segment = prepared.segment(tmp_path)
    other = replace(segment, trajectory=replace(segment.trajectory, data_digest="f" * 32))
    with pytest.raises(DataError, match="must hold the data of the training"):
        advance(other)


def test_mixed_precision_is_what_the_processor_makes_of_it(prepared: Prepared, tmp_path: Path) -> None:
    """Where the CPU computes in bfloat16 a training is another one, nearly as good; elsewhere it is the same."""
    options: dict[str, Any] = {"stage": "colorizer", "decoder": "bilinear", "decoder_width": 16}
    mixed, full = (
        advance(prepared.segment(tmp_path / str(on), mixed_precision=on, to_epoch=3, **options)) for on in (True, False)
    )
    values = [[row.metrics["val/mse"] for row in outcome.history] for outcome in (mixed, full)]
    assert (values[0] != values[1]) == computes_in_bfloat16(torch.device("cpu"))
    assert values[0] == pytest.approx(values[1], rel=0.1)
