from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.coloring.resample import MULTIPLE_PX, Enlarged, Fit, fit, mirrored, narrowed, shrink

sides = st.integers(1, 3000)


@given(sides, sides, st.sampled_from([64, 128, 192]))
def test_every_picture_fits_into_the_network(height: int, width: int, size: int) -> None:
    """The input's sides are multiples of 64, the shorter one is the model's size, and the padding can be mirrored."""
    where = fit(height, width, size_px=size, square=False)
    assert where.padded_height_px % MULTIPLE_PX == 0
    assert where.padded_width_px % MULTIPLE_PX == 0
    assert min(where.height_px, where.width_px) == size
    assert 0 <= where.padded_height_px - where.height_px < min(MULTIPLE_PX, where.height_px)
    assert 0 <= where.padded_width_px - where.width_px < min(MULTIPLE_PX, where.width_px)
    if max(height, width) <= 4 * min(height, width):
        assert where.height_px / where.width_px == pytest.approx(height / width, rel=0.02)


@given(sides, sides)
def test_a_regressor_gets_its_square(height: int, width: int) -> None:
    """Whatever the picture, a network with a linear layer gets the size it was built for."""
    assert fit(height, width, size_px=128, square=True) == Fit(128, 128, 128, 128)


@pytest.mark.parametrize(("height", "width"), [(500, 333), (131, 129), (1000, 1000)])
def test_shrinking_is_opencvs_area_average(height: int, width: int) -> None:
    """Shrunk lightness is what the training pictures were shrunk by, to the last bits of a float."""
    picture = np.random.default_rng(0).random((height, width)).astype(np.float32)
    where = Fit(128, 128, 128, 128)
    expected = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrink(torch.from_numpy(picture), where).numpy(), expected, atol=2e-6)


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1, width=32))
def test_an_even_picture_stays_even(height: int, width: int, value: float) -> None:
    """One value everywhere comes out as that value everywhere, shrunk, padded and enlarged again."""
    where = fit(height, width, size_px=64, square=False)
    small = shrink(torch.full((height, width), value), where)
    torch.testing.assert_close(small, torch.full_like(small, value), atol=1e-5, rtol=0)
    enlarged = Enlarged(torch.full((2, *small.shape), 9.0), small, where, height_px=height, width_px=width)
    lightness = np.random.default_rng(0).random((height, width)).astype(np.float32)
    large = enlarged.rows(slice(0, height), lightness)
    np.testing.assert_allclose(large, np.full((2, height, width), 9), atol=1e-3, rtol=0)


def test_colours_come_back_to_where_they_belong() -> None:
    """A step from one colour to another lies at the same place after the way through the network's size."""
    picture = torch.zeros(90, 300)
    picture[:, 150:] = 1
    where = fit(90, 300, size_px=64, square=False)
    small = shrink(picture, where)
    colours, even = torch.stack([small, small]), torch.full_like(small, 0.5)
    enlarged = Enlarged(colours, even, where, height_px=90, width_px=300)
    back = enlarged.rows(slice(0, 90), np.full((90, 300), 0.5, np.float32))[0]
    assert back[:, :140].max() < 0.1
    assert back[:, 160:].min() > 0.9


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_rows_are_the_same_whatever_is_asked_for_with_them(height: int, width: int, data: Any) -> None:
    """Some rows alone are what they are among all, to the last bits of a float; on even lightness, torch's bicubic."""
    where = fit(height, width, size_px=64, square=False)
    noise = torch.randn(3, where.padded_height_px, where.padded_width_px, generator=torch.Generator().manual_seed(0))
    lightness = np.random.default_rng(0).random((height, width)).astype(np.float32)
    enlarged = Enlarged(noise[:2], noise[2], where, height_px=height, width_px=width)
    whole = enlarged.rows(slice(0, height), lightness)
    start = data.draw(st.integers(0, height - 1))
    rows = slice(start, data.draw(st.integers(start + 1, height)))
    np.testing.assert_allclose(enlarged.rows(rows, lightness[rows]), whole[:, rows], atol=1e-4)
    inner = noise[None, :2, : where.height_px, : where.width_px]
    expected = F.interpolate(inner, size=(height, width), mode="bicubic", align_corners=False)[0]
    even = Enlarged(noise[:2], torch.zeros_like(noise[2]), where, height_px=height, width_px=width)
    found = even.rows(slice(0, height), np.zeros((height, width), np.float32))
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-3)


def test_a_picture_of_the_networks_size_is_not_enlarged() -> None:
    """It gets the colours that the network gave it, bit for bit, whatever its lightness is."""
    where = fit(64, 100, size_px=64, square=False)
    noise = torch.randn(3, where.padded_height_px, where.padded_width_px, generator=torch.Generator().manual_seed(0))
    lightness = np.random.default_rng(0).random((64, 100)).astype(np.float32)
    found = Enlarged(noise[:2], noise[2], where, height_px=64, width_px=100).rows(slice(10, 30), lightness[10:30])
    np.testing.assert_array_equal(found, noise[:2, 10:30, :100].numpy())


def test_colours_keep_to_the_edges_of_the_picture() -> None:
    """A red disc on a green ground, darker than it: around its edge the colours are far nearer to the truth than those
    that are only enlarged, and no further from it elsewhere, grain or not.
    """
    side, size = 700, 64
    y, x = np.mgrid[0:side, 0:side]
    disc = (np.hypot(x - 340, y - 360) < 200).astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 0.03, disc.shape).astype(np.float32)
    truth = torch.from_numpy(np.stack([60 * disc - 30, 20 - 30 * disc]))
    where = fit(side, side, size_px=size, square=False)
    ab = torch.stack([shrink((plane + 40) / 100, where) * 100 - 40 for plane in truth])
    edge = np.abs(np.hypot(x - 340, y - 360) - 200) < side / size
    for noise in (0, grain):
        lightness = np.clip(0.7 - 0.3 * disc + noise, 0, 1).astype(np.float32)
        small = shrink(torch.from_numpy(lightness), where)
        errors = {}
        for name, guide in (("kept", small), ("washed", torch.zeros_like(small))):
            enlarged = Enlarged(ab, guide, where, height_px=side, width_px=side)
            errors[name] = np.abs(enlarged.rows(slice(0, side), lightness) - truth.numpy()).sum(axis=0)
        assert errors["kept"][edge].mean() < 0.6 * errors["washed"][edge].mean()
        assert errors["kept"][~edge].mean() < errors["washed"][~edge].mean() + 0.2


@given(st.integers(1, 400), st.integers(1, 400))
def test_rows_can_be_narrowed_one_by_one(height: int, width: int) -> None:
    """A picture shrunk in two steps, the first one row by row, is the picture shrunk at once."""
    picture = np.random.default_rng(0).random((height, width)).astype(np.float32)
    where = fit(height, width, size_px=64, square=False)
    narrow_px = min(width, where.width_px)
    rows = np.concatenate([narrowed(picture[at : at + 1], narrow_px) for at in range(height)])
    np.testing.assert_array_equal(rows, narrowed(picture, narrow_px))
    expected = shrink(torch.from_numpy(picture), where)
    torch.testing.assert_close(shrink(torch.from_numpy(rows), where), expected, atol=2e-6, rtol=0)


def test_a_mirrored_picture_is_what_its_mirror_image_gives() -> None:
    """In the network's input, with the padding of its own; mirrored twice, it is as it was."""
    picture = torch.rand(90, 170, generator=torch.Generator().manual_seed(0))
    where = fit(90, 170, size_px=64, square=False)
    small = shrink(picture, where)
    torch.testing.assert_close(mirrored(small, where), shrink(picture.flip(-1), where), atol=2e-6, rtol=0)
    torch.testing.assert_close(mirrored(mirrored(small, where), where), small)
