"""What a PNG file says of its colours: in an ICC profile, in code points, as sRGB, or by gamma and primaries."""

from __future__ import annotations

import struct
import zlib
from functools import partial

import numpy as np

from deepcolor.data.decoding.bounds import Fault
from deepcolor.data.decoding.icc import Curve, ProfileError, RgbSpace, Values, space_of, srgb_decoded

_D65 = (0.3127, 0.3290)
_BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_PRIMARIES = {
    1: (_BT709, _D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), (0.310, 0.316)),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), _D65),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    7: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65),
}
"""ITU-T H.273, table 2: the primaries and the white of a code point."""
_MOST_PROFILE_BYTES = 2**24
_USUAL_GAMMA = 45455
_NEAR = 0.002
"""How far a chromaticity may be from sRGB's and still be meant."""


def colours_of(chunks: dict[bytes, bytes]) -> bytes | RgbSpace | None:
    """Return an ICC profile, or a space; None for sRGB.

    Args:
        chunks: By their names; those that do not speak of colours are passed over.
    Raises:
        Fault: The picture is of a kind that sRGB cannot hold (high dynamic range), or its range is cut.
    Source: PNG, third edition, 4.3 (which chunk goes first), 11.3.2.
    """
    if len(chunks.get(b"cICP", b"")) == 4:
        return _from_code_points(*chunks[b"cICP"])
    if b"iCCP" in chunks:
        return _profile(chunks[b"iCCP"])
    if b"sRGB" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    return _from_gamma(chunks[b"gAMA"], chunks.get(b"cHRM", b""))


def _profile(body: bytes) -> bytes:
    _, _, rest = body.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(rest[1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return b"damaged"


def _from_code_points(primaries: int, transfer: int, matrix: int, full_range: int) -> RgbSpace | None:
    curve = _curve_of(transfer)
    if curve is None or matrix != 0 or full_range != 1:
        raise Fault(f"a PNG of colour kind {primaries}/{transfer}/{matrix}/{full_range} (cICP)")
    if primaries not in _PRIMARIES:
        return None
    space = space_of(*_PRIMARIES[primaries], curve)
    return None if space.is_srgb else space


def _curve_of(transfer: int) -> Curve | None:
    """Return the curve of a code point of H.273, table 3; None for high dynamic range and the unknown."""
    if transfer == 13:
        return srgb_decoded
    if transfer in (1, 6, 14, 15):
        return _bt709_decoded
    return {4: partial(_power, 2.2), 5: partial(_power, 2.8), 8: partial(_power, 1.0)}.get(transfer)


def _bt709_decoded(values: Values) -> Values:
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def _power(gamma: float, values: Values) -> Values:
    return values**gamma


def _from_gamma(gamma: bytes, chromaticities: bytes) -> RgbSpace | bytes | None:
    (exponent,) = struct.unpack(">I", gamma)
    white, primaries = _D65, _BT709
    if len(chromaticities) == 32:
        numbers = [number / 100000 for number in struct.unpack(">8I", chromaticities)]
        if any(abs(each - usual) > _NEAR for each, usual in zip(numbers, [*_D65, *sum(_BT709, ())], strict=True)):
            white, red, green, blue = zip(numbers[::2], numbers[1::2], strict=True)
            primaries = (red, green, blue)
    if not 10000 <= exponent <= 1000000:
        return b"damaged"
    if primaries is _BT709 and abs(exponent - _USUAL_GAMMA) < 500:
        return None  # What editors write for sRGB.
    # Of the usual gamma, sRGB's own curve is meant.
    curve = srgb_decoded if abs(exponent - _USUAL_GAMMA) < 500 else partial(_power, 100000 / exponent)
    try:
        return space_of(primaries, white, curve)
    except ProfileError:
        return b"damaged"
