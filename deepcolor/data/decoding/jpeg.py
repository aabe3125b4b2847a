"""JPEG files: decoded whole or not at all.

libjpeg fills what is missing with grey and continues, if only the end marker is there. It does wait, however, for more
data where there is no marker yet. So every stretch of coded data is handed to it without the marker behind it, and a
few bits more than it can look ahead. If it still waits for data then, some are missing; if not, it takes any further
byte for junk before the next marker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from PIL import Image, _imaging

from deepcolor.data.decoding.bounds import Allowance, Fault
from deepcolor.data.decoding.exif import orientation_of
from deepcolor.data.decoding.raster import Model, Pixels, Raster

MOST_SCANS = 100
"""Each costs a pass over the picture. Cameras and programs write up to about ten."""
_MOST_STRETCHES = 4096
"""Above, restart markers are counted, but the data between two of them are not looked at one by one."""
_AHEAD = b"\xff\0" * 16
"""128 bits that are no code, so that what is missing is not made up of them; libjpeg looks 64 bits ahead."""
_PROBES = 3
_ALL = 16
"""Bits that are missing of a frequency no scan has brought."""

_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_EOI, _SOS, _DRI, _APP1, _APP2 = 0xD9, 0xDA, 0xDD, 0xE1, 0xE2
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_DROPPED = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""Metadata and comments; libjpeg and Pillow need JFIF's APP0 and Adobe's APP14 alone, to tell the colour model."""
_MODES: dict[int, tuple[str, Model]] = {1: ("L", "grey"), 3: ("RGB", "rgb"), 4: ("CMYK", "cmyk")}


@dataclass
class _Frame:
    kind: int
    width_px: int
    height_px: int
    sampling: dict[int, tuple[int, int]]
    """Of each component, by its number: horizontal and vertical."""

    def units(self, components: tuple[int, ...]) -> int:
        """How many coded units (MCUs) a scan of these components has."""
        widest = max(across for across, _ in self.sampling.values())
        highest = max(down for _, down in self.sampling.values())
        if len(components) > 1:
            return ceil(self.width_px / (8 * widest)) * ceil(self.height_px / (8 * highest))
        across, down = self.sampling[components[0]]
        return ceil(self.width_px * across / widest / 8) * ceil(self.height_px * down / highest / 8)


@dataclass
class _Stream:
    """A JPEG file, taken apart."""

    frame: _Frame | None = None
    head: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    """What is handed on of the segments before the first scan."""
    stretches: list[bytes] = field(default_factory=list)
    """Coded data, each with the segments before it."""
    scans: int = 0
    restart_units: int = 0
    missing_bits: dict[int, list[int]] = field(default_factory=dict)
    """Of each component, for its 64 frequencies; scans of progressive files bring them one after the other."""
    exif: bytes = b""
    xmp: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    profile_parts: int = 0


def decode(data: bytes, allowance: Allowance) -> Raster:
    """Decode a JPEG file.

    Args:
        data: The file; what follows its picture is not looked at.
        allowance: What it may cost.
    Raises:
        Fault: It is cut short, damaged, too large, or of a kind that cannot be read.
    """
    stream = _taken_apart(data, allowance)
    pixels, model = _decoded(stream, allowance)
    parts = stream.profile
    whole = len(parts) == stream.profile_parts
    profile = b"".join(parts[number] for number in sorted(parts)) if whole else b"cut short"
    return Raster(
        pixels,
        model,
        colours=profile if parts else None,
        orientation=orientation_of(exif=stream.exif, xmp=stream.xmp),
    )


def decode_part(data: bytes, allowance: Allowance, *, as_they_are: bool) -> Pixels:
    """Decode a JPEG stream that is a part of another file (a TIFF's strip).

    Args:
        data: With its tables.
        allowance: What it may cost.
        as_they_are: Whether the channels come as stored; else YCbCr is brought to RGB.
    Returns:
        Shape (H, W, C).
    Raises:
        Fault: As for `decode`.
    """
    return _decoded(_taken_apart(data, allowance), allowance, as_they_are=as_they_are)[0]


def _taken_apart(data: bytes, allowance: Allowance) -> _Stream:
    stream = _Stream()
    for kind, start, end, stop in _segments(data):
        if kind == _SOS:
            _take_scan(stream, data, start, end, stop)
        elif kind not in _DROPPED:
            stream.head.append(data[start:end])
        _note(stream, kind, data[start + 4 : end], allowance)
    if stream.frame is None or any(any(bits) for bits in stream.missing_bits.values()):
        raise Fault("a truncated file")
    return stream


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield each marker's second byte, where its segment begins (with the marker) and ends, and the coded data end.

    Raises:
        Fault: There is no end marker.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        kind = data[at + 1] if 0 <= at < len(data) - 1 else -1
        if kind == _EOI:
            return
        if kind in _STANDALONE or kind == 0xFF:
            at += 1 if kind == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found = _MARKER.search(data, end) if kind == _SOS else None
        if kind < 0 or end > len(data) or (kind == _SOS and found is None):
            raise Fault("a truncated file")
        if end < at + 4:
            raise Fault("a damaged file")
        stop = end if found is None else found.start()
        yield kind, at, end, stop
        at = stop


def _note(stream: _Stream, kind: int, body: bytes, allowance: Allowance) -> None:
    """Take from a segment what decides how the picture is decoded and shown."""
    if kind in _FRAMES and stream.frame is None:
        stream.frame = _frame(kind, body, allowance)
        stream.missing_bits = {component: [_ALL] * 64 for component in stream.frame.sampling}
    elif kind == _DRI and len(body) >= 2:
        stream.restart_units = int.from_bytes(body[:2], "big")
    elif kind == _APP1 and body.startswith(b"Exif\0\0"):
        stream.exif += body[6:]  # Long EXIF continues in a second segment.
    elif kind == _APP1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        stream.xmp = stream.xmp or body
    elif kind == _APP2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
        stream.profile.setdefault(body[12], body[14:])
        stream.profile_parts = body[13]


def _frame(kind: int, body: bytes, allowance: Allowance) -> _Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise Fault("a damaged file")
    bits, channels = body[0], body[5]
    height_px, width_px = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    allowance.check_size(width_px, height_px, bits=bits * channels)
    if bits != 8:
        raise Fault(f"a JPEG of {bits} bits a channel")
    if channels not in _MODES:
        raise Fault(f"a JPEG of {channels} channels")
    triples = [body[6 + 3 * index : 9 + 3 * index] for index in range(channels)]
    sampling = {number: (factors >> 4, factors & 15) for number, factors, _ in triples}
    if not all(across and down for across, down in sampling.values()):
        raise Fault("a damaged file")
    return _Frame(kind, width_px, height_px, sampling)


def _take_scan(stream: _Stream, data: bytes, start: int, end: int, stop: int) -> None:
    """Add a scan's stretches of coded data; its header is from `start` to `end`, its data from there to `stop`."""
    stream.scans += 1
    if stream.scans > MOST_SCANS:
        raise Fault(f"more than {MOST_SCANS} scans in a JPEG", advice="Save it anew, or remove it.")
    if stream.frame is None:
        raise Fault("a damaged file")
    components = _note_progress(stream, stream.frame, data[start + 4 : end])
    cuts = [stop]
    if stream.restart_units:
        restarts = [match.start() for match in _RESTART.finditer(data, end, stop)]
        if len(restarts) < ceil(stream.frame.units(components) / stream.restart_units) - 1:
            raise Fault("a truncated file")
        if len(restarts) + len(stream.stretches) < _MOST_STRETCHES:
            cuts = [*restarts, stop]
    stream.stretches.append(b"".join(stream.head) + data[start : cuts[0]])
    stream.stretches += [data[first:last] for first, last in pairwise(cuts)]
    stream.head.clear()


def _note_progress(stream: _Stream, frame: _Frame, body: bytes) -> tuple[int, ...]:
    """Remember which frequencies a scan brings, and how exactly; return its components."""
    count = body[0] if body else 0
    if not 1 <= count <= 4 or len(body) < 4 + 2 * count:
        raise Fault("a damaged file")
    components = tuple(body[1 : 1 + 2 * count : 2])
    if any(component not in frame.sampling for component in components):
        raise Fault("a damaged file")
    first, last, shifts = body[1 + 2 * count : 4 + 2 * count]
    if frame.kind not in _PROGRESSIVE:
        first, last, shifts = 0, 63, 0
    for component in components:
        for frequency in range(first, min(last, 63) + 1):
            stream.missing_bits[component][frequency] = shifts & 15
    return components


def _decoded(stream: _Stream, allowance: Allowance, *, as_they_are: bool = False) -> tuple[Pixels, Model]:
    frame = stream.frame
    assert frame is not None
    mode, model = _MODES[len(frame.sampling)]
    image = Image.new(mode, (frame.width_px, frame.height_px), None)
    # Adobe's programs store CMYK upside down, and hardly anyone else writes it.
    raw_mode = "CMYK;I" if mode == "CMYK" and not as_they_are else mode
    decoder = _imaging.jpeg_decoder(mode, raw_mode, mode if as_they_are else "")
    try:
        decoder.setimage(image.im, (0, 0, *image.size))
        _feed(decoder, stream, allowance)
    finally:
        decoder.cleanup()
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), model


def _feed(decoder: Any, stream: _Stream, allowance: Allowance) -> None:
    """Hand over all coded data; see the top of this file."""
    assert stream.frame is not None
    if stream.frame.kind in _ARITHMETIC:  # These cannot wait, and may leave out zeros at their end.
        _finish(decoder, b"".join(stream.stretches) + b"\xff\xd9")
        return
    for stretch in stream.stretches:
        allowance.check_time()
        taken, error = decoder.decode(stretch + _AHEAD)
        if taken < 0:
            _check_error(error)
            return
        if taken < len(stretch) + len(_AHEAD):
            raise Fault("a truncated file")
        for _ in range(_PROBES):
            taken, error = decoder.decode(b"\0")
            _check_error(error)
            if taken == 0:
                raise Fault("a truncated file")
            if taken < 0:
                return
    _finish(decoder, b"\xff\xd9")


def _finish(decoder: Any, data: bytes) -> None:
    taken, error = decoder.decode(data)
    _check_error(error)
    if taken >= 0:
        raise Fault("a truncated file")


def _check_error(error: int) -> None:
    if error < 0:
        raise Fault("a damaged file")
