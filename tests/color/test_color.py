from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import lab2rgb, rgb2lab

from deepcolor.color import (
    colourfulness,
    denormalise_ab,
    denormalise_lightness,
    lab_to_integers,
    lab_to_rgb,
    lightness_of,
    normalise_ab,
    normalise_lightness,
    normalised_to_tanh,
    rgb_to_lab,
    tanh_to_normalised,
    to_uint8,
)
from deepcolor.errors import ShapeError

pictures = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_depth_agrees_with_scikit_image(dtype: type[np.unsignedinteger]) -> None:
    """L*, a*, b* differ from an independent implementation by less than a hundredth of a unit."""
    top = int(np.iinfo(dtype).max)
    rgb = np.random.default_rng(0).integers(0, top + 1, (64, 64, 3)).astype(dtype)
    rgb[0, :8] = [[0, 0, 0], [top, top, top], [top, 0, 0], [0, top, 0], [0, 0, top], [1, 1, 1], [2, 0, 1], [0, 3, 0]]
    lightness, ab = rgb_to_lab(rgb)
    expected = rgb2lab(rgb / top)
    assert lightness.dtype == ab.dtype == np.float32
    np.testing.assert_allclose(lightness, expected[..., 0], atol=0.01)
    np.testing.assert_allclose(ab, expected[..., 1:], atol=0.01)


def test_back_to_rgb_agrees_with_scikit_image() -> None:
    """RGB from L*a*b* differs from an independent implementation by less than a tenth of an 8-bit step."""
    rgb = np.random.default_rng(1).random((64, 64, 3))
    lab = rgb2lab(rgb)
    np.testing.assert_allclose(lab_to_rgb(lab[..., 0], lab[..., 1:]), lab2rgb(lab), atol=0.0004)


@given(pictures)
def test_round_trip_keeps_every_8_bit_value(rgb: npt.NDArray[np.uint8]) -> None:
    """Any 8-bit picture comes back from L*a*b* exactly."""
    np.testing.assert_array_equal(to_uint8(lab_to_rgb(*rgb_to_lab(rgb))), rgb)


@given(arrays(np.uint16, (4, 4, 3)))
def test_round_trip_keeps_16_bits_to_within_a_few_steps(rgb: npt.NDArray[np.uint16]) -> None:
    """A 16-bit picture comes back to within 16 of 65535 steps."""
    back = np.rint(lab_to_rgb(*rgb_to_lab(rgb)) * 65535).astype(int)
    assert np.abs(back - rgb.astype(int)).max() <= 16


@given(st.integers(0, 255))
def test_grey_has_no_colour(value: int) -> None:
    """Grey has a* = b* = 0 to within float precision, whatever its lightness."""
    _, ab = rgb_to_lab(np.full((1, 1, 3), value, np.uint8))
    assert np.abs(ab).max() < 1e-3


@given(
    arrays(np.float32, (3, 3), elements=st.floats(0, 100, width=32)),
    arrays(np.float32, (3, 3, 2), elements=st.floats(-128, 127, width=32)),
)
def test_any_lab_gives_displayable_rgb(lightness: npt.NDArray[np.float32], ab: npt.NDArray[np.float32]) -> None:
    """What a network may put out becomes finite RGB in [0, 1]."""
    rgb = lab_to_rgb(lightness, ab)
    assert np.isfinite(rgb).all()
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_float_and_integer_pictures_agree() -> None:
    """The same picture as uint8 and as floats in [0, 1] has the same L*a*b*."""
    rgb = np.random.default_rng(2).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    for one, other in zip(rgb_to_lab(rgb), rgb_to_lab(rgb / 255), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_batches_of_pictures_convert_like_single_ones() -> None:
    """Leading axes are carried through."""
    rgb = np.random.default_rng(3).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    lightness, ab = rgb_to_lab(rgb)
    assert lightness.shape == (2, 5, 4)
    np.testing.assert_array_equal(ab[1], rgb_to_lab(rgb[1])[1])


@given(st.floats(0, 100), st.floats(-128, 127))
def test_normalising_is_undone(lightness: float, ab: float) -> None:
    """Each scale leads back to the units it came from, and maps its range onto [0, 1] or [-1, 1]."""
    assert denormalise_lightness(normalise_lightness(lightness)) == pytest.approx(lightness, abs=1e-9)
    assert denormalise_ab(normalise_ab(ab)) == pytest.approx(ab, abs=1e-9)
    assert 0 <= normalise_ab(ab) <= 1
    assert -1 <= normalised_to_tanh(normalise_ab(ab)) <= 1
    assert tanh_to_normalised(normalised_to_tanh(normalise_ab(ab))) == pytest.approx(normalise_ab(ab), abs=1e-12)


def test_scales_take_tensors_and_arrays_alike() -> None:
    """Tensors stay tensors, arrays stay arrays, single precision stays single."""
    array = np.array([-128.0, 0.0, 127.0], np.float32)
    tensor = torch.from_numpy(array)
    assert normalise_ab(array).dtype == np.float32
    assert normalise_ab(tensor).dtype == torch.float32
    np.testing.assert_array_equal(normalise_ab(tensor).numpy(), normalise_ab(array))
    np.testing.assert_allclose(normalise_ab(array), [0, 128 / 255, 1])


def test_colourfulness_follows_its_definition() -> None:
    """Grey measures 0; a picture of two halves measures what the paper's formula gives by hand."""
    assert colourfulness(np.full((4, 4, 3), 90, np.uint8)) == 0
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[:, 0] = (255, 0, 0)
    halves[:, 1] = (0, 0, 255)
    # rg is 255 and 0, yb is 127.5 and -255: deviations 127.5 and 191.25, means 127.5 and -63.75.
    expected = np.hypot(127.5, 191.25) + 0.3 * np.hypot(127.5, -63.75)
    assert colourfulness(halves) == pytest.approx(expected, rel=1e-6)
    assert colourfulness(halves / 255) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.int64)]
)
def test_wrong_shapes_and_types_are_refused(wrong: npt.NDArray[np.uint8]) -> None:
    """What is not RGB is refused by name, before it becomes nonsense."""
    with pytest.raises(ShapeError, match="RGB"):
        rgb_to_lab(wrong)


def test_lightness_and_ab_must_belong_together() -> None:
    """L* of one size with a*, b* of another is refused with both sizes."""
    with pytest.raises(ShapeError, match=r"\(4, 4\).*\(3, 4, 2\)"):
        lab_to_rgb(np.zeros((4, 4)), np.zeros((3, 4, 2)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 0.501), (np.uint16, 2.0)])
def test_the_fast_way_gives_what_the_exact_one_gives(dtype: type[np.unsignedinteger], tolerance: float) -> None:
    """Lightness alone, and integers from planes, are those of the full conversions: for all greys, for dark, pale and
    vivid colours, and for those that sRGB does not have.
    """
    top = int(np.iinfo(dtype).max)
    draw = np.random.default_rng(0)
    rgb = draw.integers(0, top + 1, (64, 64, 3)).astype(dtype)
    rgb[:4] = np.linspace(0, top, 256).astype(dtype).reshape(4, 64, 1)
    rgb[4:20] //= 20
    lightness, ab = rgb_to_lab(rgb)
    fast = lightness_of(rgb)
    np.testing.assert_allclose(fast, lightness, atol=1e-3)
    for factor in (0.0, 0.5, 1.0, 3.0):
        exact = lab_to_rgb(lightness, ab * factor).astype(np.float64) * top
        found = lab_to_integers(fast, np.moveaxis(ab * factor, -1, 0), dtype=dtype)
        turned = lab_to_integers(
            np.asfortranarray(fast), np.asfortranarray(np.moveaxis(ab * factor, -1, 0)), dtype=dtype
        )
        np.testing.assert_array_equal(turned, found)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, exact, atol=tolerance)


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))))
def test_a_picture_of_few_pixels_comes_back_by_the_fast_way(rgb: npt.NDArray[np.uint8]) -> None:
    """One pixel, a row or a column are pictures as any other."""
    ab_2HW = np.moveaxis(rgb_to_lab(rgb)[1], -1, 0)
    np.testing.assert_array_equal(lab_to_integers(lightness_of(rgb), ab_2HW, dtype=np.uint8), rgb)
