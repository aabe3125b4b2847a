from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import deepcolor
from deepcolor.color import rgb_to_lab
from deepcolor.coloring import strips
from deepcolor.config.schema import ModelConfig
from deepcolor.errors import ConfigError, DataError, ModelError, ShapeError
from deepcolor.inference import ColorModel, load
from tests.registry.world import World, draw_photos, make_model

SAME_MODEL = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture_of(shape: tuple[int, ...], dtype: Any = np.uint8, *, seed: int = 0) -> npt.NDArray[Any]:
    """A noisy picture in the middle of the range, where predicted colours need no clipping."""
    values = np.random.default_rng(seed).uniform(0.35, 0.65, shape)
    return values if np.dtype(dtype).kind == "f" else (values * np.iinfo(dtype).max).astype(dtype)


@SAME_MODEL
@given(
    picture=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 90), st.integers(1, 90))
        | st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])),
    )
)
def test_any_size_and_depth_comes_back_as_it_was(colorizer: ColorModel, picture: npt.NDArray[Any]) -> None:
    """Height, width, depth and opacity are those of the input; the rest is three colour channels."""
    result = colorizer.colorize(picture)
    has_alpha = picture.ndim == 3 and picture.shape[2] == 4
    assert result.shape == (*picture.shape[:2], 4 if has_alpha else 3)
    assert result.dtype == picture.dtype
    if has_alpha:
        np.testing.assert_array_equal(result[..., 3], picture[..., 3])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 0.6), (np.uint16, 0.05)])
@pytest.mark.parametrize("shape", [(300, 170), (40, 700), (129, 64)])
def test_the_picture_keeps_its_own_lightness(
    colorizer: ColorModel, dtype: Any, tolerance: float, shape: tuple[int, int]
) -> None:
    """L* at full resolution is the input's, to the rounding of its depth; fine detail survives the network's size."""
    grey = picture_of(shape, dtype)
    before = rgb_to_lab(np.repeat(grey[..., None], 3, axis=2))[0]
    after, ab = rgb_to_lab(colorizer.colorize(grey))
    in_gamut = np.abs(ab).max(axis=2) < 25
    assert in_gamut.mean() > 0.5
    assert np.abs(after - before)[in_gamut].max() < tolerance


def test_colours_that_a_picture_has_are_not_looked_at(colorizer: ColorModel) -> None:
    """Only lightness goes in: a float picture, its grey version and its PIL image give the same colours."""
    grey = picture_of((80, 100))
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    expected = colorizer.colorize(grey)
    np.testing.assert_array_equal(colorizer.colorize(as_rgb), expected)
    np.testing.assert_array_equal(colorizer.colorize(Image.fromarray(grey)), expected)
    np.testing.assert_array_equal(colorizer.colorize(as_rgb.astype(np.float64) / 255), expected)


def test_a_file_its_bytes_and_its_pixels_are_one_picture(colorizer: ColorModel, tmp_path: Path) -> None:
    """A path, the file's bytes, a PIL image and an array give the same result."""
    path = tmp_path / "a.png"
    Image.fromarray(picture_of((50, 60, 3))).save(path)
    expected = colorizer.colorize(np.asarray(Image.open(path)))
    for image in (path, str(path), path.read_bytes(), Image.open(path)):
        np.testing.assert_array_equal(colorizer.colorize(image), expected)


def test_pil_images_are_turned_upright_and_keep_opacity(colorizer: ColorModel) -> None:
    """EXIF orientation is undone; a palette with transparency has opacity in the result."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture_of((40, 70, 3))).save(file, "JPEG", exif=exif)
    assert colorizer.colorize(Image.open(file)).shape == (70, 40, 3)
    assert colorizer.colorize(Image.fromarray(picture_of((20, 30, 4)), "RGBA")).shape == (20, 30, 4)


def test_many_pictures_give_what_each_gives_alone(colorizer: ColorModel) -> None:
    """Pictures of mixed sizes come back in order; sharing a pass of the network changes a value by one at most."""
    pictures = [picture_of((40 + 30 * (seed // 3), 50), seed=seed) for seed in range(9)]
    together = list(colorizer.colorize_many(pictures, batch_size=2))
    for picture, result in zip(pictures, together, strict=True):
        difference = np.abs(colorizer.colorize(picture).astype(int) - result)
        assert difference.max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_large_picture_has_no_seams(colorizer: ColorModel, monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    """Pictures are coloured in strips to save memory: the result is bit for bit the same whatever their height, and
    however many threads work on them.
    """
    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (300, 203, 4)).astype(dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = colorizer.colorize(picture)
        torch.set_num_threads(3)
        for strip_px in (1, 203, 1000, 7000):
            monkeypatch.setattr(strips, "STRIP_PX", strip_px)
            np.testing.assert_array_equal(colorizer.colorize(picture), expected)
    finally:
        torch.set_num_threads(threads)


def test_a_regressor_tints_the_whole_picture_in_one_colour(regressor: ColorModel) -> None:
    """Every pixel gets the predicted mean a* and b*."""
    grey = picture_of((90, 60), np.uint16)
    a, b = regressor.mean_ab(grey)
    ab = rgb_to_lab(regressor.colorize(grey))[1]
    np.testing.assert_allclose(ab, np.broadcast_to((a, b), ab.shape), atol=0.1)


def test_saturation_turns_the_colours_up_and_down(colorizer: ColorModel) -> None:
    """0 gives the picture's own grey, 1 what the model says, 1.5 that much more of it, on the same lightness."""
    grey = picture_of((80, 100))
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    usual = rgb_to_lab(colorizer.colorize(grey))
    np.testing.assert_array_equal(colorizer.colorize(grey, saturation=0), as_rgb)
    np.testing.assert_array_equal(colorizer.colorize(grey, saturation=1), colorizer.colorize(grey))
    lightness, ab = rgb_to_lab(deepcolor.colorize(grey, model=colorizer, saturation=1.5))
    in_gamut = np.abs(usual[1]).max(axis=2) < 15
    assert in_gamut.mean() > 0.3
    np.testing.assert_allclose(ab[in_gamut], 1.5 * usual[1][in_gamut], atol=2)
    np.testing.assert_allclose(lightness[in_gamut], usual[0][in_gamut], atol=1)


def test_flip_takes_the_mean_with_the_mirrored_picture(colorizer: ColorModel, regressor: ColorModel) -> None:
    """Then a picture and its mirror image have the same colours, mirrored; without it they differ."""
    for model, shape in ((colorizer, (80, 130)), (regressor, (80, 64))):
        grey = picture_of(shape)
        other = np.ascontiguousarray(grey[:, ::-1])
        (one, back) = (np.asarray(model.colorize(picture, flip=True)).astype(int) for picture in (grey, other))
        assert np.abs(one - back[:, ::-1]).max() <= 1
    grey = picture_of((80, 130))
    plain = colorizer.colorize(grey).astype(int)
    assert np.abs(plain - colorizer.colorize(np.ascontiguousarray(grey[:, ::-1]))[:, ::-1]).max() > 1
    several = [grey, picture_of((70, 130), seed=1), picture_of((80, 130), seed=2)]
    for alone, together in zip(several, colorizer.colorize_many(several, flip=True), strict=True):
        assert np.abs(colorizer.colorize(alone, flip=True).astype(int) - together).max() <= 1


def test_bfloat16_gives_nearly_the_same_colours(colorizer: ColorModel) -> None:
    """They differ, but by a few steps of 255 at most; anything but true or false is refused."""
    several = [picture_of((80, 130), seed=seed) for seed in range(3)]
    exact = np.stack([colorizer.colorize(each) for each in several]).astype(int)
    coarse = np.stack(list(colorizer.colorize_many(several, bfloat16=True))).astype(int)
    assert 0 < np.abs(exact - coarse).max() <= 8
    with pytest.raises(ConfigError, match="bfloat16: must be true or false; got 'yes'"):
        deepcolor.colorize(several, model="nowhere", bfloat16="yes")  # type: ignore[call-overload]


@pytest.mark.parametrize("saturation", [-0.1, 3.1, math.nan, math.inf, "2", None, True])
def test_a_saturation_that_means_nothing_is_refused_at_once(saturation: Any) -> None:
    """Before a model is looked for: in one line that says what the numbers mean."""
    with pytest.raises(ConfigError, match=r"saturation: must be a number from 0 to 3; got .*\. 1 leaves the colours"):
        deepcolor.colorize(picture_of((8, 8)), model="nowhere", saturation=saturation)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 3, 4, 3), np.uint8),
        np.zeros((5,), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 5), np.int64),
        np.zeros((5, 5), bool),
        np.full((5, 5), 2.0),
        np.full((5, 5), np.nan),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(colorizer: ColorModel, bad: npt.NDArray[Any]) -> None:
    """Wrong shapes, types and ranges are named, with what to do."""
    with pytest.raises(ShapeError, match="picture: "):
        colorizer.colorize(bad)


def test_other_things_are_refused(colorizer: ColorModel, tmp_path: Path) -> None:
    """A missing file, a text file and an object of another kind say so."""
    (tmp_path / "a.jpg").write_text("no picture")
    for thing in (tmp_path / "a.jpg", tmp_path / "missing.jpg", b"x", object(), Image.new("F", (3, 3))):
        with pytest.raises(DataError):
            colorizer.colorize(thing)  # type: ignore[arg-type]  # on purpose


def test_a_model_is_loaded_by_reference_or_folder(world: World, colorizer_folder: Path, tmp_path: Path) -> None:
    """The registry's references, MLflow's form and a folder all give a model; the top level offers both functions."""
    world.promote(0)
    grey = picture_of((64, 64))
    expected = load(world.models[0], device="cpu").colorize(grey)
    for ref in ("colorizer@champion", "colorizer@1", "models:/deepcolor-colorizer@champion"):
        np.testing.assert_array_equal(
            deepcolor.load(ref, tracking_uri=world.uri, device="cpu").colorize(grey), expected
        )
    by_workspace = deepcolor.load("colorizer@champion", workspace=world.root, device="cpu")
    np.testing.assert_array_equal(deepcolor.colorize(grey, model=by_workspace), expected)
    assert deepcolor.colorize(grey, model=colorizer_folder).shape == (64, 64, 3)
    draw_photos(tmp_path / "photos", count=1)
    assert deepcolor.colorize(tmp_path / "photos" / "000.jpg", model=by_workspace).shape == (72, 80, 3)


def test_what_a_notebook_sees(colorizer: ColorModel, tmp_path: Path) -> None:
    """What can be imported late is offered all the same, a model says what it is, and its network can be had; a model
    is loaded without torch's compiler, which takes two seconds and 160 megabytes.
    """
    code = (
        "import deepcolor, sys; print({'load', 'colorize'} <= set(dir(deepcolor)), 'torch' in sys.modules); "
        "deepcolor.load(sys.argv[1], device='cpu'); print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    folder = make_model(tmp_path / "model", form=ModelConfig(feature_maps=3, decoder="bilinear"))
    command = [sys.executable, "-c", code, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "False", "True", "False"]
    assert {"ColorModel", "load"} <= set(dir(deepcolor.inference))
    assert repr(colorizer) == "<ColorModel: colorizer, 64 px, 3 feature maps, epoch 3, from regressor@1, on cpu>"
    assert isinstance(colorizer.network, torch.nn.Module)
    assert not colorizer.network.training


def test_a_model_that_is_not_there_says_where_to_get_one(tmp_path: Path) -> None:
    """A folder without a model and an empty registry are told apart."""
    with pytest.raises(ModelError, match="deepcolor pull"):
        load(tmp_path)
    with pytest.raises(ModelError, match="Promote a trial first"):
        load("colorizer@champion", workspace=tmp_path)
