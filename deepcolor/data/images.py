"""Read and write single pictures, for training and for inference: decode strictly, turn upright, bring to sRGB.

A file is taken apart here (`deepcolor.data.decoding`), and only what holds the picture reaches the decoders: whatever
else is in it, and however broken, costs no pixel. docs/pictures.md lists what can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from deepcolor.color import RgbArray, to_uint8
from deepcolor.data.decoding import bmp, jpeg, png, tiff, webp
from deepcolor.data.decoding.bounds import Allowance, Fault, Limits
from deepcolor.data.decoding.exif import orientation_of
from deepcolor.data.decoding.raster import Pixels, Raster, raster_of
from deepcolor.data.decoding.srgb import to_srgb
from deepcolor.data.files import MOST_PICTURE_BYTES, save
from deepcolor.data.marks import marked
from deepcolor.errors import DataError, ShapeError
from deepcolor.limits import hits_all
from deepcolor.plainfile import read_plain

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

__all__ = [
    "PICTURE_SUFFIXES",
    "Picture",
    "Pixels",
    "UnusablePictureError",
    "centre_square",
    "decode_picture",
    "picture_of",
    "png_of",
    "read_picture",
    "write_png",
]

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)
"""Lower-case suffixes of the files that are taken for pictures."""

_DECODERS: tuple[tuple[bytes, Callable[[bytes, Allowance], Raster]], ...] = (
    (b"\xff\xd8", jpeg.decode),
    (b"\x89PNG", png.decode),
    (b"RIFF", webp.decode),
    (b"BM", bmp.decode),
    (b"II*\0", tiff.decode),
    (b"MM\0*", tiff.decode),
    (b"II+\0", tiff.decode),
    (b"MM\0+", tiff.decode),
)
"""How files of these formats begin, and what decodes them."""
_GREY_RANGE = 8
"""Largest difference between the channels (of 255) that JPEG leaves behind in a picture without colour."""
_GREY_SHARE = 0.999
"""Share of the pixels that must stay below it; the stalk of an aubergine is far more than the rest."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright, in sRGB."""

    rgb_HW3: Pixels
    """uint8, or uint16 where the file holds 16 bits a channel. Grey files come with three equal channels."""
    alpha_HW: Pixels | None
    """Opacity, of the same type; None where the file has none."""
    is_grey: bool
    """Every pixel is (all but) without colour, whether the file says so or not."""
    remark: str | None = None
    """What could not be followed though the pixels are whole: a broken colour profile."""


class UnusablePictureError(DataError):
    """A file that is no picture deepcolor can read; `reason` is short and the same for the same kind of fault."""

    def __init__(self, reason: str, *, source: str, advice: str = "Replace or remove it.") -> None:
        super().__init__(
            f"picture: must be a whole JPEG, PNG, WebP, BMP or TIFF file; got {reason} ({source}). {advice}"
        )
        self.reason = reason
        self._source = source
        self._advice = advice

    def __reduce__(self) -> tuple[Any, ...]:
        # Decoding runs in child processes, whose errors travel.
        return partial(UnusablePictureError, source=self._source, advice=self._advice), (self.reason,)


def read_picture(path: Path | str, *, limits: Limits | None = None) -> Picture:
    """Read a picture file.

    Args:
        path: The file.
        limits: As for `decode_picture`.
    Raises:
        DataError: It is missing, cannot be read, truncated, damaged, or of an unsupported kind; the message says which.
    """
    try:
        data = read_plain(path, most_bytes=MOST_PICTURE_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"picture: the file must exist; got {path}. Check the path.") from error
    except OSError as error:
        if hits_all(error):
            raise
        raise UnusablePictureError(f"a file that cannot be read: {error.strerror}", source=str(path)) from error
    return decode_picture(data, source=str(path), limits=limits)


def decode_picture(data: bytes, *, source: str, limits: Limits | None = None) -> Picture:
    """Decode a picture file's bytes strictly, turn it upright by its EXIF orientation, bring it to sRGB by its profile.

    Args:
        data: The whole file.
        source: What to call it in an error.
        limits: What it may cost; None: what is usual in this process.
    Raises:
        UnusablePictureError: It is empty, truncated, damaged, too large, or of an unsupported kind.
    """
    try:
        with np.errstate(all="ignore"):  # Nonsense in a profile is no business of the screen.
            return _as_picture(_decoded(data, Allowance(limits or Limits.usual())))
    except Fault as fault:
        raise UnusablePictureError(fault.reason, source=source, advice=fault.advice) from fault
    except MemoryError as error:
        raise UnusablePictureError("more than fits into memory", source=source, advice="Make it smaller.") from error
    except Exception as error:
        if hits_all(error):
            raise
        # Damaged files make the decoders raise nearly anything: OSError, SyntaxError, ValueError, struct.error, ...
        raise UnusablePictureError(_reason(error), source=source) from error


def picture_of(image: PilImage) -> Picture:
    """Take over a picture that Pillow has opened: turned upright and brought to sRGB as a file would be.

    Raises:
        DataError: Pillow cannot load it, or its mode has no place here.
    """
    try:
        image.load()
    except Exception as error:
        raise DataError(f"picture: a PIL image must be whole; got one that cannot be loaded ({error}).") from error
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    raster = raster_of(
        image,
        colours=image.info.get("icc_profile") or None,
        orientation=orientation_of(
            exif=exif if isinstance(exif, bytes) else b"", xmp=xmp if isinstance(xmp, bytes) else b""
        ),
    )
    if raster is None:
        raise DataError(
            f"picture: a PIL image must be grey, RGB or the like; got mode {image.mode}. Convert it to RGB."
        )
    return _as_picture(raster)


def write_png(path: Path, rgb_HW3: RgbArray, *, alpha_HW: Pixels | None = None) -> None:
    """Write a PNG file in one step; it is never seen half written, and bears the mark of what deepcolor makes.

    Args:
        path: Where to; its folder is created.
        rgb_HW3: As for `png_of`.
        alpha_HW: As for `png_of`.
    Raises:
        WorkspaceError: The folder cannot be written to.
        ShapeError: The shapes do not belong together.
    """
    save(path, png_of(rgb_HW3, alpha_HW=alpha_HW))


def png_of(rgb_HW3: RgbArray, *, alpha_HW: Pixels | None = None) -> bytes:
    """Return a picture as a PNG file, with the mark of what deepcolor makes.

    Args:
        rgb_HW3: sRGB, shape (H, W, 3): uint8, uint16 (16 bits a channel), or float in [0, 1] (8 bits).
        alpha_HW: Opacity, shape (H, W); brought to the depth of the colours.
    Raises:
        ShapeError: The shapes do not belong together.
    """
    rgb = rgb_HW3 if rgb_HW3.dtype == np.uint16 else to_uint8(rgb_HW3)
    channels = [rgb[..., 2], rgb[..., 1], rgb[..., 0]]
    if alpha_HW is not None:
        if alpha_HW.shape != rgb.shape[:2]:
            raise ShapeError(
                f"alpha: must be as large as the picture; got {alpha_HW.shape} and {rgb.shape[:2]}. Resize it."
            )
        channels.append(_at_depth(alpha_HW, rgb.dtype))
    _, encoded = cv2.imencode(".png", cv2.merge(channels))
    return marked(encoded.tobytes())


def centre_square(rgb_HW3: Pixels, size_px: int) -> Pixels:
    """Cut out the largest centred square and bring it to `size_px` x `size_px`, of the same type.

    Args:
        rgb_HW3: Shape (H, W, 3).
        size_px: Side of the result; shrinking averages areas, enlarging is bicubic.
    """
    height, width = rgb_HW3.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb_HW3[top : top + side, left : left + side]
    if side == size_px:
        return np.ascontiguousarray(square)
    how = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=how), dtype=rgb_HW3.dtype)


def _decoded(data: bytes, allowance: Allowance) -> Raster:
    if not data:
        raise Fault("an empty file")
    for magic, decode in _DECODERS:
        if data.startswith(magic):
            return decode(data, allowance)
    raise Fault("a file of another kind")


def _oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (1 to 8; anything else changes nothing)."""
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, 1),
    }.get(orientation)
    return pixels if turned is None else turned(pixels)


def _as_picture(raster: Raster) -> Picture:
    rgb, remark = to_srgb(raster)
    rgb = np.ascontiguousarray(_oriented(rgb, raster.orientation))
    alpha = None
    if raster.alpha_HW is not None:
        alpha = np.ascontiguousarray(_at_depth(_oriented(raster.alpha_HW, raster.orientation), rgb.dtype))
    return Picture(rgb_HW3=rgb, alpha_HW=alpha, is_grey=_is_grey(rgb), remark=remark)


def _is_grey(rgb: Pixels) -> bool:
    # Sixteen thousand pixels tell as much as twelve million.
    step = max(1, int((rgb.shape[0] * rgb.shape[1] / 2**14) ** 0.5))
    red, green, blue = np.moveaxis(to_uint8(rgb[::step, ::step]), 2, 0)
    # Channel by channel: NumPy is slow along an axis of three.
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool(np.count_nonzero(spread <= _GREY_RANGE) > int(_GREY_SHARE * (spread.size - 1)))


def _at_depth(alpha: Pixels, dtype: np.dtype[Any]) -> Pixels:
    if alpha.dtype == dtype:
        return alpha
    if dtype == np.uint16:
        return alpha.astype(np.uint16) * np.uint16(257)
    return to_uint8(alpha)


def _reason(error: Exception) -> str:
    said = str(error).lower()
    if "unsupported" in said:
        return "an unsupported kind of picture"
    return "a truncated file" if "truncat" in said else "a damaged file"
