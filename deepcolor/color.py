"""RGB <-> CIELAB, and the scales the networks see: the only place that knows 100, 128 and 255.

The conversion is written out here because OpenCV's float path interpolates in a coarse table and is off by up to 0.5
units in a* and b*, as much as the differences the networks are judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.errors import ShapeError

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8 | np.uint16 | np.floating[Any]]

Values = TypeVar("Values", "torch.Tensor", npt.NDArray[np.floating[Any]], float)

_LIGHTNESS_SPAN = 100.0
_AB_OFFSET = 128.0
_AB_SPAN = 255.0

# IEC 61966-2-1, linear sRGB to XYZ. Each row is divided by its own sum, the white point's coordinate, so that grey has
# a* = b* = 0.
_SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    dtype=np.float64,
)
_RGB_TO_WHITE_XYZ = _SRGB_TO_XYZ / _SRGB_TO_XYZ.sum(axis=1, keepdims=True)
_TO_XYZ = np.ascontiguousarray(_RGB_TO_WHITE_XYZ.T, dtype=np.float32)
_FROM_XYZ = np.ascontiguousarray(np.linalg.inv(_RGB_TO_WHITE_XYZ).T, dtype=np.float32)

# CIE 15: the cube root is replaced by a line below (6/29)^3.
_DELTA = 6 / 29
_SLOPE = 1 / (3 * _DELTA**2)
_INTERCEPT = 4 / 29
_ROOTED_116 = 116.0**3
_CURVED_FROM = 0.0031308
"""Linear value from which sRGB's curve is one; below, it is a line."""


def rgb_to_lab(rgb_HW3: RgbArray) -> tuple[FloatArray, FloatArray]:
    """Convert sRGB to CIELAB (D65).

    Args:
        rgb_HW3: sRGB. Shape (..., 3); uint8, uint16, or float in [0, 1] (values outside are clipped).
    Returns:
        L* in [0, 100], shape (...), and a*, b* in about [-108, 99], shape (..., 2); float32, exact to 0.01.
    Raises:
        ShapeError: The last axis is not 3, or the type is neither uint8, uint16 nor float.
    Source: IEC 61966-2-1; CIE 15:2004, 8.2.1.
    """
    linear = _linear(_checked_rgb(rgb_HW3))
    xyz = (linear.reshape(-1, 3) @ _TO_XYZ).reshape(linear.shape)
    f = _power(xyz, 1 / 3)
    np.copyto(f, np.float32(_SLOPE) * xyz + np.float32(_INTERCEPT), where=xyz <= np.float32(_DELTA**3))
    lightness = np.float32(116) * f[..., 1] - np.float32(16)
    ab = np.empty((*lightness.shape, 2), np.float32)
    np.multiply(f[..., 0] - f[..., 1], np.float32(500), out=ab[..., 0])
    np.multiply(f[..., 1] - f[..., 2], np.float32(200), out=ab[..., 1])
    return np.clip(lightness, 0, np.float32(_LIGHTNESS_SPAN), out=lightness), ab


def lab_to_rgb(lightness_HW: npt.NDArray[Any], ab_HW2: npt.NDArray[Any]) -> FloatArray:
    """Convert CIELAB (D65) to sRGB; colours outside of sRGB are clipped channel by channel.

    Args:
        lightness_HW: L* in [0, 100], shape (...).
        ab_HW2: a*, b* in CIELAB units, shape (..., 2).
    Returns:
        sRGB, shape (..., 3), float32 in [0, 1].
    Raises:
        ShapeError: The two shapes do not match.
    """
    if ab_HW2.shape != (*lightness_HW.shape, 2):
        raise ShapeError(
            f"a*, b*: the shape must be that of L* with 2 at the end; got L* {lightness_HW.shape} and a*, b* "
            f"{ab_HW2.shape}. Put the channels last."
        )
    f = np.empty((*lightness_HW.shape, 3), np.float32)
    f[..., 1] = (lightness_HW.astype(np.float32) + np.float32(16)) / np.float32(116)
    f[..., 0] = f[..., 1] + ab_HW2[..., 0] / np.float32(500)
    f[..., 2] = f[..., 1] - ab_HW2[..., 1] / np.float32(200)
    xyz = np.where(f > _DELTA, f * f * f, (f - np.float32(_INTERCEPT)) / np.float32(_SLOPE))
    linear = np.clip(xyz @ _FROM_XYZ, 0, 1)
    curved = np.float32(1.055) * _power(linear, 1 / 2.4) - np.float32(0.055)
    return np.where(linear <= _CURVED_FROM, np.float32(12.92) * linear, curved)


def lightness_of(rgb_HW3: npt.NDArray[np.uint8 | np.uint16]) -> FloatArray:
    """Return L* alone, several times faster than `rgb_to_lab`: for photos of many megapixels, a strip at a time.

    Args:
        rgb_HW3: sRGB, shape (H, W, 3), uint8 or uint16.
    Returns:
        L* in [0, 100], shape (H, W), exact to 0.001.
    Raises:
        ShapeError: As for `rgb_to_lab`.
    Source: As of `rgb_to_lab`.
    """
    channels: Any = cv2.split(_checked_rgb(rgb_HW3))
    if (channels[0] == channels[1]).all() and (channels[1] == channels[2]).all():
        # A grey scan, most likely, which has as many values as its type.
        return np.asarray(_lightness_of_greys(rgb_HW3.dtype.itemsize)[channels[0]], dtype=np.float32)
    return _lightness_of_channels(channels, itemsize=rgb_HW3.dtype.itemsize)


@lru_cache(maxsize=2)
def _lightness_of_greys(itemsize: int) -> FloatArray:
    every = np.arange(2 ** (8 * itemsize), dtype=f"u{itemsize}").reshape(1, -1)
    return _lightness_of_channels([every] * 3, itemsize=itemsize).reshape(-1)


def _lightness_of_channels(channels: Sequence[npt.NDArray[Any]], *, itemsize: int) -> FloatArray:
    scaled, *others = (
        _looked_up(table, channel) for table, channel in zip(_LUMINANCE_OF[itemsize], channels, strict=True)
    )
    for other in others:
        scaled += other
    # The line below (6/29)^3 is the root's tangent there, so that both can be added up without looking which one holds.
    above, below = _parted(scaled, _DELTA**3 * _ROOTED_116)
    lightness = _sum_of(_raised(above, 1 / 3), below, 116 * _SLOPE / _ROOTED_116)
    lightness -= np.float32(16)
    return np.clip(lightness, 0, np.float32(_LIGHTNESS_SPAN), out=lightness)


def lab_to_integers(
    lightness_HW: FloatArray, ab_2HW: FloatArray, *, dtype: npt.DTypeLike
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Convert CIELAB to sRGB as integers, as `lab_to_rgb` does, several times faster, a strip at a time.

    Args:
        lightness_HW: L* in [0, 100], shape (H, W).
        ab_2HW: a*, b* in CIELAB units, shape (2, H, W).
        dtype: uint8 or uint16.
    Returns:
        Shape (H, W, 3), rounded to the nearest integer.
    """
    most = int(np.iinfo(dtype).max)
    f: FloatArray = np.add(lightness_HW, np.float32(16), order="C")  # As OpenCV lays out what it gives.
    f /= np.float32(116)
    x, z = _cubed(_sum_of(f, ab_2HW[0], 1 / 500)), _cubed(_sum_of(f, ab_2HW[1], -1 / 200))
    y = _cubed(f)
    channels = []
    for shares in _FROM_XYZ.T * _curve_scale(most):
        scaled = x * shares[0]
        _sum_of(scaled, y, shares[1], out=scaled)
        _sum_of(scaled, z, shares[2], out=scaled)
        channels.append(_encoded(scaled, most))
    return np.asarray(cv2.merge(channels), dtype=dtype)


def to_uint8(rgb_HW3: RgbArray) -> npt.NDArray[np.uint8]:
    """Return sRGB values (uint8, uint16, or float in [0, 1]) as uint8, rounded; uint8 comes back as it is."""
    if rgb_HW3.dtype == np.uint8:
        return rgb_HW3.astype(np.uint8, copy=False)
    return np.asarray(np.rint(_unit(rgb_HW3) * np.float32(255)), dtype=np.uint8)


def colourfulness(rgb_HW3: RgbArray) -> float:
    """Measure how colourful a picture looks: 0 is grey, about 15 slightly, 60 quite, over 100 extremely colourful.

    Args:
        rgb_HW3: sRGB, shape (H, W, 3); uint8, uint16, or float in [0, 1].
    Raises:
        ShapeError: As for `rgb_to_lab`.
    Source: Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003, equations for M(3).
    """
    red, green, blue = np.moveaxis(_unit(_checked_rgb(rgb_HW3)).astype(np.float64) * 255, -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def normalise_lightness(lightness: Values) -> Values:
    """L* in [0, 100] to [0, 1], for tensors, arrays and numbers."""
    return lightness / _LIGHTNESS_SPAN


def denormalise_lightness(normalised: Values) -> Values:
    """[0, 1] back to L* in [0, 100]."""
    return normalised * _LIGHTNESS_SPAN


def normalise_ab(ab: Values) -> Values:
    """a*, b* in CIELAB units to [0, 1]: (value + 128) / 255, a sigmoid's scale and that of every reported MSE."""
    return (ab + _AB_OFFSET) / _AB_SPAN


def denormalise_ab(normalised: Values) -> Values:
    """[0, 1] back to a*, b* in CIELAB units."""
    return normalised * _AB_SPAN - _AB_OFFSET


def rmse_ab(mse: float) -> float:
    """Return the root mean square error of a* and b* in CIELAB units, from their MSE in normalised units."""
    return float(mse**0.5 * _AB_SPAN)


def normalised_to_tanh(normalised: Values) -> Values:
    """[0, 1] to [-1, 1], the scale of a tanh's output."""
    return normalised * 2.0 - 1.0


def tanh_to_normalised(output: Values) -> Values:
    """[-1, 1] back to [0, 1]."""
    return (output + 1.0) / 2.0


def ab_to_signed(ab: Values, end: float) -> Values:
    """a*, b* in CIELAB units to [-1, 1], where -`end` and `end` are the ends."""
    return ab / end


def signed_to_ab(signed: Values, end: float) -> Values:
    """[-1, 1] back to a*, b* in CIELAB units."""
    return signed * end


def _power(base: FloatArray, exponent: float) -> FloatArray:
    """Raise values of at least 0 to a power, several times faster than `**` and `cbrt`, which are not vectorised."""
    logarithm = np.log(np.maximum(base, np.finfo(np.float32).tiny))
    logarithm *= np.float32(exponent)
    return np.exp(logarithm, out=logarithm)


def _looked_up(table: FloatArray, plane_HW: npt.NDArray[Any]) -> FloatArray:
    if plane_HW.dtype == np.uint8:
        return np.asarray(cv2.LUT(plane_HW, table), dtype=np.float32)
    return np.take(table, plane_HW, mode="clip")


def _parted(plane: FloatArray, joint: float) -> tuple[FloatArray, FloatArray]:
    """Part a plane, which is used up: what is at least `joint`, and what it is less than that, as numbers <= 0."""
    above = np.clip(plane, np.float32(joint), np.float32(np.inf))
    plane -= above
    return above, plane


def _raised(plane: FloatArray, exponent: float) -> FloatArray:
    """Raise positive values to a power, in place, in OpenCV's vectorised functions: exact to a few millionths."""
    cv2.log(plane, dst=plane)
    plane *= np.float32(exponent)
    cv2.exp(plane, dst=plane)
    return plane


def _sum_of(plane: FloatArray, other: FloatArray, factor: float, *, out: FloatArray | None = None) -> FloatArray:
    """Return `plane + factor * other`, in one pass."""
    return np.asarray(cv2.scaleAdd(other, factor, plane, dst=out), dtype=np.float32)


def _cubed(f: FloatArray) -> FloatArray:
    """Undo the cube root of CIELAB, and the line that is its tangent at 6/29 and holds below; `f` is used up."""
    above, below = _parted(f, _DELTA)
    cube: FloatArray = above * above
    cube *= above
    return _sum_of(cube, below, 1 / _SLOPE, out=cube)


def _curve_scale(most: int) -> float:
    """What linear sRGB is multiplied by so that its power is that of the curve in integers, without a further step."""
    return float((1.055 * most) ** 2.4)


def _encoded(scaled: FloatArray, most: int) -> npt.NDArray[np.uint8 | np.uint16]:
    """Encode a plane of linear sRGB, times `_curve_scale`, which is used up, as whole numbers from 0 to `most`."""
    scale = _curve_scale(most)
    above, below = _parted(scaled, _CURVED_FROM * scale)
    np.clip(below, np.float32(-_CURVED_FROM * scale), np.float32(0), out=below)  # Nothing is less than 0.
    encoded = _raised(above, 1 / 2.4)
    _sum_of(encoded, below, 12.92 * most / scale, out=encoded)
    if most == np.iinfo(np.uint8).max:
        return np.asarray(cv2.convertScaleAbs(encoded, alpha=1, beta=-0.055 * most), dtype=np.uint8)
    encoded -= np.float32(0.055 * most)
    return np.rint(np.clip(encoded, 0, most, out=encoded)).astype(np.uint16)


def _checked_rgb(rgb: RgbArray) -> RgbArray:
    if rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ShapeError(
            f"RGB: the last axis must hold 3 channels; got shape {rgb.shape}. Drop alpha, or repeat grey three times."
        )
    if rgb.dtype not in (np.uint8, np.uint16) and rgb.dtype.kind != "f":
        raise ShapeError(f"RGB: must be uint8, uint16, or float in [0, 1]; got {rgb.dtype}. Convert it first.")
    return rgb


def _linear(rgb: RgbArray) -> FloatArray:
    """Undo the sRGB curve: by table for integers, where every value has its own entry."""
    if rgb.dtype.kind == "u":
        return _LINEAR_OF[rgb.dtype.itemsize].take(np.asarray(rgb, dtype=rgb.dtype))
    return _expanded(np.clip(rgb, 0, 1).astype(np.float32))


def _expanded(rgb: npt.NDArray[Any]) -> FloatArray:
    low = rgb <= 0.04045
    return np.where(low, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _unit(rgb: RgbArray) -> FloatArray:
    if rgb.dtype.kind == "u":
        return rgb.astype(np.float32) / np.float32(2 ** (8 * rgb.dtype.itemsize) - 1)
    return np.clip(rgb, 0, 1).astype(np.float32)


_LINEAR_OF: dict[int, FloatArray] = {
    itemsize: _expanded(np.arange(levels, dtype=np.float64) / (levels - 1))
    for itemsize, levels in ((1, 2**8), (2, 2**16))
}

_LUMINANCE_OF: dict[int, list[FloatArray]] = {
    itemsize: [linear * (share * np.float32(_ROOTED_116)) for share in _TO_XYZ[:, 1]]
    for itemsize, linear in _LINEAR_OF.items()
}
"""What each channel adds to Y, by its integer; times 116^3, so that the cube root comes times 116."""
