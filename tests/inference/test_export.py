"""Models as ONNX files: the same colours in another runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from deepcolor.app.export import export_model
from deepcolor.config.sections import ModelConfig
from deepcolor.data.drawn import draw_set
from deepcolor.errors import ConfigError, ModelError
from deepcolor.inference import ColorModel, load
from deepcolor.inference.exporting import FLOAT_BOUND, export
from deepcolor.inference.onnx_model import OnnxModel, in_units, metadata_of
from deepcolor.models.networks import Brought
from deepcolor.workspace import Workspace
from tests.cli.conftest import Cli
from tests.registry.world import make_model

PHOTOS = os.environ.get("DEEPCOLOR_PHOTOS")
"""A folder of photos to compare on; without it, pictures are drawn."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    if PHOTOS is not None:
        return sorted(path for path in Path(PHOTOS).rglob("*") if path.suffix.lower() in (".jpg", ".png"))[:12]
    return list(draw_set("faces", tmp_path_factory.mktemp("drawn"), count=12, size_px=96))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colorizer whose weights are most of its file."""
    form = ModelConfig(feature_maps=8, growth="double", skip_connections=True, flip_at_test=True)
    return make_model(tmp_path_factory.mktemp("models") / "wide", seed=2, form=form)


def lightness(height: int, width: int, *, batch: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).random((batch, 1, height, width), dtype=np.float32)


def test_a_float_file_gives_the_colours_of_torch_in_any_size(folder: Path, pictures: list[Path]) -> None:
    """In onnxruntime, on photos and in other shapes and numbers than it was made with."""
    model: ColorModel = load(folder, device="cpu")
    made = export(model, name="wide", calibration=(), pictures=pictures, int8=False)
    assert made.any_size
    assert made.compared.pictures == len(pictures)
    assert made.compared.largest_ab <= FLOAT_BOUND
    assert made.compared.lowest_psnr_db > 60
    run = OnnxModel(made.content)
    for shape in (lightness(64, 320), lightness(192, 64, batch=3)):
        assert np.abs(run(shape) - in_units(model.network, shape)).max() <= FLOAT_BOUND


def test_an_int8_file_is_smaller_and_says_how_far_it_is(folder: Path, pictures: list[Path]) -> None:
    """A third of the float file's size or less; its pictures are near the model's own, measured on others than those
    that calibrated it.
    """
    model: ColorModel = load(folder, device="cpu")
    whole = export(model, name="wide", calibration=(), pictures=pictures[:1], int8=False)
    made = export(model, name="wide", calibration=pictures[:8], pictures=pictures[8:], int8=True)
    assert len(made.content) < len(whole.content) / 3
    assert made.compared.psnr_db >= made.compared.lowest_psnr_db > 30
    assert made.compared.largest_ab > whole.compared.largest_ab
    values = lightness(128, 64)
    far = np.abs(OnnxModel(made.content)(values) - in_units(model.network, values))
    assert 0 < far.mean() < 8


def test_the_command_writes_a_file_that_describes_itself(folder: Path, tmp_path: Path) -> None:
    """Its metadata says what goes in and comes out; a folder that is not there is one line and exit code 2."""
    cli = Cli(tmp_path)
    told = json.loads(cli.run("export", str(folder), "--onnx", "m.onnx", "--json").stdout)
    assert told["bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert told["compared"]["largest_ab"] <= FLOAT_BOUND
    said = metadata_of(tmp_path / "m.onnx")
    assert (said["deepcolor.precision"], said["deepcolor.size_px"], said["deepcolor.multiple_px"]) == (
        "float",
        "64",
        "64",
    )
    assert said["deepcolor.input"].startswith("lightness: CIELAB L* / 100")
    assert said["deepcolor.output"].startswith("ab: CIELAB a* and b*")
    refused = cli.run("export", str(folder), "--onnx", "no/m.onnx", code=2)
    assert "there is no folder no" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_regressor_is_of_one_size(tmp_path: Path) -> None:
    """Its file takes the size that it was trained on, and gives one colour a picture."""
    regressor = make_model(tmp_path / "regressor", seed=1, stage="regressor")
    place = Workspace.at(tmp_path)
    made = export_model(str(regressor), to=tmp_path / "r.onnx", workspace=place, tracking_uri=place.mlflow_uri)
    assert not made.any_size
    assert OnnxModel((tmp_path / "r.onnx").read_bytes())(lightness(64, 64, batch=2)).shape == (2, 2)
    with pytest.raises(ConfigError, match="which is a folder"):
        export_model(str(regressor), to=tmp_path, workspace=place, tracking_uri=place.mlflow_uri)


class Deciding(nn.Module):
    """Does something else with dark pictures, which a trace of a bright one does not show."""

    def forward(self, lightness_B1HW: Tensor) -> Tensor:
        sign = 1 if float(lightness_B1HW.mean()) > 0.45 else -1
        return sign * torch.cat((lightness_B1HW, lightness_B1HW), dim=1)


def test_a_file_with_other_colours_is_not_written(folder: Path, tmp_path: Path) -> None:
    """A network whose steps depend on the picture is refused, as its file would colour some pictures differently."""
    known = load(folder, device="cpu").description
    network = Brought(Deciding(), ModelConfig(), target="pixels", size_px=64)
    dark = draw_set("faces", tmp_path / "dark", count=1, size_px=64)
    network.register_parameter("weight", nn.Parameter(torch.zeros(1)))
    Image.new("RGB", (64, 64), (20, 30, 20)).save(dark[0])
    with pytest.raises(ModelError, match=r"must be within 0.01 of torch's; got .* on a picture of 64 x 64 px"):
        export(ColorModel(network, known), name="own", calibration=(), pictures=dark, int8=False)
