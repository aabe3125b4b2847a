"""Pictures coloured on a GPU are those that a CPU gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import deepcolor
from deepcolor.training.advance import advance
from tests.cuda.conftest import GPU
from tests.training.conftest import Prepared


@pytest.fixture(scope="module")
def folders(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders, trained on the GPU, by stage."""
    found = {}
    for stage, options in {"regressor": {}, "colorizer": {"feature_maps": 16, "skip_connections": True}}.items():
        store = tmp_path_factory.mktemp(stage)
        outcome = advance(prepared.segment(store, stage=stage, to_epoch=3, device=GPU, **options))
        assert outcome.result is not None
        found[stage] = outcome.result
    return found


def picture(height: int, width: int, *, deep: bool = False, seed: int = 0) -> npt.NDArray[Any]:
    """A grey picture with edges and soft slopes."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.sin(x / (31 + seed)) * np.cos(y / 47) + (np.hypot(x - width / 3, y - height / 2) < height / 4)
    unit = (waves - waves.min()) / (waves.max() - waves.min())
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return np.asarray(np.rint(unit * most), dtype=kind)


@pytest.mark.parametrize("deep", [False, True], ids=["8 bit", "16 bit"])
def test_a_large_picture_has_the_colours_that_a_cpu_gives_it(folders: dict[str, Path], deep: bool) -> None:
    """Of 6 megapixels, within one step of 255."""
    on_gpu, on_cpu = (
        deepcolor.load(folders["colorizer"], device=device).colorize(picture(2000, 3000, deep=deep)).astype(np.int32)
        for device in (GPU, "cpu")
    )
    assert on_gpu.shape == (2000, 3000, 3)
    assert np.ptp(on_gpu) > 0
    assert np.abs(on_gpu - on_cpu).max() <= (257 if deep else 1)


def test_many_pictures_are_coloured_as_each_alone(folders: dict[str, Path]) -> None:
    """In passes of several pictures and of one, on the GPU: the same within one step of 255."""
    model = deepcolor.load(folders["colorizer"], device=GPU)
    pictures = [picture(90 + seed % 3, 160, seed=seed) for seed in range(40)]
    together = list(model.colorize_many(pictures))
    for one, coloured in zip(pictures, together, strict=True):
        assert np.abs(model.colorize(one).astype(int) - coloured).max() <= 1


def test_a_regressors_mean_colour_is_that_of_a_cpu(folders: dict[str, Path]) -> None:
    """Within a thousandth of a unit of a* and b*."""
    on_gpu, on_cpu = (
        deepcolor.load(folders["regressor"], device=device).mean_ab(picture(300, 200)) for device in (GPU, "cpu")
    )
    assert on_gpu == pytest.approx(on_cpu, abs=1e-3)


def test_a_model_goes_to_the_gpu_by_itself(folders: dict[str, Path]) -> None:
    """Where nothing else is said, a model is loaded to where it is fastest."""
    assert "on cuda" in repr(deepcolor.load(folders["colorizer"]))
