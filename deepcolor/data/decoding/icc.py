"""Colour spaces that are a curve a channel and a matrix: as ICC profiles describe them, and as PNG files do.

Most profiles of cameras, screens and editors are of this kind, and can be followed exactly at any depth.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Curve = Callable[[Values], Values]
"""From stored values in [0, 1] to light in [0, 1]."""

D50_XYZ = np.array([0.9642, 1.0, 0.8249])
"""The white of all profiles (ICC.1:2022, 7.2.16)."""
SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""Linear sRGB to XYZ, adapted to D50 by Bradford's method."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_TABLES = frozenset({b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2", b"D2B3"})
_HEADER_BYTES = 128
_MOST_TAGS = 1000
_PARAMETERS = (1, 3, 4, 5, 7)
"""How many numbers the parametric curves of type 0 to 4 have."""


class ProfileError(ValueError):
    """A profile cannot be understood."""


@dataclass(frozen=True, eq=False)
class RgbSpace:
    """A colour space with a curve a channel, and then a matrix; for grey, one curve and no matrix."""

    curves: tuple[Curve, ...]
    to_xyz: Values
    """Linear RGB to XYZ (D50), shape (3, 3); unused for grey."""

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel."""
        return len(self.curves) == 1

    @property
    def is_srgb(self) -> bool:
        """Whether it changes no colour visibly (by more than 1 of 255) when it is taken for sRGB."""
        steps = np.linspace(0, 1, 9)
        grid = steps[:, None] if self.is_grey else np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
        light = np.stack([curve(grid[:, channel]) for channel, curve in enumerate(self.curves)], axis=-1)
        if not self.is_grey:
            light = light @ (np.linalg.inv(SRGB_TO_XYZ) @ self.to_xyz).T
        return bool(np.abs(srgb_encoded(light) - grid).max() * 255 <= 1)


@dataclass(frozen=True, eq=False)
class Profile:
    """What is wanted of an ICC profile."""

    kind: str
    """What it describes: `RGB`, `GRAY`, `CMYK`, `Lab`, ..."""
    space: RgbSpace | None
    """None where it holds tables, or is of another kind."""


def parse(profile: bytes) -> Profile:
    """Understand an ICC profile as far as it is a curve and a matrix.

    Raises:
        ProfileError: It is damaged.
    Source: ICC.1:2022, 7.2 (header), 7.3 (tag table), 8.3 and 8.4 (which tags count), 10.6, 10.18, 10.31 (types).
    """
    if len(profile) < _HEADER_BYTES + 4 or profile[36:40] != b"acsp":
        raise ProfileError("no ICC profile")
    kind = profile[16:20].decode("latin-1").strip()
    tags = _tags(profile)
    if _TABLES & tags.keys() or profile[20:24] != b"XYZ ":
        return Profile(kind, None)
    try:
        if kind == "GRAY":
            return Profile(kind, RgbSpace((_curve(tags[b"kTRC"]),), np.eye(3)))
        if kind == "RGB":
            curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
            columns = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
            return Profile(kind, RgbSpace(curves, np.stack(columns, axis=1)))
    except (KeyError, struct.error, ValueError) as error:
        raise ProfileError("an ICC profile without its curves") from error
    return Profile(kind, None)


def space_of(
    primaries_xy: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],
    white_xy: tuple[float, float],
    curve: Curve,
) -> RgbSpace:
    """Return the space of three primaries and a white, given as x, y of CIE 1931.

    Raises:
        ProfileError: They span no space.
    Source: SMPTE RP 177-1993 (matrix); ICC.1:2022, annex E (adaptation to D50).
    """
    try:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries_xy]).T
        x, y = white_xy
        white = np.array([x / y, 1, (1 - x - y) / y])
        to_xyz = columns * np.linalg.solve(columns, white)
        cones = (_BRADFORD @ D50_XYZ) / (_BRADFORD @ white)
    except (ZeroDivisionError, np.linalg.LinAlgError) as error:
        raise ProfileError("primaries that span no space") from error
    adapted = np.linalg.solve(_BRADFORD, cones[:, None] * _BRADFORD) @ to_xyz
    if not np.isfinite(adapted).all() or abs(np.linalg.det(adapted)) < 1e-6:
        raise ProfileError("primaries that span no space")
    return RgbSpace((curve, curve, curve), adapted)


def srgb_encoded(light: Values) -> Values:
    """Linear light to sRGB, both in [0, 1]; what is outside is cut off.

    Source: IEC 61966-2-1.
    """
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_decoded(values: Values) -> Values:
    """Undo `srgb_encoded`."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    tags = {}
    for index in range(min(count, _MOST_TAGS)):
        at = _HEADER_BYTES + 4 + 12 * index
        if at + 12 > len(profile):
            raise ProfileError("an ICC profile that is cut short")
        name, start, size = struct.unpack_from(">4sII", profile, at)
        tags[name] = profile[start : start + size]
    return tags


def _xyz(tag: bytes) -> Values:
    if tag[:4] != b"XYZ ":
        raise ProfileError("no colour where one is due")
    return np.array(struct.unpack_from(">3i", tag, 8)) / 2**16


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        return _sampled(tag)
    if tag[:4] == b"para":
        return _parametric(tag)
    raise ProfileError("no curve where one is due")


def _sampled(tag: bytes) -> Curve:
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return lambda values: values
    if count == 1:
        gamma = struct.unpack_from(">H", tag, 12)[0] / 256
        return lambda values: values**gamma
    heights = np.frombuffer(tag, ">u2", count, offset=12) / 65535
    places = np.linspace(0, 1, count)
    return lambda values: np.interp(values, places, heights)


def _parametric(tag: bytes) -> Curve:
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind >= len(_PARAMETERS):
        raise ProfileError("an unknown kind of curve")
    numbers = [value / 2**16 for value in struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12)]
    gamma, a, b, c, d, e, f = (numbers + [0.0] * 7)[:7]
    if kind == 0:
        return lambda values: values**gamma
    if kind in (1, 2):  # From -b/a on; below, it is flat.
        floor = c if kind == 2 else 0.0
        return lambda values: np.maximum(a * values + b, 0) ** gamma + floor
    above, below = (e, f) if kind == 4 else (0.0, 0.0)
    return lambda values: np.where(values >= d, np.maximum(a * values + b, 0) ** gamma + above, c * values + below)
