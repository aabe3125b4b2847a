"""Colour profiles written byte by byte, so that what is tested is not what wrote them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# Red, green and blue, each as X, Y, Z adapted to D50: Bruce Lindbloom's figures, and Apple's for Display P3.
SRGB: Matrix = np.array(
    [[0.4360747, 0.2225045, 0.0139322], [0.3850649, 0.7168786, 0.0971045], [0.1430804, 0.0606169, 0.7141733]]
)
ADOBE_RGB: Matrix = np.array(
    [[0.6097559, 0.3111242, 0.0194811], [0.2052401, 0.6256560, 0.0608902], [0.1492240, 0.0632197, 0.7448387]]
)
DISPLAY_P3: Matrix = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def rgb_profile(name: str, matrix: Matrix, curve: bytes) -> bytes:
    """Return an RGB profile of three primaries and one curve."""
    primaries = {
        tag: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in row))
        for tag, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix, strict=True)
    }
    return _profile(name, b"RGB ", primaries | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(name: str, curve: bytes) -> bytes:
    """Return a profile for grey pictures."""
    return _profile(name, b"GRAY", {b"kTRC": curve})


def gamma(value: float) -> bytes:
    """Return a curve that is a power; 1 is linear."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def linear() -> bytes:
    """Return the curve that is none."""
    return b"curv\0\0\0\0" + struct.pack(">I", 0)


def parametric(numbers: Sequence[float], kind: int) -> bytes:
    """Return a parametric curve of type 0 to 4."""
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))


def sampled(function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], count: int = 1024) -> bytes:
    """Return a curve as a table."""
    values = np.rint(np.clip(function(np.linspace(0, 1, count)), 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", count) + values.tobytes()


def _profile(name: str, space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode("ascii") + b"\0"
    tags = tags | {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"cprt": b"text\0\0\0\0none\0",
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
