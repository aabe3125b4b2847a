"""WebP files: the picture's chunks are handed on to Pillow, the others are read here."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import WebPImagePlugin

from deepcolor.data.decoding.bounds import Allowance, Fault
from deepcolor.data.decoding.exif import orientation_of
from deepcolor.data.decoding.raster import Raster, raster_of

_PICTURE = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_METADATA_BITS = 0x2C
"""In VP8X: that there is a profile, EXIF or XMP."""


def decode(data: bytes, allowance: Allowance) -> Raster:
    """Decode a WebP file; of an animation, its first picture.

    Raises:
        Fault: It is cut short, damaged or too large.
    """
    size = int.from_bytes(data[4:8], "little") + 8
    if size > len(data):
        raise Fault("a truncated file")
    others: dict[bytes, bytes] = {}
    kept = bytearray()
    for name, body in _chunks(data[:size]):
        if name not in _PICTURE:
            others.setdefault(name, body)
            continue
        _check_size(name, body, allowance)
        if name == b"VP8X" and body:
            body = bytes([body[0] & ~_METADATA_BITS]) + body[1:]  # noqa: PLW2901  # The same chunk, with less promised.
        kept += name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    riff = b"RIFF" + (len(kept) + 4).to_bytes(4, "little") + b"WEBP" + kept
    with WebPImagePlugin.WebPImageFile(io.BytesIO(riff)) as image:
        image.load()
        raster = raster_of(
            image,
            colours=others.get(b"ICCP"),
            orientation=orientation_of(exif=others.get(b"EXIF", b""), xmp=others.get(b"XMP ", b"")),
        )
    if raster is None:
        raise Fault("an unknown kind of WebP")
    return raster


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            if name in _PICTURE:
                raise Fault("a truncated file")
            return
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _check_size(name: bytes, body: bytes, allowance: Allowance) -> None:
    if name == b"VP8X" and len(body) >= 10:
        width, height = int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    elif name == b"VP8 " and len(body) >= 10:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    elif name == b"VP8L" and len(body) >= 5:
        packed = int.from_bytes(body[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        return
    allowance.check_size(width, height)
