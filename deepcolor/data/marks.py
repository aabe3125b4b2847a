"""The mark in the PNG pictures that deepcolor makes, so that they are never taken for photos."""

from __future__ import annotations

import zlib
from pathlib import Path

from deepcolor.plainfile import open_plain

FIGURE_METADATA = {"Software": "deepcolor"}
"""For matplotlib's `savefig` of PNG files: the same mark."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = len(_SIGNATURE) + 25
"""The header is always the first part of a PNG file, and always as long."""
_TEXT = b"Software\0deepcolor"
_LOOKED_AT = 4096
"""Bytes within which the mark stands: texts come before the pixels, and deepcolor's before any other."""


def marked(png: bytes) -> bytes:
    """Put the mark into a PNG file's bytes; the pixels stay as they are."""
    part = b"tEXt" + _TEXT
    chunk = len(_TEXT).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]


def is_marked(start: bytes) -> bool:
    """Whether a file that begins with these bytes was made by deepcolor."""
    place = len(_SIGNATURE)
    if not start.startswith(_SIGNATURE):
        return False
    while place + 8 <= len(start):
        length, kind = int.from_bytes(start[place : place + 4], "big"), start[place + 4 : place + 8]
        if kind == b"tEXt" and start[place + 8 : place + 8 + length] == _TEXT:
            return True
        if kind == b"IDAT":
            return False
        place += 12 + length
    return False


def is_made_by_deepcolor(path: Path) -> bool:
    """Whether a file is a picture that deepcolor made: coloured, or a figure. False where it cannot be read."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with open_plain(path) as file:
            return is_marked(file.read(_LOOKED_AT))
    except OSError:
        return False
