"""A TIFF file's directories: which tags there are, and which of its pictures is the photo."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepcolor.data.decoding.bounds import Allowance, Fault

SUBFILE, OLD_SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS, STRIP_COUNTS = 266, 273, 274, 277, 278, 279
PLANAR, T4_OPTIONS, T6_OPTIONS, PREDICTOR, COLOUR_MAP = 284, 292, 293, 317, 320
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, SUB_DIRECTORIES = 322, 323, 324, 325, 330
EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 338, 339, 347
COEFFICIENTS, SUBSAMPLING, REFERENCE, XMP, PROFILE = 529, 530, 532, 700, 34675

_WANTED = frozenset(value for name, value in list(globals().items()) if name.isupper() and isinstance(value, int))
_FORMS = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2",
    9: "i4", 10: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
"""NumPy's name of each type of value; fractions are two numbers."""
_FRACTIONS = frozenset({5, 10})
_BYTES = frozenset({1, 2, 6, 7})
_MOST_DIRECTORIES = 64
_REDUCED, _MASK = 1, 4


@dataclass(frozen=True)
class Directory:
    """The tags of one picture in a file."""

    tags: dict[int, Any]
    """Tuples of numbers; bytes for text and the like."""

    def number(self, tag: int, default: int = 0) -> int:
        """Return a tag's first number, or what it is when it is not there."""
        value = self.tags.get(tag)
        return int(value[0]) if value is not None and len(value) else default

    def numbers(self, tag: int) -> tuple[Any, ...]:
        """Return all of a tag's numbers."""
        return tuple(self.tags.get(tag, ()))

    def raw(self, tag: int) -> bytes:
        """Return a tag's bytes."""
        value = self.tags.get(tag, b"")
        return value if isinstance(value, bytes) else b""

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.number(WIDTH) * self.number(LENGTH)

    @property
    def is_photo(self) -> bool:
        """Whether it is neither a smaller version of another picture nor a mask."""
        return not self.number(SUBFILE) & (_REDUCED | _MASK) and self.number(OLD_SUBFILE, 1) != 2

    @property
    def is_mask(self) -> bool:
        """Whether it says which part of another picture is to be seen."""
        return bool(self.number(SUBFILE) & _MASK)


def photo_of(data: bytes, allowance: Allowance) -> tuple[Directory, str]:
    """Return the directory of the photo, and the byte order of the file (`<` or `>`).

    That is the first full picture: thumbnails and masks that come before it are passed over, wherever it is.

    Raises:
        Fault: There is no picture.
    """
    order = "<" if data[:2] == b"II" else ">"
    found: list[Directory] = []
    for directory in _directories(data, order):
        allowance.check_time()
        if not directory.pixels:
            continue
        if directory.is_photo:
            return directory, order
        found.append(directory)
    pictures = [directory for directory in found if not directory.is_mask]
    if not pictures:
        raise Fault("a damaged file" if len(data) > 8 else "a truncated file")
    return max(pictures, key=lambda directory: directory.pixels), order


def _directories(data: bytes, order: str) -> Iterator[Directory]:
    """Yield the directories of the main chain, each followed by its own chain; damaged ones end it."""
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43 if len(data) >= 8 else False
    pointer = "Q" if big else "I"
    waiting = [_at(data, f"{order}{pointer}", 8 if big else 4)]
    if waiting[0] >= len(data):
        raise Fault("a truncated file")
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        start = waiting.pop(0)
        if start in seen or not 0 < start < len(data):
            continue
        seen.add(start)
        directory, following = _read(data, start, order, big=big)
        if directory is None:
            continue
        yield directory
        waiting[0:0] = [*directory.numbers(SUB_DIRECTORIES), following]


def _read(data: bytes, start: int, order: str, *, big: bool) -> tuple[Directory | None, int]:
    count_form, entry_bytes, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    count = _at(data, f"{order}{count_form}", start)
    first = start + (8 if big else 2)
    end = first + entry_bytes * count
    if count < 0 or end > len(data):
        return None, 0
    tags = {}
    for entry in range(first, end, entry_bytes):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in _WANTED and tag not in tags and kind in _FORMS:
            value = _value(data, entry + 4, kind, order, pointer)
            if value is not None:
                tags[tag] = value
    return Directory(tags), max(0, _at(data, f"{order}{pointer}", end))


def _value(data: bytes, at: int, kind: int, order: str, pointer: str) -> Any:
    """Return a tag's value; None where it is outside of the file."""
    count = _at(data, f"{order}{pointer}", at)
    inline = at + (8 if pointer == "Q" else 4)
    dtype = np.dtype(order + _FORMS[kind])
    numbers = count * (2 if kind in _FRACTIONS else 1)
    size = numbers * dtype.itemsize
    start = inline if size <= struct.calcsize(f"<{pointer}") else _at(data, f"{order}{pointer}", inline)
    if count < 0 or start < 0 or start + size > len(data):
        return None
    if kind in _BYTES:
        return data[start : start + size]
    values = np.frombuffer(data, dtype, numbers, offset=start)
    if kind in _FRACTIONS:
        return tuple(float(above) / float(below) if below else 0.0 for above, below in values.reshape(-1, 2))
    return tuple(values.tolist())


def _at(data: bytes, form: str, start: int) -> int:
    """Return one whole number; -1 where the file ends before."""
    if start < 0 or start + struct.calcsize(form) > len(data):
        return -1
    return int(struct.unpack_from(form, data, start)[0])
