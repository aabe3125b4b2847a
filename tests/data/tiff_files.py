"""TIFF files written by hand, for the layouts that no library at hand writes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = int | Sequence[int] | bytes | Sequence[tuple[int, int]]
_SHORT, _LONG, _RATIONAL, _BYTES = 3, 4, 5, 7
_SHORTS = frozenset({258, 259, 262, 266, 274, 277, 284, 317, 320, 338, 339, 530})


def tiff_file(*pages: tuple[Sequence[bytes], Mapping[int, Values]], order: str = "<", sub: bool = False) -> bytes:
    """Write pages, each of its chunks (strips, or tiles where there is a tag 322) and its tags.

    Args:
        pages: In their order; with `sub`, those after the first are sub-directories of the first.
        order: Of bytes in numbers.
        sub: See `pages`.
    """
    body = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    starts: list[int] = []
    links: list[int] = []
    for index, (chunks, given) in reversed(list(enumerate(pages))):
        tags = dict(given)
        offsets = []
        for chunk in chunks:
            offsets.append(len(body))
            body += chunk
        where, counts = (324, 325) if 322 in tags else (273, 279)
        tags[where], tags[counts] = offsets, [len(chunk) for chunk in chunks]
        if sub and index == 0 and starts:
            tags[330] = starts[::-1]
        following = 0 if sub or not links else links[-1]
        start = _write_directory(body, tags, order, following)
        links.append(start)
        if index:
            starts.append(start)
    body[4:8] = struct.pack(f"{order}I", links[-1])
    return bytes(body)


def _write_directory(body: bytearray, tags: Mapping[int, Values], order: str, following: int) -> int:
    entries = []
    for tag, value in sorted(tags.items()):
        kind, count, packed = _packed(tag, value, order)
        if len(packed) > 4:
            body += bytes(len(body) % 2)
            packed, body_part = struct.pack(f"{order}I", len(body)), packed
            body += body_part
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0"))
    body += bytes(len(body) % 2)
    start = len(body)
    body += struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)
    return start


def _packed(tag: int, value: Any, order: str) -> tuple[int, int, bytes]:
    if isinstance(value, bytes):
        return _BYTES, len(value), value
    values: list[Any] = [value] if isinstance(value, int) else list(value)
    if isinstance(values[0], tuple):
        numbers = [number for fraction in values for number in fraction]
        return _RATIONAL, len(values), struct.pack(f"{order}{len(numbers)}I", *numbers)
    kind, form = (_SHORT, "H") if tag in _SHORTS else (_LONG, "I")
    return kind, len(values), struct.pack(f"{order}{len(values)}{form}", *values)


def tags_of(
    pixels: npt.NDArray[Any], *, bits: int, photometric: int, rows: int | None = None, **more: Values
) -> dict[int, Values]:
    """Return the usual tags of a picture of shape (H, W, C); `more` are named t338=..."""
    height, width, channels = pixels.shape
    tags: dict[int, Values] = {
        256: width, 257: height, 258: [bits] * channels, 259: 1, 262: photometric,
        277: channels, 278: rows or height, 284: 1,
    }  # fmt: skip
    return tags | {int(name[1:]): value for name, value in more.items()}


def packed_bits(pixels: npt.NDArray[Any], bits: int) -> bytes:
    """Pack numbers of `bits` bits, the first in the highest bits, each row from a new byte on."""
    rows = []
    for row in pixels.reshape(pixels.shape[0], -1).astype(np.int64):
        digits = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows.append(np.packbits(digits.astype(np.uint8).ravel()).tobytes())
    return b"".join(rows)


def reversed_bits(data: bytes) -> bytes:
    """Turn each byte around (FillOrder 2)."""
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)[:, ::-1], axis=1).tobytes()


def floating_predicted(pixels: npt.NDArray[Any]) -> bytes:
    """Apply predictor 3 (Adobe's technical note 3) to floating point of shape (H, W, C), and deflate it."""
    size, channels = pixels.dtype.itemsize, pixels.shape[2]
    rows = []
    for row in pixels:
        planes = np.frombuffer(row.astype(pixels.dtype.newbyteorder(">")).tobytes(), np.uint8).reshape(-1, size).T
        values = planes.reshape(-1, channels).astype(np.int16)
        rows.append(np.diff(values, axis=0, prepend=np.zeros((1, channels), np.int16)).astype(np.uint8).tobytes())
    return zlib.compress(b"".join(rows))


def subsampled(pixels: npt.NDArray[np.uint8], across: int, down: int) -> bytes:
    """Lay YCbCr out in units of `across` x `down` pixels that share their colour; sides must be multiples."""
    height, width = pixels.shape[:2]
    units = pixels.reshape(height // down, down, width // across, across, 3).swapaxes(1, 2)
    luma = units[..., 0].reshape(*units.shape[:2], -1)
    colours = np.rint(units[..., 1:].mean(axis=(2, 3))).astype(np.uint8)
    return np.concatenate([luma, colours], axis=2).tobytes()
