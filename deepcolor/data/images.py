"""Read and write single pictures, for training and for inference: decode strictly, turn upright, bring to sRGB.

Pillow decodes, because it says when a file is cut short, where OpenCV fills the missing part with grey and says
nothing; OpenCV takes over for 16 bits a channel, which Pillow would cut to 8.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from deepcolor.color import RgbArray, to_uint8
from deepcolor.data.files import MOST_PICTURE_BYTES, save
from deepcolor.data.marks import marked
from deepcolor.errors import DataError, ShapeError
from deepcolor.limits import hits_all
from deepcolor.plainfile import read_plain

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)
"""Lower-case suffixes of the files that are taken for pictures."""

Pixels = npt.NDArray[np.uint8 | np.uint16]

_PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, BmpImagePlugin, TiffImagePlugin)
"""Imported by name: left to itself Pillow looks for them at the first picture, and not safely from several threads."""
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""How files of these formats begin."""
_ORIENTATION_TAG = 0x0112
_GREY_RANGE = 8
"""Largest difference between the channels (of 255) that JPEG leaves behind in a picture without colour."""
_GREY_SHARE = 0.999
"""Share of the pixels that must stay below it; the stalk of an aubergine is far more than the rest."""

# What Pillow warns of is said again, with the path, by the error raised here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright, in sRGB."""

    rgb_HW3: Pixels
    """uint8, or uint16 where the file holds 16 bits a channel. Grey files come with three equal channels."""
    alpha_HW: Pixels | None
    """Opacity, of the same type; None where the file has none."""
    is_grey: bool
    """Every pixel is (all but) without colour, whether the file says so or not."""


class UnusablePictureError(DataError):
    """A file that is no picture deepcolor can read; `reason` is short and the same for the same kind of fault."""

    def __init__(self, reason: str, *, source: str) -> None:
        super().__init__(
            f"picture: must be a whole JPEG, PNG, WebP, BMP or TIFF file; got {reason} ({source}). "
            "Replace or remove it."
        )
        self.reason = reason
        self._source = source

    def __reduce__(self) -> tuple[Any, ...]:
        # Decoding runs in child processes, whose errors travel.
        return partial(UnusablePictureError, source=self._source), (self.reason,)


def read_picture(path: Path | str) -> Picture:
    """Read a picture file.

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
    return decode_picture(data, source=str(path))


def decode_picture(data: bytes, *, source: str) -> Picture:
    """Decode a picture file's bytes strictly, turn it upright by its EXIF orientation, bring it to sRGB by its profile.

    Args:
        data: The whole file.
        source: What to call it in an error.
    Raises:
        UnusablePictureError: It is empty, truncated, damaged, too large, or of an unsupported kind.
    """
    if not data:
        raise UnusablePictureError("an empty file", source=source)
    image, orientation, deep = _decoded(data, source=source)
    pixels = _oriented(_deep_pixels(data, source=source), orientation) if deep else _pixels(image, source=source)
    return _as_picture(pixels)


def write_png(path: Path, rgb_HW3: RgbArray, *, alpha_HW: Pixels | None = None) -> None:
    """Write a PNG file in one step; it is never seen half written, and bears the mark of what deepcolor makes.

    Args:
        path: Where to; its folder is created.
        rgb_HW3: sRGB, shape (H, W, 3): uint8, uint16 (16 bits a channel), or float in [0, 1] (8 bits).
        alpha_HW: Opacity, shape (H, W); brought to the depth of the colours.
    Raises:
        WorkspaceError: The folder cannot be written to.
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
    save(path, marked(encoded.tobytes()))


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


def _decoded(data: bytes, *, source: str) -> tuple[Image.Image, int, bool]:
    """Decode all of a file; say its orientation and whether it is deep, which Pillow forgets while it decodes."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        deep = _is_deep(image)
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
        image.load()
    except Image.DecompressionBombError as error:
        raise UnusablePictureError("a picture of too many pixels", source=source) from error
    except Exception as error:
        # Damaged files make the decoders raise nearly anything: OSError, SyntaxError, ValueError, struct.error, ...
        raise UnusablePictureError(_reason(data, error), source=source) from error
    return image, orientation, deep


def _is_deep(image: Image.Image) -> bool:
    """Whether the file holds 16 bits a channel; Pillow names that in the raw mode of its first tile."""
    tile = getattr(image, "tile", None)
    args: Any = tile[0][3] if tile else ""
    raw_mode = str(args[0] if isinstance(args, tuple) and args else args)
    return ";16" in raw_mode


def _pixels(image: Image.Image, *, source: str) -> Pixels:
    """Return (H, W, 3) or, with alpha, (H, W, 4) uint8."""
    if image.mode in {"I", "F", "LAB", "HSV"}:
        raise UnusablePictureError(f"the unsupported pixel format {image.mode}", source=source)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        return np.asarray(upright.convert("RGBA"))
    return np.asarray(_to_srgb(upright))


def _to_srgb(image: Image.Image) -> Image.Image:
    """Bring colours with an embedded profile (wide gamut, CMYK) to sRGB; an unreadable profile is taken for sRGB."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "CMYK"}:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(embedded):
                converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _deep_pixels(data: bytes, *, source: str) -> Pixels:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16):
        raise UnusablePictureError("an unsupported kind of 16-bit picture", source=source)
    pixels: Pixels = np.asarray(decoded, dtype=decoded.dtype)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 2:
        return pixels[..., [0, 0, 0, 1]]
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (1 to 8; anything else changes nothing)."""
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, 1),
    }.get(orientation)
    return pixels if turned is None else turned(pixels)


def _as_picture(pixels: Pixels) -> Picture:
    rgb = np.ascontiguousarray(pixels[..., :3])
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return Picture(rgb_HW3=rgb, alpha_HW=alpha, is_grey=_is_grey(rgb))


def _is_grey(rgb: Pixels) -> bool:
    # Sixteen thousand pixels tell as much as twelve million.
    step = max(1, int((rgb.shape[0] * rgb.shape[1] / 2**14) ** 0.5))
    sample = to_uint8(rgb[::step, ::step]).astype(np.int16)
    spread = sample.max(axis=2) - sample.min(axis=2)
    return bool(np.quantile(spread, _GREY_SHARE) <= _GREY_RANGE)


def _at_depth(alpha: Pixels, dtype: np.dtype[Any]) -> Pixels:
    if alpha.dtype == dtype:
        return alpha
    if dtype == np.uint16:
        return alpha.astype(np.uint16) * np.uint16(257)
    return to_uint8(alpha)


def _reason(data: bytes, error: Exception) -> str:
    if "truncat" in str(error).lower() or _is_cut_short(data):
        return "a truncated file"
    if isinstance(error, UnidentifiedImageError) and not data.startswith(_MAGIC):
        return "a file of another kind"
    return "a damaged file"


def _is_cut_short(data: bytes) -> bool:
    """Whether a length or offset in the header points past the end (WebP, TIFF), or a JPEG has lost its picture."""
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    return data[:2] == b"\xff\xd8" and b"\xff\xda" not in data
