from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.coloring.resample import MULTIPLE_PX, Fit, enlarge, fit, shrink

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
    large = enlarge(small[None], where, height_px=height, width_px=width)
    torch.testing.assert_close(large, torch.full((1, height, width), value), atol=1e-5, rtol=0)


def test_colours_come_back_to_where_they_belong() -> None:
    """A step from one colour to another lies at the same place after the way through the network's size."""
    picture = torch.zeros(90, 300)
    picture[:, 150:] = 1
    where = fit(90, 300, size_px=64, square=False)
    back = enlarge(shrink(picture, where)[None], where, height_px=90, width_px=300)[0]
    assert back[:, :140].max() < 0.1
    assert back[:, 160:].min() > 0.9
