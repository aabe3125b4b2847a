from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepcolor.coloring import slices
from deepcolor.coloring.cost import work_per_picture
from deepcolor.config.schema import ModelConfig
from deepcolor.training.calibration import calibrate
from tests.training.conftest import Prepared


@pytest.mark.parametrize("fresh", [False, True], ids=["fixed copies", "fresh copies"])
def test_a_calibration_measures_and_leaves_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    """It gives seconds of an epoch and of what a trial costs beside, and bytes; the store stays empty."""
    monkeypatch.setattr(slices, "MEASURE_S", 0.05)
    prepared: Prepared = request.getfixturevalue("prepared_fresh" if fresh else "prepared")
    outcome = calibrate(prepared.segment(tmp_path / "store", stage="colorizer", init_from="regressor@champion"))
    figures = outcome.metrics
    assert all(figures[name] > 0 for name in ("epoch_s", "begin_s", "checkpoint_s", "result_s"))
    assert figures["cold_s"] >= 0
    assert min(figures["checkpoint_bytes"], figures["result_bytes"]) > 1000
    assert outcome.train_s >= figures["result_s"]
    assert (outcome.history, outcome.view, outcome.trained_epochs) == ((), None, 0)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_slice_is_spread_over_pictures_and_copies(prepared: Prepared, every: int) -> None:
    """A slice holds every n-th row, so that it is as mixed as the whole."""
    whole = prepared.open().train
    part = slices._sliced(whole, every)
    assert len(part) == len(whole) // every
    rows = torch.arange(len(part))
    theirs, _ = part.batch(rows, seed=0, epoch=1, target="mean")
    ours, _ = whole.batch(rows * every, seed=0, epoch=1, target="mean")
    assert torch.equal(theirs, ours)


def test_work_grows_with_the_network() -> None:
    """A wider network takes more operations, and a colorizer more than a regressor."""
    widths = [work_per_picture("pixels", ModelConfig(feature_maps=width), 64) for width in (2, 4, 8)]
    assert widths == sorted(widths)
    assert widths[0] > work_per_picture("mean", ModelConfig(feature_maps=2), 64) > 0
