"""Trainings whose first epochs see pictures at half their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from deepcolor.config.schema import AugmentConfig
from deepcolor.models.networks import Network
from deepcolor.stages.session import Job
from deepcolor.training.advance import advance
from deepcolor.training.trajectory import TrajectoryPaths
from tests.training.conftest import Prepared, prepare_drawn

KNOWN: dict[str, Any] = {"encoder": "efficientnet_lite0", "encoder_weights": "none", "epochs": 3, "batch_size": 4}
FORMS: dict[str, dict[str, Any]] = {
    "regressor": KNOWN,
    "colorizer": {**KNOWN, "decoder": "nearest", "decoder_width": 8, "skip_connections": True},
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A few drawn faces of 128 px, changed themselves in every epoch."""
    augment = AugmentConfig(mode="fresh", geometric=True)
    return prepare_drawn(tmp_path_factory, "large-faces", augment, count=10, size_px=128)


@pytest.fixture
def sides() -> Iterator[list[tuple[bool, int]]]:
    """Whether each batch was trained on, and the side of its pictures."""
    seen: list[tuple[bool, int]] = []

    def look(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if isinstance(module, Network):
            seen.append((module.training, given[0].shape[-1]))

    handle = register_module_forward_pre_hook(look)
    yield seen
    handle.remove()


@pytest.mark.parametrize("stage", FORMS)
def test_the_first_epochs_are_trained_at_half_size(
    stage: str, large: Prepared, sides: list[tuple[bool, int]], tmp_path: Path
) -> None:
    """Of three epochs the first two, at a share of 0.7; all are validated whole; cut anywhere, the bytes are alike."""
    options = {"stage": stage, "half_size_share": 0.7, **FORMS[stage]}
    whole = large.segment(tmp_path / "whole", to_epoch=3, **options)
    advance(whole)
    assert {side for training, side in sides if not training} == {128}
    trained = [side for training, side in sides if training]
    assert trained == [64] * (len(trained) * 2 // 3) + [128] * (len(trained) // 3)
    for to_epoch in (1, 3):
        cut = large.segment(tmp_path / "cut", to_epoch=to_epoch, **options)
        advance(cut)
    both = (TrajectoryPaths(each.store, each.trajectory.digest).checkpoint(3).read_bytes() for each in (whole, cut))
    assert next(both) == next(both)


def test_the_share_says_what_an_epoch_costs(large: Prepared, tmp_path: Path) -> None:
    """The work that is foreseen for an epoch is the mean over all of them: half of them at a quarter."""
    works = []
    for share in (0.0, 0.5):
        options = {**FORMS["colorizer"], "epochs": 4, "half_size_share": share}
        setting = large.segment(tmp_path, stage="colorizer", **options).trajectory.setting
        sections = (setting.data, setting.model, setting.training, setting.init)
        job = Job("colorizer", *sections, folder=large.cache, data_digest=large.digest)
        works.append(setting.stage_class.cost(job)[0])
    assert works[1] == pytest.approx(works[0] * 0.625)
