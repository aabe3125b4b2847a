"""PNG files put together chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.data.tiff_files import packed_bits

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

Chunk = tuple[bytes, bytes]


def chunk(name: bytes, body: bytes) -> bytes:
    """Return one chunk, with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def png_file(
    pixels: npt.NDArray[Any],
    *,
    kind: int,
    bits: int,
    before: Sequence[Chunk] = (),
    after: Sequence[Chunk] = (),
    interlaced: bool = False,
) -> bytes:
    """Write a picture of shape (H, W, C) without filters.

    Args:
        pixels: Numbers of `bits` bits.
        kind: Colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        bits: A channel's.
        before: Chunks before the data.
        after: Chunks behind them.
        interlaced: By Adam7.
    """
    height, width = pixels.shape[:2]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b""
    for left, top, across, down in passes:
        part = pixels[top::down, left::across]
        if part.size:
            packed = packed_bits(part, bits)
            size = len(packed) // part.shape[0]
            rows += b"".join(b"\0" + packed[at : at + size] for at in range(0, len(packed), size))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    data = zlib.compress(rows)
    chunks = [(b"IHDR", header), *before, (b"IDAT", data[:99]), (b"IDAT", data[99:]), *after, (b"IEND", b"")]
    return _SIGNATURE + b"".join(chunk(*each) for each in chunks)


def with_chunks(png: bytes, *chunks: Chunk) -> bytes:
    """Put chunks right behind a PNG file's header."""
    return png[:33] + b"".join(chunk(*each) for each in chunks) + png[33:]


def iccp(profile: bytes) -> Chunk:
    """Return the chunk that holds a profile."""
    return b"iCCP", b"a profile\0\0" + zlib.compress(profile)


def to_numbers(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.int64]:
    """Bring uint8 to numbers of `bits` bits, coarser or finer."""
    return np.asarray(np.rint(pixels.astype(np.float64) / 255 * (2**bits - 1)), np.int64)
