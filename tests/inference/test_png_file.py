"""PNG files that are made in strips, beside each other, read by other programs."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from deepcolor.coloring import png_file
from deepcolor.coloring.png_file import png_of_pixels
from deepcolor.data.images import decode_picture
from deepcolor.data.marks import is_marked

pictures = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 30), st.integers(1, 30), st.sampled_from([3, 4]))
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures, st.integers(1, 200))
def test_every_picture_is_read_as_it_was(
    monkeypatch: pytest.MonkeyPatch, pixels: npt.NDArray[Any], strip_px: int
) -> None:
    """OpenCV, Pillow and deepcolor's own strict reader, which checks every checksum, find the very pixels, in however
    many strips they were compressed; and the file bears the mark.
    """
    monkeypatch.setattr(png_file, "_STRIP_PX", strip_px)
    file = png_of_pixels(pixels)
    order = [2, 1, 0, 3][: pixels.shape[2]]
    found = np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED))
    np.testing.assert_array_equal(found[..., order], pixels)
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        assert image.size == (pixels.shape[1], pixels.shape[0])
    picture = decode_picture(file, source="a.png")
    np.testing.assert_array_equal(picture.rgb_HW3, pixels[..., :3])
    if pixels.shape[2] == 4:
        np.testing.assert_array_equal(picture.alpha_HW, pixels[..., 3])
    assert is_marked(file[:4096])


def test_a_file_is_the_same_whatever_the_threads() -> None:
    """One thread or several write the same bytes."""
    pixels = np.random.default_rng(0).integers(0, 9, (700, 1000, 3)).astype(np.uint8)
    threads = torch.get_num_threads()
    try:
        files = []
        for count in (1, 3):
            torch.set_num_threads(count)
            files.append(png_of_pixels(pixels))
    finally:
        torch.set_num_threads(threads)
    assert files[0] == files[1]
