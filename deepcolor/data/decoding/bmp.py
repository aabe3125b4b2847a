"""BMP files: Pillow decodes them; the profile, which it does not look for, is read here."""

from __future__ import annotations

import struct

from PIL import BmpImagePlugin

from deepcolor.data.decoding.bounds import Allowance, Fault, TimedBytes
from deepcolor.data.decoding.raster import Raster, raster_of

_OLD_HEADER, _V5_HEADER = 12, 124
_EMBEDDED = b"DEBM"
"""MBED, as a little-endian number."""


def decode(data: bytes, allowance: Allowance) -> Raster:
    """Decode a BMP file.

    Raises:
        Fault: It is cut short, damaged or too large.
    """
    header = data[14 : 14 + int.from_bytes(data[14:18], "little")] if len(data) >= 18 else b""
    if len(header) < _OLD_HEADER:
        raise Fault("a truncated file")
    form = "<HHHH" if len(header) == _OLD_HEADER else "<iiHH"
    width_px, height_px, _, bits = struct.unpack_from(form, header.ljust(16, b"\0"), 4)
    allowance.check_size(abs(width_px), abs(height_px), bits=bits)
    with BmpImagePlugin.BmpImageFile(TimedBytes(data, allowance)) as image:
        image.load()
        raster = raster_of(image, colours=_profile(data, header))
    if raster is None:
        raise Fault("an unknown kind of BMP")
    return raster


def _profile(data: bytes, header: bytes) -> bytes | None:
    """Return the embedded profile, which only the newest header has."""
    if len(header) < _V5_HEADER or header[56:60] != _EMBEDDED:
        return None
    start, size = struct.unpack_from("<II", header, 112)
    return data[14 + start : 14 + start + size]
