"""How different two colours look: CIEDE2000."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_25_TO_7 = 25.0**7


def ciede2000(one: tuple[_Array, _Array], other: tuple[_Array, _Array]) -> _Array:
    """Return the difference of colours: below 1 nobody sees it, about 2 one has to look, over 10 it is another colour.

    Args:
        one: L* of any shape, and a*, b* with an axis of two more at the end; CIELAB units.
        other: Of the same shapes.
    Returns:
        Of the shape of L*.
    Source: Sharma, Wu and Dalal, The CIEDE2000 color-difference formula, 2005, equations 2 to 22.
    """
    (lightness_1, ab_1), (lightness_2, ab_2) = one, other
    a_1, b_1, a_2, b_2 = ab_1[..., 0], ab_1[..., 1], ab_2[..., 0], ab_2[..., 1]
    g = 1.5 - 0.5 * _saturating((np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2)
    a_1, a_2 = a_1 * g, a_2 * g
    chroma_1, chroma_2 = np.hypot(a_1, b_1), np.hypot(a_2, b_2)
    hue_1, hue_2 = _hue(a_1, b_1), _hue(a_2, b_2)
    grey = chroma_1 * chroma_2 == 0

    turn = hue_2 - hue_1
    turn = np.where(grey, 0, turn - 360 * np.sign(turn) * (np.abs(turn) > 180))
    d_lightness, d_chroma = lightness_2 - lightness_1, chroma_2 - chroma_1
    d_hue = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(np.radians(turn / 2))

    lightness, chroma = (lightness_1 + lightness_2) / 2, (chroma_1 + chroma_2) / 2
    hue = hue_1 + hue_2
    around = np.where(hue < 360, hue + 360, hue - 360)
    hue = np.where(grey, hue, np.where(np.abs(hue_1 - hue_2) > 180, around, hue) / 2)
    t = (
        1
        - 0.17 * _cosine(hue - 30)
        + 0.24 * _cosine(2 * hue)
        + 0.32 * _cosine(3 * hue + 6)
        - 0.20 * _cosine(4 * hue - 63)
    )
    from_50 = (lightness - 50) ** 2
    s_lightness = 1 + 0.015 * from_50 / np.sqrt(20 + from_50)
    s_chroma, s_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * 2 * _saturating(chroma)
    parts = d_lightness / s_lightness, d_chroma / s_chroma, d_hue / s_hue
    total = sum(part**2 for part in parts) + rotation * parts[1] * parts[2]
    difference: _Array = np.sqrt(np.maximum(total, 0))
    return difference


def _saturating(chroma: _Array) -> _Array:
    seventh: _Array = chroma**7
    root: _Array = np.sqrt(seventh / (seventh + _25_TO_7))
    return root


def _hue(a: _Array, b: _Array) -> _Array:
    degrees: _Array = np.degrees(np.arctan2(b, a)) % 360
    return degrees


def _cosine(degrees: _Array) -> _Array:
    cosine: _Array = np.cos(np.radians(degrees))
    return cosine
