"""PNG files: their chunks are checked here, and only those that hold the picture are handed on.

Pillow decodes up to 8 bits a channel. Above, it would cut them to 8, and OpenCV takes over.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import PngImagePlugin

from deepcolor.data.decoding.bounds import Allowance, Fault, TimedBytes
from deepcolor.data.decoding.exif import orientation_of
from deepcolor.data.decoding.png_colours import colours_of
from deepcolor.data.decoding.raster import Model, Pixels, Raster

# It would write what it thinks of a file on the screen, past everyone. Whoever wants that has said so.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""
_PALETTE = 3
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between columns and rows, of the seven passes."""
_INFLATED_BYTES = 2**20
_MOST_TEXT_BYTES = 2**20
"""Of a compressed text that may hold the orientation."""


@dataclass
class _Header:
    width_px: int
    height_px: int
    bits: int
    kind: int
    interlaced: bool

    @property
    def channels(self) -> int:
        return _CHANNELS[self.kind]

    def rows(self) -> Iterator[int]:
        """Yield the bytes of each row as it is stored, without the one that names its filter."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        for left, top, across, down in passes:
            width = max(0, -(-(self.width_px - left) // across))
            height = max(0, -(-(self.height_px - top) // down))
            for _ in range(height if width else 0):
                yield -(-width * self.channels * self.bits // 8)


@dataclass
class _Chunks:
    header: _Header
    data: list[bytes] = field(default_factory=list)
    xmp: bytes = b""
    old_exif: bytes = b""
    others: dict[bytes, bytes] = field(default_factory=dict)
    """The first of each name."""

    @property
    def transparency(self) -> bytes:
        return self.others.get(b"tRNS", b"")


def decode(data: bytes, allowance: Allowance) -> Raster:
    """Decode a PNG file; of an animation, the picture that is shown where nothing moves.

    Raises:
        Fault: It is cut short, damaged or too large.
    """
    chunks = _taken_apart(data, allowance)
    header = chunks.header
    pixels = _deep(chunks, allowance) if header.bits == 16 else _shallow(chunks, allowance)
    orientation = orientation_of(exif=chunks.others.get(b"eXIf", chunks.old_exif), xmp=chunks.xmp)
    coloured = 3 if header.kind in (2, 3, 6) else 1
    alpha = pixels[..., coloured] if pixels.shape[2] > coloured else _keyed(pixels, chunks)
    model: Model = "rgb" if coloured == 3 else "grey"
    return Raster(pixels[..., :coloured], model, alpha, colours_of(chunks.others), orientation)


def _taken_apart(data: bytes, allowance: Allowance) -> _Chunks:
    found = _read(data)
    name, body = next(found, (b"", b""))
    if name != b"IHDR":
        raise Fault("a damaged file" if name else "a truncated file")
    chunks = _Chunks(_header(body, allowance))
    for name, body in found:
        if name == b"IDAT":
            chunks.data.append(body)
        elif name in (b"iTXt", b"zTXt", b"tEXt"):
            _note_text(chunks, name, body)
        else:
            chunks.others.setdefault(name, body)
    if not chunks.data:
        raise Fault("a truncated file")
    if chunks.header.kind == _PALETTE and b"PLTE" not in chunks.others:
        raise Fault("a damaged file")
    return chunks


def _read(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks' names and contents. Those that hold the picture must be as they were written."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body, end = data[at + 8 : at + 8 + size], at + 12 + size
        critical = not name[0] & 32
        if end > len(data):
            if critical and name != b"IEND":
                raise Fault("a truncated file")
            return
        if name == b"IEND":
            return
        if critical and zlib.crc32(name + body) != int.from_bytes(data[end - 4 : end], "big"):
            raise Fault("a damaged file")
        if critical and name not in (b"IHDR", b"PLTE", b"IDAT"):
            raise Fault("an unknown kind of PNG")
        yield name, body
        at = end


def _header(body: bytes, allowance: Allowance) -> _Header:
    if len(body) != 13:
        raise Fault("a damaged file")
    width_px, height_px, bits, kind, compression, filters, interlacing = struct.unpack(">IIBBBBB", body)
    if bits not in _BITS.get(kind, ()) or compression or filters or interlacing > 1:
        raise Fault("a damaged file")
    header = _Header(width_px, height_px, bits, kind, bool(interlacing))
    allowance.check_size(width_px, height_px, bits=bits * header.channels)
    return header


def _note_text(chunks: _Chunks, name: bytes, body: bytes) -> None:
    """Look for an XMP packet, and for EXIF as ImageMagick used to store it."""
    keyword, _, rest = body.partition(b"\0")
    if keyword == b"XML:com.adobe.xmp" and name == b"iTXt" and rest[:1] == b"\0":
        chunks.xmp = rest
    elif keyword == b"Raw profile type exif":
        try:
            text = zlib.decompressobj().decompress(rest[1:], _MOST_TEXT_BYTES) if name == b"zTXt" else rest
            chunks.old_exif = bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
        except (zlib.error, ValueError):
            pass


def _written(chunks: _Chunks, *names: bytes) -> bytes:
    """Return a file of the chunks that hold the picture."""
    header = chunks.header
    ihdr = struct.pack(">IIBBBBB", header.width_px, header.height_px, header.bits, header.kind, 0, 0, header.interlaced)
    kept = [(name, chunks.others[name]) for name in names if name in chunks.others]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in [(b"IHDR", ihdr), *kept, (b"IDAT", b"".join(chunks.data)), (b"IEND", b"")]
    )


def _shallow(chunks: _Chunks, allowance: Allowance) -> Pixels:
    """Decode up to 8 bits a channel: shape (H, W, C), where a palette gives RGB, or RGBA."""
    is_palette = chunks.header.kind == _PALETTE
    written = _written(chunks, *((b"PLTE", b"tRNS") if is_palette else ()))
    image = PngImagePlugin.PngImageFile(TimedBytes(written, allowance))
    image.load()
    if is_palette:
        pixels = np.asarray(image.convert("RGBA" if chunks.transparency else "RGB"))
    else:
        pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _deep(chunks: _Chunks, allowance: Allowance) -> Pixels:
    """Decode 16 bits a channel. OpenCV says on the screen what is wrong with a file, so it gets sound ones only."""
    _check_rows(chunks, allowance)
    written = np.frombuffer(_written(chunks), np.uint8)
    decoded = cv2.imdecode(written, cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise Fault("an unknown kind of PNG")
    pixels: Pixels = np.asarray(decoded, np.uint16).reshape(*decoded.shape[:2], -1)
    if pixels.shape[2] == 4 and chunks.header.channels == 2:
        return pixels[..., [0, 3]]
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.shape[2] > 2 else pixels


def _check_rows(chunks: _Chunks, allowance: Allowance) -> None:
    """Inflate all rows, a little at a time, and see that they are all there and their filters known."""
    inflater = zlib.decompressobj()
    waiting, left = bytearray(), b"".join(chunks.data)
    try:
        for size in chunks.header.rows():
            while len(waiting) < 1 + size:
                allowance.check_time()
                more = inflater.decompress(left, _INFLATED_BYTES)
                left = inflater.unconsumed_tail
                if not more:
                    raise Fault("a truncated file")
                waiting += more
            if waiting[0] > 4:
                raise Fault("a damaged file")
            del waiting[: 1 + size]
    except zlib.error as error:
        raise Fault("a damaged file") from error


def _keyed(pixels: Pixels, chunks: _Chunks) -> Pixels | None:
    """Return the opacity of a grey or RGB picture in which one colour stands for nothing."""
    channels, bits = pixels.shape[2], chunks.header.bits
    if chunks.header.kind not in (0, 2) or len(chunks.transparency) < 2 * channels:
        return None
    key = np.frombuffer(chunks.transparency, ">u2", channels).astype(np.int64)
    if bits < 8:  # Pixels have been brought to 8 bits, the key has not.
        key = (key & (2**bits - 1)) * (255 // (2**bits - 1))
    shown = (pixels != key).any(axis=2)
    return np.where(shown, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)
