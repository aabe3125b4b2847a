"""Every layout of picture files that the libraries at hand can write, and some that none does, read and measured.

`python -m tests.data.picture_layouts docs/pictures.md` writes the tables into the document; a test holds them true.
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from deepcolor.data.images import UnusablePictureError, decode_picture
from tests.data.documented import write_table
from tests.data.png_files import png_file, to_numbers, with_chunks
from tests.data.tiff_files import floating_predicted, packed_bits, reversed_bits, subsampled, tags_of, tiff_file

HEIGHT_PX, WIDTH_PX = 40, 56

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One file, and what it holds."""

    kind: tuple[str, str, str, str]
    """Format, pixels, how they are stored, and what the reading is measured against."""
    data: bytes
    rgb: Pixels
    """In [0, 1]."""
    alpha: Pixels | None = None
    refused: str = ""
    """Part of the reason, where it is to be refused."""


def _pixels(bits: int, channels: int, *, seed: int = 0) -> Pixels:
    """A soft picture with noise, so that no compression has it too easy."""
    rng = np.random.default_rng([seed, channels])
    down, across = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX] / (HEIGHT_PX + WIDTH_PX)
    waves = [np.sin(7 * down + 2 * index) * np.cos(5 * across + index) for index in range(channels)]
    values = np.clip(np.stack(waves, axis=-1) * 0.4 + 0.5 + rng.normal(0, 0.03, (HEIGHT_PX, WIDTH_PX, channels)), 0, 1)
    return np.asarray(np.rint(values * (2**bits - 1)), np.uint8 if bits <= 8 else np.uint16)


RGB8, RGB16 = _pixels(8, 3), _pixels(16, 3)
GREY8, GREY16 = RGB8[..., :1], RGB16[..., :1]
ALPHA8, ALPHA16 = _pixels(8, 1, seed=1), _pixels(16, 1, seed=1)
ALPHA8[:4], ALPHA8[-4:], ALPHA16[:4], ALPHA16[-4:] = 0, 255, 0, 65535
WRITTEN, PILLOW, OPENCV = "what was written", "Pillow", "OpenCV"


def cases() -> Iterator[Case]:
    """Yield all of them."""
    for of_format in (_jpegs, _pngs, _webps, _bmps, _tiffs_of_pillow, _tiffs_of_opencv, _tiffs_of_tifffile, _tiffs):
        yield from of_format()


def measured(case: Case) -> float | str:
    """Read a case; return the largest error, of 255, or the reason why it is refused."""
    try:
        picture = decode_picture(case.data, source="picture")
    except UnusablePictureError as refusal:
        return refusal.reason
    error = _difference(picture.rgb_HW3, case.rgb)
    if (case.alpha is None) != (picture.alpha_HW is None):
        return "opacity where there is none, or none where it is"
    if case.alpha is not None and picture.alpha_HW is not None:
        error = max(error, _difference(picture.alpha_HW, case.alpha))
    return error


def table() -> str:
    """Return the document's table of layouts."""
    rows: dict[tuple[str, str, str, str], list[float | str]] = {}
    for case in cases():
        rows.setdefault(case.kind, []).append(measured(case))
    lines = [
        "| format | pixels | stored as | layouts | largest error, of 255 | measured against |",
        "| --- | --- | --- | ---: | --- | --- |",
    ]
    for (name, pixels, stored, against), results in rows.items():
        numbers = [result for result in results if not isinstance(result, str)]
        words = sorted({result for result in results if isinstance(result, str)})
        outcome = "refused: " + "; ".join(words) if words else _shown(max(numbers))
        lines.append(f"| {name} | {pixels} | {stored} | {len(results)} | {outcome} | {'-' if words else against} |")
    return "\n".join(lines)


def _shown(error: float) -> str:
    return "0" if error == 0 else "under 0.01" if error < 0.01 else f"{error:.2f}"


def _difference(read: Pixels, expected: Pixels) -> float:
    if read.shape != expected.shape:
        return 255.0
    return float(np.abs(read / np.iinfo(read.dtype).max - expected).max() * 255)


def _bits(number: int) -> str:
    return f"{number} bit{'' if number == 1 else 's'}"


def _unit(pixels: Pixels) -> Pixels:
    return pixels / (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1)


def _grey(pixels: Pixels) -> Pixels:
    return np.repeat(_unit(pixels).reshape(*pixels.shape[:2], 1), 3, axis=2)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _by_opencv(data: bytes) -> Pixels:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    return _grey(pixels) if pixels.ndim == 2 else _unit(pixels[..., [2, 1, 0]])


def _by_pillow(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return _unit(np.asarray(image.convert("RGB")))


def _jpegs() -> Iterator[Case]:
    ways: dict[str, dict[str, Any]] = {
        "baseline": {},
        "progressive": {"progressive": True},
        "optimised": {"optimize": True},
        "restart markers": {"restart_marker_blocks": 3},
        "progressive, restart markers": {"progressive": True, "restart_marker_rows": 1},
    }
    image = Image.fromarray(RGB8)
    for stored, options in ways.items():
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            data = _saved(image, "JPEG", quality=90, subsampling=sampling, **options)
            yield Case(("JPEG", "RGB 8 bits", f"{stored}; 4:4:4, 4:2:2, 4:2:0", OPENCV), data, _by_opencv(data))
        data = _saved(image.convert("L"), "JPEG", quality=90, **options)
        yield Case(("JPEG", "grey 8 bits", stored, OPENCV), data, _by_opencv(data))
        data = _saved(image.convert("CMYK"), "JPEG", quality=90, **options)
        yield Case(("JPEG", "CMYK 8 bits", stored, PILLOW), data, _by_pillow(data))
    deep = bytearray(_saved(image, "JPEG"))
    deep[deep.index(b"\xff\xc0") + 4] = 12
    yield Case(("JPEG", "12 bits", "baseline", WRITTEN), bytes(deep), _unit(RGB8), refused="12 bits")


def _pngs() -> Iterator[Case]:
    alphas = {8: ALPHA8, 16: ALPHA16}
    for interlaced in (False, True):
        stored = "plain, interlaced"
        for bits in (1, 2, 4, 8, 16):
            numbers = to_numbers(GREY8, bits) if bits < 16 else GREY16.astype(np.int64)
            rgb = np.repeat(numbers / (2**bits - 1), 3, axis=2)
            kind = ("PNG", f"grey {_bits(bits)}", stored, WRITTEN)
            yield Case(kind, png_file(numbers, kind=0, bits=bits, interlaced=interlaced), rgb)
            key = int(numbers[5, 5, 0])
            data = png_file(
                numbers, kind=0, bits=bits, interlaced=interlaced, before=[(b"tRNS", struct.pack(">H", key))]
            )
            yield Case(
                ("PNG", f"grey {_bits(bits)}, one of them transparent", stored, WRITTEN),
                data, rgb, (numbers[..., 0] != key).astype(float),
            )  # fmt: skip
        for bits in (1, 2, 4, 8):
            palette = np.random.default_rng(bits).integers(0, 256, (2**bits, 3), dtype=np.uint8)
            numbers = to_numbers(GREY8, bits)
            chunks = [(b"PLTE", palette.tobytes())]
            rgb = _unit(palette)[numbers[..., 0]]
            kind = ("PNG", f"palette {_bits(bits)}", stored, WRITTEN)
            yield Case(kind, png_file(numbers, kind=3, bits=bits, before=chunks, interlaced=interlaced), rgb)
            opacity = np.linspace(0, 255, 2**bits).astype(np.uint8)
            chunks.append((b"tRNS", opacity.tobytes()))
            yield Case(
                ("PNG", f"palette {_bits(bits)} with opacity", stored, WRITTEN),
                png_file(numbers, kind=3, bits=bits, before=chunks, interlaced=interlaced),
                rgb, _unit(opacity)[numbers[..., 0]],
            )  # fmt: skip
        for bits, rgb, grey in ((8, RGB8, GREY8), (16, RGB16, GREY16)):
            for kind_number, name, pixels in ((2, "RGB", rgb), (4, "grey", grey), (6, "RGB", rgb)):
                alpha = None if kind_number == 2 else alphas[bits]
                whole = pixels if alpha is None else np.concatenate([pixels, alpha], axis=2)
                yield Case(
                    ("PNG", f"{name} {bits} bits" + ("" if alpha is None else " with opacity"), stored, WRITTEN),
                    png_file(whole, kind=kind_number, bits=bits, interlaced=interlaced),
                    _unit(pixels) if pixels.shape[2] == 3 else _grey(pixels),
                    None if alpha is None else _unit(alpha)[..., 0],
                )
            key_colour = rgb[7, 9]
            yield Case(
                ("PNG", f"RGB {bits} bits, one colour transparent", stored, WRITTEN),
                png_file(
                    rgb, kind=2, bits=bits, interlaced=interlaced, before=[(b"tRNS", struct.pack(">3H", *key_colour))]
                ),
                _unit(rgb), (rgb != key_colour).any(axis=2).astype(float),
            )  # fmt: skip
    for bits, rgb in ((8, RGB8), (16, RGB16)):
        written = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
        yield Case(("PNG", f"RGB {bits} bits", "by OpenCV", WRITTEN), written, _unit(rgb))
        hdr = with_chunks(written, (b"cICP", bytes([9, 16, 0, 1])))
        yield Case(("PNG", f"RGB {bits} bits", "high dynamic range (PQ)", WRITTEN), hdr, _unit(rgb), refused="cICP")


def _webps() -> Iterator[Case]:
    image = Image.fromarray(RGB8)
    clear = Image.fromarray(np.concatenate([RGB8, ALPHA8], axis=2))
    yield Case(("WebP", "RGB 8 bits", "lossless", WRITTEN), _saved(image, "WEBP", lossless=True), _unit(RGB8))
    yield Case(
        ("WebP", "RGB 8 bits with opacity", "lossless", WRITTEN),
        _saved(clear, "WEBP", lossless=True, exact=True), _unit(RGB8), _unit(ALPHA8)[..., 0],
    )  # fmt: skip
    for quality in (30, 90):
        data = _saved(image, "WEBP", quality=quality)
        yield Case(("WebP", "RGB 8 bits", "lossy", OPENCV), data, _by_opencv(data))
        data = _saved(clear, "WEBP", quality=quality, exact=True)
        yield Case(("WebP", "RGB 8 bits with opacity", "lossy", OPENCV), data, _by_opencv(data), _unit(ALPHA8)[..., 0])
    others = [Image.fromarray(255 - RGB8)]
    moving = _saved(image, "WEBP", lossless=True, save_all=True, append_images=others)
    yield Case(("WebP", "RGB 8 bits", "animated (the first picture)", WRITTEN), moving, _unit(RGB8))


def _bmps() -> Iterator[Case]:
    image = Image.fromarray(RGB8)
    for mode, name in (("1", "1 bit"), ("L", "grey 8 bits"), ("P", "palette 8 bits"), ("RGB", "RGB 8 bits")):
        data = _saved(image.convert(mode), "BMP")
        yield Case(("BMP", name, "plain", OPENCV if mode != "1" else PILLOW), data,
                   _by_pillow(data) if mode == "1" else _by_opencv(data))  # fmt: skip
    four = np.concatenate([RGB8[..., ::-1], ALPHA8], axis=2)[::-1].tobytes()
    for masks, size, alpha in ((b"", 40, None), (struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000), 108, ALPHA8)):
        sizes = (size, WIDTH_PX, HEIGHT_PX, 1, 32, 3 if masks else 0, len(four))
        header = struct.pack("<IiiHHIIiiII", *sizes, 0, 0, 0, 0) + masks
        data = b"BM" + struct.pack("<IHHI", 14 + size + len(four), 0, 0, 14 + size) + header.ljust(size, b"\0") + four
        name = "RGB 8 bits and a byte of which nothing is said" if alpha is None else "RGB 8 bits with opacity"
        opacity = None if alpha is None else _unit(alpha)[..., 0]
        yield Case(("BMP", name, "plain", WRITTEN), data, _unit(RGB8), opacity)
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    five = np.stack([RGB8[..., 0] >> 3, RGB8[..., 1] >> 2, RGB8[..., 2] >> 3], axis=-1).astype(np.uint16)
    packed = (five[..., 0] << 11 | five[..., 1] << 5 | five[..., 2])[::-1].astype("<u2").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH_PX, HEIGHT_PX, 1, 16, 3, len(packed), 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 66 + len(packed), 0, 0, 66) + header + masks + packed
    yield Case(("BMP", "RGB 5, 6, 5 bits", "plain", PILLOW), data, five / np.array([31, 63, 31]))


def _tiffs_of_pillow() -> Iterator[Case]:
    image = Image.fromarray(RGB8)
    clear = Image.fromarray(np.concatenate([RGB8, ALPHA8], axis=2))
    of_bytes = (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd")
    images = {
        "1 bit": image.convert("1"), "grey 8 bits": image.convert("L"), "palette 8 bits": image.convert("P"),
        "RGB 8 bits": image, "CMYK 8 bits": image.convert("CMYK"), "YCbCr 8 bits": image.convert("YCbCr"),
        "grey 8 bits with opacity": clear.convert("LA"), "RGB 8 bits with opacity": clear,
        "grey 16 bits": Image.fromarray(GREY16[..., 0]),
        "grey float": Image.fromarray((GREY16[..., 0] / 65535).astype(np.float32)),
    }  # fmt: skip
    for name, each in images.items():
        for compression, predictor in itertools.product(of_bytes, (1, 2)):
            if predictor == 2 and (compression in (None, "packbits") or "float" in name or name == "1 bit"):
                continue
            data = _saved(each, "TIFF", compression=compression, tiffinfo={317: predictor} if predictor == 2 else {})
            alpha = None
            if name == "grey 16 bits":
                rgb = _grey(GREY16)
            elif "float" in name:
                rgb = _grey(np.asarray(each))
            else:
                rgb = _unit(np.asarray(each.convert("RGB")))
                alpha = _unit(ALPHA8)[..., 0] if "opacity" in name else None
            stored = "by Pillow: none, LZW, Deflate (both), PackBits, LZMA, Zstandard; predictor 1, 2"
            yield Case(("TIFF", name, stored, PILLOW), data, rgb, alpha)
    for compression in ("group3", "group4", "tiff_ccitt"):
        data = _saved(image.convert("1"), "TIFF", compression=compression)
        yield Case(("TIFF", "1 bit", "by Pillow: CCITT RLE, group 3, group 4", PILLOW), data, _by_pillow(data))
    for name in ("grey 8 bits", "RGB 8 bits", "YCbCr 8 bits", "CMYK 8 bits"):
        data = _saved(images[name], "TIFF", compression="jpeg", quality=90)
        yield Case(("TIFF", name, "by Pillow: JPEG", PILLOW), data, _by_pillow(data))
    signed = _saved(Image.fromarray(GREY8[..., 0].astype(np.int32)), "TIFF")
    yield Case(("TIFF", "grey 32 bits, signed", "by Pillow", WRITTEN), signed, _grey(GREY8), refused="signed")


def _tiffs_of_opencv() -> Iterator[Case]:
    names = {1: "none", 5: "LZW", 8: "Deflate", 32773: "PackBits"}
    for bits, rgb, alpha in ((8, RGB8, ALPHA8), (16, RGB16, ALPHA16)):
        for channels, name in ((1, "grey"), (3, "RGB"), (4, "RGB")):
            for compression in names:
                pixels = {1: rgb[..., 0], 3: rgb[..., ::-1], 4: np.concatenate([rgb[..., ::-1], alpha], axis=2)}
                data = cv2.imencode(".tif", pixels[channels], [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
                opacity = " with opacity" if channels == 4 else ""
                yield Case(
                    ("TIFF", f"{name} {bits} bits{opacity}", f"by OpenCV: {', '.join(names.values())}", WRITTEN),
                    data, _grey(rgb[..., :1]) if channels == 1 else _unit(rgb),
                    _unit(alpha)[..., 0] if channels == 4 else None,
                )  # fmt: skip
    data = cv2.imencode(".tif", (RGB8[..., ::-1] / 255).astype(np.float32))[1].tobytes()
    yield Case(("TIFF", "RGB float", "by OpenCV", WRITTEN), data, _unit(RGB8))


def _tiffs_of_tifffile() -> Iterator[Case]:
    stored = "by tifffile: strips, tiles; both byte orders; TIFF, BigTIFF; none, Deflate, LZMA; "
    whole = {"8 bits": RGB8, "16 bits": RGB16, "32 bits": RGB16.astype(np.uint32) * 65537}
    floats = {f"float of {bits} bits": (RGB16 / 65535).astype(f"f{bits // 8}") for bits in (16, 32, 64)}
    for (name, rgb), options in itertools.product((whole | floats).items(), _ways_of_tifffile()):
        if rgb.dtype.kind == "f" and options["predictor"]:
            continue
        predictors = "" if rgb.dtype.kind == "f" else "; predictor 1, 2"
        kind = ("TIFF", f"RGB {name}", f"{stored}planes together, apart{predictors}", WRITTEN)
        yield Case(kind, _by_tifffile(rgb, photometric="rgb", **options), _unit(rgb))
        planes = np.moveaxis(rgb, -1, 0)
        yield Case(kind, _by_tifffile(planes, photometric="rgb", planarconfig="separate", **options), _unit(rgb))
        grey = rgb[..., 0]
        kind = ("TIFF", f"grey {name}", f"{stored}black{predictors and ', white'} is 0{predictors}", WRITTEN)
        yield Case(kind, _by_tifffile(grey, photometric="minisblack", **options), _grey(grey))
        if predictors:
            yield Case(kind, _by_tifffile(grey, photometric="miniswhite", **options), 1 - _grey(grey))
    yield from _others_of_tifffile()


def _ways_of_tifffile() -> Iterator[dict[str, Any]]:
    for tile, order, big in itertools.product((None, (16, 32)), "<>", (False, True)):
        way = {"tile": tile, "byteorder": order, "bigtiff": big}
        yield from ({**way, "compression": None, "predictor": None}, {**way, "compression": "zlib", "predictor": None})
        yield {**way, "compression": "zlib", "predictor": 2}
        if order == "<" and not big:  # It is slow to write, and knows nothing of either.
            yield from ({**way, "compression": "lzma", "predictor": predictor} for predictor in (None, 2))


def _others_of_tifffile() -> Iterator[Case]:
    for name, rgb, alpha in (("8 bits", RGB8, ALPHA8), ("16 bits", RGB16, ALPHA16)):
        yield from _extra_channels(name, rgb, alpha)
    for dtype in (np.int16, np.complex64, np.uint64):
        data = _by_tifffile(RGB8.astype(dtype), photometric="rgb")
        reason = {np.int16: "signed", np.complex64: "complex", np.uint64: "64 bits"}[dtype]
        yield Case(("TIFF", f"RGB {np.dtype(dtype).name}", "by tifffile", WRITTEN), data, _unit(RGB8), refused=reason)
    bright = _by_tifffile((RGB8 / 100).astype(np.float32), photometric="rgb")
    yield Case(("TIFF", "RGB float beyond 1", "by tifffile", WRITTEN), bright, _unit(RGB8), refused="floating point")
    table_of = np.random.default_rng(3).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    for tile in (None, (16, 32)):
        data = _by_tifffile(GREY8[..., 0], photometric="palette", colormap=table_of, tile=tile)
        shown = (table_of // 257).T[GREY8[..., 0]] / 255
        yield Case(("TIFF", "palette 8 bits", "by tifffile: strips, tiles", WRITTEN), data, shown)
    data = _by_tifffile(GREY8[..., 0] > 127, photometric="minisblack")
    yield Case(("TIFF", "1 bit", "by tifffile", WRITTEN), data, np.repeat((GREY8 > 127).astype(float), 3, axis=2))
    pages = io.BytesIO()
    with tifffile.TiffWriter(pages) as writer:
        for page in (RGB16, 65535 - RGB16, RGB16[:20]):
            writer.write(page, photometric="rgb")
    kind = ("TIFF", "RGB 16 bits", "by tifffile: several pages (the first)", WRITTEN)
    yield Case(kind, pages.getvalue(), _unit(RGB16))


def _extra_channels(name: str, rgb: Pixels, alpha: Pixels) -> Iterator[Case]:
    top = np.iinfo(rgb.dtype).max
    clear = np.concatenate([rgb, alpha], axis=2)
    multiplied = np.concatenate([np.rint(rgb * (alpha / top)).astype(rgb.dtype), alpha], axis=2)
    # What is seen through: the less opaque, the fewer of its digits were stored.
    restored = np.where(alpha > 0, np.rint(multiplied[..., :3] * (top / np.maximum(alpha, 1))), 0) / top
    four = np.concatenate([rgb, alpha, alpha[::-1]], axis=2)
    for apart, order in itertools.product((False, True), "<>"):
        options = {"photometric": "rgb", "planarconfig": "separate" if apart else "contig", "byteorder": order}
        stored = "by tifffile: planes together, apart; both byte orders"
        for extra, pixels, shown, opacity, what in (
            (["unassalpha"], clear, _unit(rgb), alpha, "with opacity"),
            (["assocalpha"], multiplied, np.minimum(restored, 1), alpha, "multiplied by opacity"),
            (["unspecified"], clear, _unit(rgb), None, "and a channel of which nothing is said"),
            (["unspecified", "unassalpha"], four, _unit(rgb), alpha[::-1], "and two channels, one of them opacity"),
        ):
            data = _by_tifffile(np.moveaxis(pixels, -1, 0) if apart else pixels, extrasamples=extra, **options)
            yield Case(
                ("TIFF", f"RGB {name} {what}", stored, WRITTEN), data, shown,
                None if opacity is None else _unit(opacity)[..., 0],
            )  # fmt: skip


def _by_tifffile(pixels: Pixels, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _tiffs() -> Iterator[Case]:
    yield from _tiffs_of_bits()
    yield from _tiffs_of_colours()
    yield from _tiffs_of_pages()
    for number, name in {6: "JPEG in its old form", 34712: "JPEG 2000", 34887: "LERC", 50002: "JPEG XL"}.items():
        data = tiff_file(([RGB8.tobytes()], tags_of(RGB8, bits=8, photometric=2, t259=number)))
        yield Case(("TIFF", "RGB 8 bits", f"by hand: {name}", WRITTEN), data, _unit(RGB8), refused=name)
    raw = tiff_file(([GREY16.tobytes()], tags_of(GREY16, bits=16, photometric=32803)))
    yield Case(("TIFF", "a camera's raw data", "by hand", WRITTEN), raw, _grey(GREY16), refused="raw")
    mixed = tags_of(RGB8, bits=8, photometric=2, t258=[8, 8, 16])
    yield Case(("TIFF", "RGB 8, 8, 16 bits", "by hand", WRITTEN), tiff_file(([RGB8.tobytes()], mixed)), _unit(RGB8),
               refused="differ in depth")  # fmt: skip


def _tiffs_of_bits() -> Iterator[Case]:
    for bits, order in itertools.product(range(1, 16), "<>"):
        if bits == 8:
            continue
        numbers = to_numbers(RGB8, bits)
        for photometric, pixels in ((2, numbers), (1, numbers[..., :1]), (0, numbers[..., :1])):
            packed = packed_bits(pixels, bits)
            shown = np.repeat(pixels / (2**bits - 1), 3 // pixels.shape[2], axis=2)
            rgb = 1 - shown if photometric == 0 else shown
            tags = tags_of(pixels, bits=bits, photometric=photometric)
            name = f"{'RGB' if photometric == 2 else 'grey'} {'1 to 7' if bits < 8 else '9 to 15'} bits"
            kind = ("TIFF", name, "by hand: both byte orders, fill orders; none, Deflate", WRITTEN)
            yield Case(kind, tiff_file(([packed], tags), order=order), rgb)
            yield Case(kind, tiff_file(([zlib.compress(packed)], {**tags, 259: 8}), order=order), rgb)
            yield Case(kind, tiff_file(([reversed_bits(packed)], {**tags, 266: 2}), order=order), rgb)
            turned = reversed_bits(zlib.compress(packed))
            yield Case(kind, tiff_file(([turned], {**tags, 259: 8, 266: 2}), order=order), rgb)
    for bits in (1, 2, 4):
        numbers = to_numbers(GREY8, bits)
        colours = np.random.default_rng(bits).integers(0, 256, (3, 2**bits)) * 257
        tags = tags_of(numbers, bits=bits, photometric=3, t320=colours.ravel().tolist())
        rgb = (colours // 257).T[numbers[..., 0]] / 255
        kind = ("TIFF", f"palette {_bits(bits)}", "by hand", WRITTEN)
        yield Case(kind, tiff_file(([packed_bits(numbers, bits)], tags)), rgb)
    for size in (2, 4, 8):
        pixels = (RGB16 / 65535).astype(f"f{size}")
        tags = tags_of(pixels, bits=8 * size, photometric=2, t259=8, t317=3, t339=[3, 3, 3])
        for order in "<>":
            data = tiff_file(([floating_predicted(pixels)], tags), order=order)
            yield Case(("TIFF", f"RGB float of {8 * size} bits", "by hand: predictor 3", WRITTEN), data, _unit(pixels))


def _tiffs_of_colours() -> Iterator[Case]:
    image = Image.fromarray(RGB8)
    ycbcr = np.asarray(image.convert("YCbCr"))
    for across, down in itertools.product((1, 2, 4), (1, 2, 4)):
        if (across, down) == (1, 1):
            continue
        flat = ycbcr.copy()  # Colours that are equal where they are shared, so that nothing is lost.
        units = flat.reshape(HEIGHT_PX // down, down, WIDTH_PX // across, across, 3)
        units[..., 1:] = units[:, :1, :, :1, 1:]
        rgb = _unit(np.asarray(Image.fromarray(flat, "YCbCr").convert("RGB")))
        packed = subsampled(flat, across, down)
        tags = tags_of(flat, bits=8, photometric=6, t530=[across, down])
        kind = ("TIFF", "YCbCr 8 bits", "by hand: subsampled 2 or 4 across, down; none, Deflate", PILLOW)
        yield Case(kind, tiff_file(([packed], tags)), rgb)
        yield Case(kind, tiff_file(([zlib.compress(packed)], {**tags, 259: 8}), order=">"), rgb)
    cmyk = np.asarray(image.convert("CMYK")).astype(np.uint16) * 257
    tags = tags_of(cmyk, bits=16, photometric=5)
    shown = _unit(np.asarray(image.convert("CMYK").convert("RGB")))
    yield Case(("TIFF", "CMYK 16 bits", "by hand", PILLOW), tiff_file(([cmyk.astype("<u2").tobytes()], tags)), shown)
    webp = _saved(image, "WEBP", lossless=True)
    yield Case(("TIFF", "RGB 8 bits", "by hand: WebP", WRITTEN),
               tiff_file(([webp], tags_of(RGB8, bits=8, photometric=2, t259=50001))), _unit(RGB8))  # fmt: skip
    jpegs = [_saved(Image.fromarray(RGB8[at : at + 16]), "JPEG", quality=90) for at in range(0, HEIGHT_PX, 16)]
    strips = tiff_file((jpegs, tags_of(RGB8, bits=8, photometric=6, rows=16, t259=7, t530=[2, 2])))
    yield Case(("TIFF", "YCbCr 8 bits", "by hand: JPEG in strips", PILLOW), strips,
               np.concatenate([_by_pillow(jpeg) for jpeg in jpegs]))  # fmt: skip


def _tiffs_of_pages() -> Iterator[Case]:
    small = 255 - RGB8[::4, ::4]
    photo = ([RGB8.tobytes()], tags_of(RGB8, bits=8, photometric=2))
    reduced = ([small.tobytes()], tags_of(small, bits=8, photometric=2, t254=1))
    older = ([small.tobytes()], tags_of(small, bits=8, photometric=2, t255=2))
    mask = ([bytes(HEIGHT_PX * WIDTH_PX)], tags_of(GREY8, bits=8, photometric=1, t254=4))
    for order in "<>":
        kind = ("TIFF", "RGB 8 bits", "by hand: a thumbnail (both tags) or a mask before the photo", WRITTEN)
        for first in (reduced, older, mask):
            yield Case(kind, tiff_file(first, photo, order=order), _unit(RGB8))
        kind = ("TIFF", "RGB 8 bits", "by hand: the photo below its thumbnail (sub-directory)", WRITTEN)
        yield Case(kind, tiff_file(reduced, photo, order=order, sub=True), _unit(RGB8))
        kind = ("TIFF", "RGB 8 bits", "by hand: a thumbnail behind or below the photo", WRITTEN)
        yield Case(kind, tiff_file(photo, reduced, order=order), _unit(RGB8))
        yield Case(kind, tiff_file(photo, reduced, order=order, sub=True), _unit(RGB8))
    deep = np.moveaxis(RGB16, -1, 0)
    strips = [plane[at : at + 7].astype(">u2").tobytes() for plane in deep for at in range(0, HEIGHT_PX, 7)]
    tags = tags_of(RGB16, bits=16, photometric=2, rows=7, t284=2)
    yield Case(("TIFF", "RGB 16 bits", "by hand: planes apart, strips of 7 rows", WRITTEN),
               tiff_file((strips, tags), order=">"), _unit(RGB16))  # fmt: skip


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), "layouts", table())
