from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deepcolor.data.images import UnusablePictureError, decode_picture
from tests.data.photos import PHOTOS, photos
from tests.data.picture_layouts import RGB8, RGB16, _saved, cases
from tests.data.png_files import chunk
from tests.data.tiff_files import tags_of, tiff_file

END = b"\xff\xd9"
WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 4},
    "restart markers a row": {"restart_marker_rows": 1},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_a_jpeg_cut_off_and_closed_with_an_end_marker_is_refused(mode: str, options: dict[str, Any]) -> None:
    """Wherever it is cut, in every way of coding, down to the last bytes; whole, it is read as Pillow reads it."""
    image = Image.fromarray(photos("fruit", 1)[0]).resize((176, 144)).convert(mode)
    data = _saved(image, "JPEG", quality=90, **options)
    with Image.open(io.BytesIO(data)) as whole:
        np.testing.assert_array_equal(decode_picture(data, source="p").rgb_HW3, np.asarray(whole.convert("RGB")))
    first = data.index(b"\xff\xda") + 14
    passed = []
    for cut in [*range(first, len(data) - 2, 97), *range(len(data) - 26, len(data) - 12)]:
        # What is left of a marker or a stuffed byte is no cut that leaves a well-formed file.
        kept = data[:cut].rstrip(b"\xff")
        try:
            decode_picture(kept + END, source="p")
            passed.append(len(data) - 2 - len(kept))
        except UnusablePictureError as error:
            assert error.reason in {"a truncated file", "a damaged file"}  # noqa: PT017  # Most of them raise.
    assert not passed


def test_a_jpeg_with_a_hole_between_two_restart_markers_is_refused() -> None:
    """Bytes that are missing from the middle of one stretch leave grey in the middle of the picture."""
    data = _saved(Image.fromarray(photos("fruit", 1)[0]).resize((176, 144)), "JPEG", restart_marker_rows=1)
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    middle = (marks[2] + marks[3]) // 2
    torn = data[:middle].rstrip(b"\xff") + data[marks[3] :]
    with pytest.raises(UnusablePictureError, match="truncated"):
        decode_picture(torn, source="p")


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    """Each scan that is left out costs detail, and is noticed, though every scan that is there is whole."""
    data = _saved(Image.fromarray(photos("fruit", 1)[0]), "JPEG", progressive=True)
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    assert len(scans) > 5
    for start in scans[1:]:
        with pytest.raises(UnusablePictureError, match="truncated"):
            decode_picture(data[:start] + END, source="p")


def test_what_cameras_and_programs_add_to_a_jpeg_costs_nothing() -> None:
    """Pictures behind the end, thumbnails within, comments, padding, a missing JFIF header, and empty segments."""
    image = Image.fromarray(photos("fruit", 1)[0])
    data = _saved(image, "JPEG")
    expected = decode_picture(data, source="p").rgb_HW3
    thumbnail = _saved(image.resize((32, 32)), "JPEG")
    scan = data.index(b"\xff\xda")
    jfif = data.index(b"\xff\xe0")
    for other in (
        data + thumbnail,
        data + bytes(5000),
        data[:2] + _segment(0xE1, b"Exif\0\0" + thumbnail) + data[2:],
        data[:2] + _segment(0xFE, b"\xff\xd9\xff\xda") + _segment(0xE5, b"") + data[2:],
        data[:scan] + b"\xff\xff\xff" + data[scan:],
        data[:-2] + b"\xff\xff" + END,
        data[:jfif] + data[jfif + 2 + int.from_bytes(data[jfif + 2 : jfif + 4], "big") :],
        data[:scan] + _segment(0xE1, b"Exif\0\0nonsense") + _segment(0xE2, b"MPF\0" + bytes(3)) + data[scan:],
    ):
        np.testing.assert_array_equal(decode_picture(other, source="p").rgb_HW3, expected)


def test_no_photo_is_taken_for_cut_off() -> None:
    """Real photos, and the same in other qualities and sizes, are all read."""
    paths = sorted(path for path in PHOTOS.rglob("*.jpg"))[::25] or []
    for data in [path.read_bytes() for path in paths]:
        decode_picture(data, source="p")
    for index, rgb in enumerate(photos("fruit", 12)):
        image = Image.fromarray(rgb)
        for quality in (1, 30, 75, 100):
            size = (17 + 13 * index, 31 + 7 * index)
            for options in WAYS.values():
                decode_picture(_saved(image.resize(size), "JPEG", quality=quality, **options), source="p")


def test_a_png_cut_off_and_closed_is_refused_at_any_depth() -> None:
    """Data that end early, with a chunk and an end that are in order, or a byte that was changed, are noticed."""
    for pixels in (RGB8, RGB16):
        data = _png(pixels)
        start, size = (
            data.index(b"IDAT") - 4,
            int.from_bytes(data[data.index(b"IDAT") - 4 : data.index(b"IDAT")], "big"),
        )
        body = data[start + 8 : start + 8 + size]
        for kept in (1, len(body) // 2, len(body) - 40):
            closed = data[:start] + chunk(b"IDAT", body[:kept]) + chunk(b"IEND", b"")
            with pytest.raises(UnusablePictureError, match=r"truncated|damaged"):
                decode_picture(closed, source="p")
        changed = bytearray(data)
        changed[start + 8 + size // 2] ^= 1
        with pytest.raises(UnusablePictureError, match="damaged"):
            decode_picture(bytes(changed), source="p")
        without_end = data[: data.index(b"IEND") - 4]
        np.testing.assert_array_equal(decode_picture(without_end, source="p").rgb_HW3, pixels)


def test_a_webp_and_a_bmp_cut_off_and_closed_are_refused() -> None:
    """Lengths that were mended do not hide that the picture's data end early."""
    image = Image.fromarray(photos("fruit", 1)[0])
    for options in ({"quality": 80}, {"lossless": True}):
        data = _saved(image, "WEBP", **options)
        for kept in (len(data) // 3, len(data) // 2, len(data) - 60):
            body = data[20 : kept + kept % 2]
            riff = data[12:16] + struct.pack("<I", len(body)) + body
            with pytest.raises(UnusablePictureError, match=r"truncated|damaged"):
                decode_picture(b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WEBP" + riff, source="p")
    bmp = _saved(image, "BMP")
    with pytest.raises(UnusablePictureError, match=r"truncated|damaged"):
        decode_picture(bmp[:-100], source="p")


def test_a_tiff_whose_strips_end_early_is_refused() -> None:
    """Strips that are shorter than their rows, compressed or not, are not filled up."""
    tags = tags_of(RGB16, bits=16, photometric=2, rows=10)
    strips = [RGB16[at : at + 10].astype("<u2").tobytes() for at in range(0, RGB16.shape[0], 10)]
    np.testing.assert_array_equal(decode_picture(tiff_file((strips, tags)), source="p").rgb_HW3, RGB16)
    short = [*strips[:-1], strips[-1][:-20]]
    packed = [zlib.compress(strip) for strip in strips]
    torn = [*packed[:-1], packed[-1][: len(packed[-1]) // 2]]
    jpeg = _saved(Image.fromarray(RGB8), "JPEG")
    for data in (
        tiff_file((short, tags)),
        tiff_file((torn, {**tags, 259: 8})),
        tiff_file(([zlib.compress(strip) for strip in short], {**tags, 259: 8})),
        tiff_file(([jpeg[: len(jpeg) * 2 // 3].rstrip(b"\xff") + END], tags_of(RGB8, bits=8, photometric=6, t259=7))),
    ):
        with pytest.raises(UnusablePictureError, match=r"truncated|damaged"):
            decode_picture(data, source="p")


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12])
def test_no_type_of_an_exif_value_costs_the_pixels(kind: int) -> None:
    """An orientation of another type is used or passed over, next to values that do not fit their types."""
    exif = b"II*\0" + struct.pack("<IH", 8, 2)
    exif += struct.pack("<HHIHH", 0x112, kind, 1, 6, 0) + struct.pack("<HHI4s", 0x11A, 2, 3, b"72\0\0") + bytes(4)
    data = _with_exif(exif)
    turned = decode_picture(data, source="p").rgb_HW3.shape[:2] == RGB8.shape[1::-1]
    assert turned == (kind in {1, 3, 4, 8, 9})  # Whole numbers.


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(exif=st.binary(max_size=120), order=st.sampled_from([b"II*\0", b"MM\0*", b""]), start=st.integers(0, 40))
def test_no_exif_costs_the_pixels(exif: bytes, order: bytes, start: int) -> None:
    """Whatever bytes stand where EXIF should, in every format that carries it, the picture is read."""
    block = order + (struct.pack("<I" if order[:1] == b"I" else ">I", start) if order else b"") + exif
    for data in (_with_exif(block), _with_exif(block, form="PNG"), _with_exif(block, form="WEBP")):
        assert decode_picture(data, source="p").rgb_HW3.size == RGB8.size


@pytest.fixture(scope="module")
def samples() -> list[bytes]:
    """One file of each kind of the layouts."""
    return list({case.kind: case.data for case in cases()}.values())


def test_damage_of_any_kind_is_refused_or_read_and_never_shown(
    samples: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever bytes change, in any format: a picture or one reason, and no library's own words on the screen."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        for sample in samples:
            content = bytearray(sample)
            for _ in range(rng.integers(1, 7)):
                # Headers are small, and where the most can go wrong.
                among = min(len(content), rng.choice([64, 512, len(content)]))
                at = rng.integers(0, among)
                content[at if rng.random() < 0.5 else -1 - at] = rng.integers(0, 256)
            kept = rng.choice([1.0, 1.0, 0.9, 0.3])
            try:
                decode_picture(bytes(content[: int(len(content) * kept)]), source="p")
            except UnusablePictureError as error:
                assert len(error.reason) < 100  # noqa: PT017  # Either way is right.
    shown = capfd.readouterr()
    assert not shown.out
    assert not shown.err


def _segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def _with_exif(block: bytes, *, form: str = "JPEG") -> bytes:
    image = Image.fromarray(RGB8)
    if form == "JPEG":
        data = _saved(image, "JPEG")
        return data[:2] + _segment(0xE1, b"Exif\0\0" + block) + data[2:]
    if form == "PNG":
        data = _png(RGB8)
        return data[:33] + chunk(b"eXIf", block) + data[33:]
    return _saved(image, "WEBP", exif=b"Exif\0\0" + block)


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    """A PNG file whose data lie in one chunk."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)
