"""Finished pictures in the formats that others take, and decoded ones made smaller before any work on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from deepcolor.color import to_uint8
from deepcolor.data.images import Picture, Pixels
from deepcolor.errors import ShapeError

MOST_WEBP_PX = 16_383
"""WebP has 14 bits for a side."""
_WHITE = 255


def lossy_of(pixels: Pixels, kind: Literal["jpeg", "webp"], *, quality: int) -> bytes:
    """Return a picture as a JPEG or WebP file of 8 bits.

    Args:
        pixels: sRGB, shape (H, W, 3), or (H, W, 4) with opacity, which JPEG lacks: it lies on white there. uint8 or
            uint16.
        kind: The format.
        quality: 1 (small) to 100 (good).
    Raises:
        ShapeError: It is too large for WebP.
    """
    height_px, width_px, channels = pixels.shape
    if kind == "webp" and max(height_px, width_px) > MOST_WEBP_PX:
        raise ShapeError(
            f"webp: each side must be at most {MOST_WEBP_PX} pixels; got {width_px} x {height_px}. "
            "Ask for another format, or for a smaller size."
        )
    eight_bits = pixels if pixels.dtype == np.uint8 else to_uint8(pixels)
    if kind == "jpeg":
        flat = eight_bits if channels == 3 else _on_white(eight_bits)
        bgr, option = cv2.cvtColor(flat, cv2.COLOR_RGB2BGR), cv2.IMWRITE_JPEG_QUALITY
    else:
        turned = cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA
        bgr, option = cv2.cvtColor(eight_bits, turned), cv2.IMWRITE_WEBP_QUALITY
    _, encoded = cv2.imencode(f".{kind}", bgr, [option, quality])
    return encoded.tobytes()


def shrunk(picture: Picture, longest_px: int) -> Picture:
    """Return a picture whose longer side is at most so many pixels, averaged over areas; a smaller one as it is.

    Args:
        picture: Decoded.
        longest_px: At least 1.
    """
    height_px, width_px = picture.rgb_HW3.shape[:2]
    scale = longest_px / max(height_px, width_px)
    if scale >= 1:
        return picture
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    smaller = [
        None if plane is None else np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane.dtype)
        for plane in (picture.rgb_HW3, picture.alpha_HW)
    ]
    rgb_HW3, alpha_HW = smaller
    assert rgb_HW3 is not None
    return replace(picture, rgb_HW3=rgb_HW3, alpha_HW=alpha_HW)


def _on_white(rgba_HW4: Pixels) -> Pixels:
    opacity = rgba_HW4[..., 3:].astype(np.float32) / _WHITE
    laid = rgba_HW4[..., :3] * opacity + _WHITE * (1 - opacity)
    return np.asarray(np.rint(laid), dtype=np.uint8)
