"""Which way is up: the one thing that is wanted of a picture's metadata.

Read by hand, and forgivingly: whatever else EXIF and XMP hold, and however broken they are, they cost no pixel.
"""

from __future__ import annotations

import re
import struct

ORIENTATION_TAG = 0x0112

_FORMS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""The types of whole numbers that fit into an entry's value field; the standard allows SHORT (3) alone."""
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")


def orientation_of(*, exif: bytes = b"", xmp: bytes = b"") -> int:
    """Read the orientation.

    Args:
        exif: A TIFF structure, with or without the word Exif before it; empty where there is none.
        xmp: An XMP packet; asked where EXIF says nothing.
    Returns:
        1 to 8; 1 (upright) where nothing sensible is said.
    """
    found = _in_exif(exif.removeprefix(b"Exif\0\0"))
    if found is None and (match := _XMP.search(xmp)):
        found = int(match[1])
    return found or 1


def _in_exif(exif: bytes) -> int | None:
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == ORIENTATION_TAG and kind in _FORMS:
                (value,) = struct.unpack_from(order + _FORMS[kind], exif, entry + 8)
                return value if 1 <= value <= 8 else None
    except struct.error:  # It ends too soon.
        pass
    return None
