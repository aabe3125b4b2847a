"""Coloured photos as PNG files: strips of rows are filtered and compressed beside each other.

OpenCV compresses on one core, with run lengths alone, and needs several times as long for a file a fifth larger. Every
strip here is a stretch of one deflate stream that refers to nothing before it, so any program reads it as any other.
"""

from __future__ import annotations

import struct
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from deepcolor.coloring.strips import in_strips
from deepcolor.data.images import Pixels
from deepcolor.data.marks import marked

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {3: 2, 4: 6}
"""RGB, and RGB with opacity, by their channels."""
_UP = 2
"""The filter that stores each byte as its difference to the one above: photos of any depth get small by it."""
_LEVEL = 2
"""Of ISA-L, which needs a quarter of zlib's time at its level 1, for a file that is no larger."""
_ZLIB_HEADER = b"\x78\x01"
_RAW = -15
"""A deflate stream without header and checksum, with the largest window."""
_STRIP_PX = 2**18
_ADLER = 65521


class _Part(NamedTuple):
    """A strip, filtered and compressed."""

    deflated: bytes
    adler: int
    """Of the filtered bytes."""
    length: int
    """Of these."""


def png_of_pixels(pixels: Pixels) -> bytes:
    """Return a picture as a PNG file, with the mark of what deepcolor makes.

    Args:
        pixels: sRGB, shape (H, W, 3), or (H, W, 4) with opacity; uint8 or uint16.
    Returns:
        The file; the same bytes however many threads there are.
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)

    def compressed(rows: slice) -> _Part:
        filtered = _filtered(pixels, rows)
        deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        end = isal_zlib.Z_FINISH if rows.stop == height else isal_zlib.Z_FULL_FLUSH
        deflated = deflate.compress(filtered.data) + deflate.flush(end)
        return _Part(deflated, isal_zlib.adler32(filtered.data), filtered.size)

    parts = in_strips(compressed, height_px=height, width_px=width, strip_px=_STRIP_PX)
    checksum = reduce(_joined, parts).adler.to_bytes(4, "big")
    stream = (_ZLIB_HEADER, *(part.deflated for part in parts), checksum)
    chunks = [piece for body in stream for piece in _chunk(b"IDAT", body)]
    return b"".join([marked(_SIGNATURE + b"".join(_chunk(b"IHDR", header))), *chunks, *_chunk(b"IEND", b"")])


def _filtered(pixels: Pixels, rows: slice) -> npt.NDArray[np.uint8]:
    """Return some rows as PNG has them: big-endian, each behind the number of its filter."""
    above = max(0, rows.start - 1)
    block: npt.NDArray[Any] = np.ascontiguousarray(pixels[above : rows.stop], dtype=pixels.dtype.newbyteorder(">"))
    raw = block.reshape(block.shape[0], -1).view(np.uint8)
    filtered = np.empty((rows.stop - rows.start, raw.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    if rows.start == 0:
        filtered[0, 1:] = raw[0]  # Above the first row there are zeros.
        np.subtract(raw[1:], raw[:-1], out=filtered[1:, 1:])
    else:
        np.subtract(raw[1:], raw[:-1], out=filtered[:, 1:])
    return filtered


def _joined(one: _Part, other: _Part) -> _Part:
    """The checksum of two stretches, one behind the other, from theirs.

    Source: RFC 1950, 8.2: both sums go on from where they were.
    """
    low, high = one.adler & 0xFFFF, one.adler >> 16
    other_low, other_high = other.adler & 0xFFFF, other.adler >> 16
    low_sum = (low + other_low - 1) % _ADLER
    high_sum = (high + other_high + other.length * (low - 1)) % _ADLER
    return _Part(b"", high_sum << 16 | low_sum, one.length + other.length)


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return len(body).to_bytes(4, "big"), kind, body, isal_zlib.crc32(body, isal_zlib.crc32(kind)).to_bytes(4, "big")
