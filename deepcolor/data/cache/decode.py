"""Decode pictures into the arrays of a cache: cut square, augment, convert to L*a*b*. Runs in child processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepcolor.color import normalise_lightness, rgb_to_lab, to_uint8
from deepcolor.data.augment import augmented
from deepcolor.data.blame import blamed_on
from deepcolor.data.cache.index import RGB_PART, array_name
from deepcolor.data.cache.portion import Portion
from deepcolor.data.decoding.bounds import UNLIMITED
from deepcolor.data.folder import RejectedFile
from deepcolor.data.images import UnusablePictureError, centre_square, read_picture


def fill(portion: Portion) -> list[RejectedFile]:
    """Write the rows of a portion's pictures, and of their copies, into the arrays.

    Returns:
        The pictures that can no longer be decoded; their rows stay empty.
    Raises:
        DataError: A picture is gone.
        OSError: The process is at a limit of the machine.
    """
    arrays, lost = _Arrays.open(portion), []
    for row, (path, sha256) in enumerate(portion.pictures, start=portion.first_row):
        try:
            with blamed_on(path):
                _fill_row(arrays, row, portion, path=path, sha256=sha256)
        except UnusablePictureError as error:
            lost.append(RejectedFile(path=path, reason=error.reason))
    return lost


def _fill_row(arrays: _Arrays, row: int, portion: Portion, *, path: str, sha256: str) -> None:
    # Its size was looked at when the data set was prepared, by the limit that held then.
    picture = read_picture(portion.source / path, limits=UNLIMITED)
    rgb = to_uint8(centre_square(picture.rgb_HW3, portion.size_px))
    key = f"{portion.seed}:{sha256}"
    copies = [augmented(rgb, name=name, strength=strength, key=key) for name, strength in portion.copies]
    arrays.put(slice(row, None, portion.originals), np.stack([rgb, *copies]))
    if arrays.rgb_NHW3 is not None:
        arrays.rgb_NHW3[row] = torch.tensor(rgb)


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The files of one split, mapped into memory. As tensors: torch rounds to half precision far faster than numpy."""

    lightness_N1HW: Tensor
    ab_N2HW: Tensor
    mean_ab_N2: Tensor
    rgb_NHW3: Tensor | None

    @classmethod
    def open(cls, portion: Portion) -> _Arrays:
        def mapped(part: str) -> Tensor:
            return torch.from_numpy(np.load(portion.folder / array_name(portion.split, part), mmap_mode="r+"))

        return cls(
            mapped("lightness"), mapped("ab"), mapped("mean_ab"), mapped(RGB_PART) if portion.keeps_rgb else None
        )

    def put(self, rows: slice, rgb_KHW3: npt.NDArray[np.uint8]) -> None:
        lightness_KHW, ab_KHW2 = rgb_to_lab(rgb_KHW3)
        ab_K2HW = np.ascontiguousarray(np.moveaxis(ab_KHW2, -1, 1))
        self.lightness_N1HW[rows, 0] = torch.from_numpy(normalise_lightness(lightness_KHW))
        self.ab_N2HW[rows] = torch.from_numpy(ab_K2HW)
        self.mean_ab_N2[rows] = torch.from_numpy(ab_K2HW.mean(axis=(2, 3), dtype=np.float64))
