"""The samples of a TIFF file, out of its strips or tiles, planes, compressions, predictors and packed bits."""

from __future__ import annotations

import ctypes
import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin, _imaging

from deepcolor.data.decoding import jpeg, webp
from deepcolor.data.decoding import tiff_directory as tag
from deepcolor.data.decoding.bounds import Allowance, Fault
from deepcolor.data.decoding.tiff_directory import Directory

# It would write what is wrong with a file on the screen, past everyone; Pillow raises an error as well. Where Pillow
# was built in another way, nothing happens.
with suppress(OSError, AttributeError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)

NONE, CCITT_RLE, CCITT_3, CCITT_4, LZW, JPEG, DEFLATE = 1, 2, 3, 4, 5, 7, 8
OLD_DEFLATE, PACKBITS, LZMA, ZSTD, WEBP = 32946, 32773, 34925, 50000, 50001
_OF_BYTES = frozenset({LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD})
"""Compressions that know nothing of pixels: libtiff unpacks them as bytes, whatever these stand for."""
_FAX = frozenset({CCITT_RLE, CCITT_3, CCITT_4})
_NAMES = {
    6: "JPEG in its old form", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32771: "CCITT RLE", 32809: "ThunderScan",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log", 34712: "JPEG 2000",
    34887: "LERC", 34892: "lossy JPEG of DNG", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_PREDICTED = frozenset({LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD})
_BAND_BYTES = 2**24
"""Unpacked at a time; in between, the time is looked at."""
_PLAIN, _HORIZONTAL, _FLOATING = 1, 2, 3
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]

Bytes = npt.NDArray[np.uint8]
Rows = list[Sequence[bytes]]
"""Stored chunks, in rows."""


@dataclass(frozen=True)
class Layout:
    """How the samples of a picture are laid out in its file."""

    width_px: int
    height_px: int
    channels: int
    bits: int
    is_float: bool
    order: str
    """`<` or `>`: of numbers of more than one byte."""
    subsampling: tuple[int, int]
    """Of the colours of YCbCr, across and down."""

    def is_converted(self, directory: Directory) -> bool:
        """Whether the compression itself has brought YCbCr to RGB."""
        return directory.number(tag.COMPRESSION, NONE) in (JPEG, WEBP)


@dataclass(frozen=True)
class _Blocks:
    """A picture's tiles; or its strips, which are tiles as wide as the picture, and the last one as high as needed."""

    width_px: int
    height_px: int
    are_tiles: bool
    chunks: tuple[bytes, ...]
    """As stored, row by row, plane after plane."""


def unpack(data: bytes, directory: Directory, layout: Layout, allowance: Allowance) -> npt.NDArray[Any]:
    """Return a picture's samples, shape (H, W, C): uint8, uint16, uint32, or floating point.

    Raises:
        Fault: It is cut short or damaged, or laid out as cannot be read.
    """
    compression = directory.number(tag.COMPRESSION, NONE)
    if compression not in {NONE, JPEG, WEBP} | _OF_BYTES | _FAX:
        raise Fault(f"a TIFF of an unsupported compression ({_NAMES.get(compression, str(compression))})")
    is_planar = directory.number(tag.PLANAR, 1) == 2 and layout.channels > 1
    planes, channels = (layout.channels, 1) if is_planar else (1, layout.channels)
    if layout.subsampling != (1, 1) and (is_planar or (layout.bits != 8 and not layout.is_converted(directory))):
        raise Fault("a TIFF of subsampled colours in planes, or of 16 bits")
    blocks = _blocks(data, directory, layout, planes=planes, channels=channels)
    result: npt.NDArray[Any] | None = None
    for plane in range(planes):
        for top, chunks in _bands(blocks, layout, plane=plane, channels=channels):
            allowance.check_time()
            height = min(len(chunks) * blocks.height_px, layout.height_px - top)
            band = _decoded(chunks, blocks, directory, layout, height=height, channels=channels, allowance=allowance)
            if result is None:
                result = np.empty((layout.height_px, layout.width_px, layout.channels), band.dtype)
            target = result[top : top + height, :, plane : plane + channels]
            if band.shape != target.shape:
                raise Fault("a damaged file")
            target[...] = band
    assert result is not None
    return result


def _blocks(data: bytes, directory: Directory, layout: Layout, *, planes: int, channels: int) -> _Blocks:
    """Find the stored chunks, and see that they are all there."""
    are_tiles = tag.TILE_OFFSETS in directory.tags
    width, height = layout.width_px, min(directory.number(tag.ROWS, layout.height_px), layout.height_px)
    if are_tiles:
        width, height = directory.number(tag.TILE_WIDTH), directory.number(tag.TILE_LENGTH)
    across, down = layout.subsampling
    if width <= 0 or height <= 0 or (height < layout.height_px and height % down) or (are_tiles and width % across):
        raise Fault("a damaged file")
    if are_tiles and width * height > 4 * max(layout.width_px, 256) * max(layout.height_px, 256):
        raise Fault("a damaged file")
    number = -(-layout.width_px // width) * -(-layout.height_px // height) * planes
    offsets = directory.numbers(tag.TILE_OFFSETS if are_tiles else tag.STRIP_OFFSETS)[:number]
    counts = directory.numbers(tag.TILE_COUNTS if are_tiles else tag.STRIP_COUNTS)[:number]
    if not counts and directory.number(tag.COMPRESSION, NONE) == NONE:  # Old programs left them out.
        counts = (_line_bytes(width, layout, channels) * -(-height // down),) * len(offsets)
        counts = tuple(min(count, len(data) - offset) for offset, count in zip(offsets, counts, strict=True))
    if min(len(offsets), len(counts)) < number:
        raise Fault("a damaged file")
    if any(offset + count > len(data) for offset, count in zip(offsets, counts, strict=True)):
        raise Fault("a truncated file")
    if sum(counts) > 2 * len(data):  # Chunks that overlap would make much of little.
        raise Fault("a damaged file")
    chunks = tuple(data[offset : offset + count] for offset, count in zip(offsets, counts, strict=True))
    return _Blocks(width, height, are_tiles, chunks)


def _bands(blocks: _Blocks, layout: Layout, *, plane: int, channels: int) -> Iterator[tuple[int, Rows]]:
    """Yield rows of blocks, some at a time, each with its first pixel row."""
    across, down = -(-layout.width_px // blocks.width_px), -(-layout.height_px // blocks.height_px)
    bytes_a_row = across * _line_bytes(blocks.width_px, layout, channels) * blocks.height_px
    together = max(1, _BAND_BYTES // max(1, bytes_a_row))
    for first in range(0, down, together):
        rows = range(first, min(first + together, down))
        starts = [(plane * down + row) * across for row in rows]
        yield first * blocks.height_px, [blocks.chunks[start : start + across] for start in starts]


def _line_bytes(width_px: int, layout: Layout, channels: int) -> int:
    """How many bytes a row of pixels takes; of subsampled colours, as many rows as share theirs."""
    across, down = layout.subsampling
    if (across, down) != (1, 1):
        return -(-width_px // across) * (across * down + 2)
    return -(-width_px * channels * layout.bits // 8)


def _decoded(
    rows: Rows,
    blocks: _Blocks,
    directory: Directory,
    layout: Layout,
    *,
    height: int,
    channels: int,
    allowance: Allowance,
) -> npt.NDArray[Any]:
    """Return the samples of some rows of blocks, shape (height, W, channels)."""
    compression = directory.number(tag.COMPRESSION, NONE)
    if compression in (JPEG, WEBP):
        decode = _jpeg if compression == JPEG else _webp
        bands = [
            np.concatenate([decode(chunk, directory, allowance)[: blocks.height_px] for chunk in row], axis=1)
            for row in rows
        ]
        return np.concatenate(bands)[:height, : layout.width_px]
    across = len(rows[0])
    line_bytes = _line_bytes(blocks.width_px, layout, channels)
    lines = -(-height // layout.subsampling[1])
    if compression in _FAX:
        return _fax(rows, blocks, directory, height=height)[:, : layout.width_px, None]
    if compression == NONE:
        packed = _plain(rows, blocks, directory, layout, lines=lines, line_bytes=line_bytes)
    else:
        packed = _through_libtiff(rows, blocks, directory, layout, lines=lines, line_bytes=line_bytes)
    packed = packed.reshape(lines, across, line_bytes)
    if layout.subsampling != (1, 1):
        return _spread(packed, layout)[:height, : layout.width_px]
    predictor = directory.number(tag.PREDICTOR, _PLAIN) if compression in _PREDICTED else _PLAIN
    samples = _samples(packed, layout, predictor=predictor, width_px=blocks.width_px, channels=channels)
    return samples.reshape(lines, -1, channels)[:, : layout.width_px]


def _plain(rows: Rows, blocks: _Blocks, directory: Directory, layout: Layout, *, lines: int, line_bytes: int) -> Bytes:
    """Lay uncompressed chunks beside and below each other."""
    block_lines = -(-blocks.height_px // layout.subsampling[1])
    result = np.empty((lines, len(rows[0]) * line_bytes), np.uint8)
    for index, row in enumerate(rows):
        target = result[index * block_lines : (index + 1) * block_lines]
        for column, chunk in enumerate(row):
            if len(chunk) < target.shape[0] * line_bytes:
                raise Fault("a truncated file")
            part = np.frombuffer(chunk, np.uint8, target.shape[0] * line_bytes).reshape(-1, line_bytes)
            target[:, column * line_bytes : (column + 1) * line_bytes] = part
    return _REVERSED[result] if directory.number(tag.FILL_ORDER, 1) == 2 else result


def _through_libtiff(
    rows: Rows, blocks: _Blocks, directory: Directory, layout: Layout, *, lines: int, line_bytes: int
) -> Bytes:
    """Have libtiff unpack chunks, as grey pictures whose pixels are the bytes."""
    block_lines = -(-blocks.height_px // layout.subsampling[1])
    tags = {
        tag.WIDTH: len(rows[0]) * line_bytes,
        tag.LENGTH: lines,
        tag.BITS: 8,
        **_shape(blocks, line_bytes, block_lines),
    }
    return _grey(rows, directory, tags, are_tiles=blocks.are_tiles)


def _fax(rows: Rows, blocks: _Blocks, directory: Directory, *, height: int) -> Bytes:
    tags = {
        tag.WIDTH: len(rows[0]) * blocks.width_px,
        tag.LENGTH: height,
        tag.BITS: 1,
        **{name: directory.number(name) for name in (tag.T4_OPTIONS, tag.T6_OPTIONS) if name in directory.tags},
        **_shape(blocks, blocks.width_px, blocks.height_px),
    }
    return _grey(rows, directory, tags, are_tiles=blocks.are_tiles)


def _shape(blocks: _Blocks, width: int, height: int) -> dict[int, int]:
    return {tag.TILE_WIDTH: width, tag.TILE_LENGTH: height} if blocks.are_tiles else {tag.ROWS: height}


def _grey(rows: Rows, directory: Directory, tags: dict[int, int], *, are_tiles: bool) -> Bytes:
    """Write a little TIFF file of the chunks, and have Pillow read it."""
    chunks = [chunk for row in rows for chunk in row]
    common = {
        tag.COMPRESSION: directory.number(tag.COMPRESSION),
        tag.PHOTOMETRIC: 1,
        tag.FILL_ORDER: directory.number(tag.FILL_ORDER, 1),
        tag.SAMPLES: 1,
        tag.PLANAR: 1,
    }
    where, how_many = (tag.TILE_OFFSETS, tag.TILE_COUNTS) if are_tiles else (tag.STRIP_OFFSETS, tag.STRIP_COUNTS)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_file(common | tags, chunks, where, how_many))) as image:
        image.load()
        return np.asarray(image).astype(np.uint8, copy=False)


def _file(tags: dict[int, int], chunks: Sequence[bytes], where: int, counts: int) -> bytes:
    """Return a TIFF file of one directory, which is at its end."""
    body = b"II*\0" + bytes(4)
    offsets = list(accumulate((len(chunk) for chunk in chunks), initial=len(body)))[:-1]
    body += b"".join(chunks)
    lengths = [len(chunk) for chunk in chunks]
    entries = []
    values_of = {key: [value] for key, value in tags.items()} | {where: offsets, counts: lengths}
    for name, values in sorted(values_of.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, body = struct.pack("<I", len(body)), body + packed
        entries.append(struct.pack("<HHI", name, 4, len(values)) + packed)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + directory


def _jpeg(chunk: bytes, directory: Directory, allowance: Allowance) -> Bytes:
    tables = directory.raw(tag.JPEG_TABLES)
    stream = (tables[:-2] if tables[-2:] == b"\xff\xd9" else tables) + chunk[2:] if tables else chunk
    is_ycbcr = directory.number(tag.PHOTOMETRIC) == 6
    return np.asarray(jpeg.decode_part(stream, allowance, as_they_are=not is_ycbcr), np.uint8)


def _webp(chunk: bytes, directory: Directory, allowance: Allowance) -> Bytes:
    raster = webp.decode(chunk, allowance)
    channels = [raster.samples_HWC] if raster.alpha_HW is None else [raster.samples_HWC, raster.alpha_HW[..., None]]
    pixels = np.concatenate(channels, axis=2)
    if pixels.shape[2] < directory.number(tag.SAMPLES):  # A picture that hides nothing is stored without opacity.
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
    return np.asarray(pixels, np.uint8)


def _samples(packed: Bytes, layout: Layout, *, predictor: int, width_px: int, channels: int) -> npt.NDArray[Any]:
    """Make numbers of bytes: shape (lines, blocks across, W of a block, C)."""
    shape = (*packed.shape[:2], width_px, channels)
    if layout.bits not in (8, 16, 32, 64):
        if predictor != _PLAIN:
            raise Fault(f"a TIFF of {layout.bits} bits with a predictor")
        return _unpacked_bits(packed, layout.bits, width_px * channels).reshape(shape)
    size = layout.bits // 8
    if predictor == _FLOATING:
        if not layout.is_float:
            raise Fault("a damaged file")
        summed = packed.reshape(*packed.shape[:2], width_px * size, channels).cumsum(axis=2, dtype=np.uint8)
        planes = summed.reshape(*packed.shape[:2], size, width_px * channels)
        return np.ascontiguousarray(np.moveaxis(planes, 2, -1)).view(f">f{size}").reshape(shape)
    if predictor == _HORIZONTAL:
        integers = packed.view(f"{layout.order}u{size}").reshape(shape)
        numbers = integers.cumsum(axis=2, dtype=f"u{size}")
    elif predictor == _PLAIN:
        numbers = packed.view(f"{layout.order}u{size}").reshape(shape).astype(f"u{size}", copy=False)
    else:
        raise Fault(f"a TIFF with predictor {predictor}")
    return numbers.view(f"f{size}") if layout.is_float else numbers


def _unpacked_bits(packed: Bytes, bits: int, count: int) -> npt.NDArray[Any]:
    """Return the numbers of 1 to 15 bits that are packed together, the first in the highest bits."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    result = np.empty((*packed.shape[:2], count), dtype)
    for line, target in zip(packed, result, strict=True):
        digits = np.unpackbits(line, axis=1)[:, : count * bits].reshape(line.shape[0], count, bits)
        target[...] = digits @ (1 << np.arange(bits - 1, -1, -1)).astype(dtype)
    return result


def _spread(packed: Bytes, layout: Layout) -> Bytes:
    """Give every pixel its colour again where several share one: each unit holds their brightness, then Cb and Cr."""
    across, down = layout.subsampling
    units = packed.reshape(packed.shape[0], -1, across * down + 2)
    brightness = units[..., :-2].reshape(*units.shape[:2], down, across).swapaxes(1, 2)
    luma = brightness.reshape(units.shape[0] * down, -1)
    colours = units[..., -2:].repeat(across, axis=1).repeat(down, axis=0)
    return np.concatenate([luma[..., None], colours], axis=2)
