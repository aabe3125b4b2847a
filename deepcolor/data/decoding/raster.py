"""What the decoders of all formats hand on: numbers, what they stand for, and which way is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepcolor.data.decoding.icc import RgbSpace

Pixels = npt.NDArray[np.uint8 | np.uint16]

Model = Literal["grey", "rgb", "cmyk", "lab"]


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, as stored: neither turned upright nor brought to sRGB."""

    samples_HWC: Pixels
    """uint8 or uint16, each over its whole range. 1 channel for grey (0 is black), 3 for RGB, 4 for CMYK (0 is no ink);
    3 for L*a*b* (D50): L* / 100 of the range, a* + 128 and b* + 128 (times 256 in uint16).
    """
    model: Model
    alpha_HW: Pixels | None = None
    """Opacity, of the same type; the colours are not multiplied by it."""
    colours: bytes | RgbSpace | None = None
    """An embedded ICC profile, or what the file says in numbers; None: sRGB."""
    orientation: int = 1
    """As in EXIF: 1 to 8."""


def raster_of(image: Image.Image, *, colours: bytes | RgbSpace | None = None, orientation: int = 1) -> Raster | None:
    """Take over a picture that Pillow has loaded; None where its mode has no place here (I, F, HSV and the like)."""
    bands: dict[str, tuple[str, Model]] = {
        "1": ("L", "grey"),
        "L": ("L", "grey"),
        "LA": ("LA", "grey"),
        "La": ("LA", "grey"),
        "PA": ("RGBA", "rgb"),
        "P": ("RGBA" if image.has_transparency_data else "RGB", "rgb"),
        "RGB": ("RGB", "rgb"),
        "RGBX": ("RGB", "rgb"),
        "RGBA": ("RGBA", "rgb"),
        "RGBa": ("RGBA", "rgb"),
        "YCbCr": ("RGB", "rgb"),
        "CMYK": ("CMYK", "cmyk"),
    }
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint16)[..., None]
        return Raster(deep, "grey", colours=colours, orientation=orientation)
    if image.mode not in bands:
        return None
    mode, model = bands[image.mode]
    if image.mode in {"L", "RGB"} and image.has_transparency_data:
        mode = "RGBA"
        model = "rgb"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2] - (mode in {"LA", "RGBA"})
    alpha = pixels[..., channels] if channels < pixels.shape[2] else None
    return Raster(pixels[..., :channels], model, alpha, colours, orientation)
