"""What may be coloured: files, their bytes, PIL images, arrays, all brought to one form; and the way back to PNG."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deepcolor.color import to_uint8
from deepcolor.coloring.png_file import png_of_pixels
from deepcolor.data.files import save
from deepcolor.data.images import Picture, Pixels, decode_picture, picture_of, read_picture
from deepcolor.errors import DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

ImageInput: TypeAlias = "str | PathLike[str] | bytes | PilImage | npt.NDArray[Any] | Picture"
"""A path, a picture file's bytes, a PIL image, a decoded picture, or an array (H, W), (H, W, 3) or (H, W, 4)."""


def as_picture(image: ImageInput) -> Picture:
    """Bring anything that may be coloured to one form.

    Args:
        image: A path, a file's bytes, a PIL image, or an array: uint8, uint16, or float in [0, 1]; the fourth channel
            is opacity. Float becomes uint8.
    Raises:
        DataError: It cannot be read, or is of a kind that cannot be coloured.
        ShapeError: An array has another shape, type or range.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, bytes | bytearray):
        return decode_picture(bytes(image), source="bytes")
    if isinstance(image, str | PathLike):
        return read_picture(Path(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "getbands"):
        return picture_of(image)
    raise DataError(
        f"picture: must be a path, bytes, a PIL image or a NumPy array; got {type(image).__name__}. Convert it."
    )


def png_bytes(pixels: Pixels) -> bytes:
    """Encode a picture of shape (H, W, 3) or (H, W, 4), uint8 or uint16, as a PNG file of the same depth."""
    return png_of_pixels(pixels)


def write_pixels(path: Path, pixels: Pixels) -> None:
    """Write a picture of shape (H, W, 3) or (H, W, 4), uint8 or uint16, as a PNG file, in one step."""
    save(path, png_of_pixels(pixels))


def _from_array(array: npt.NDArray[Any]) -> Picture:
    pixels = _checked(array)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    rgb = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels, 3, axis=2)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    is_grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
    return Picture(rgb_HW3=np.ascontiguousarray(rgb), alpha_HW=alpha, is_grey=is_grey)


def _checked(array: npt.NDArray[Any]) -> Pixels:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ShapeError(
            f"picture: an array must have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); got {array.shape}. "
            "Put the channels last; pass several pictures one by one."
        )
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind != "f":
        raise ShapeError(f"picture: an array must be uint8, uint16 or float in [0, 1]; got {array.dtype}. Convert it.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # not the other way round: NaN must fail too
        raise ShapeError(
            f"picture: a float array must lie in [0, 1]; got {low:g} to {high:g}. Divide it by its maximum."
        )
    return to_uint8(array)
