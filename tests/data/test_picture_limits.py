from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from deepcolor.cli.app import app
from deepcolor.config.schema import DataConfig
from deepcolor.data.cache.arrays import CachedData
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.decoding.bounds import LOCAL, MEGAPIXELS_VARIABLE, SERVED, Limits
from deepcolor.data.images import UnusablePictureError, decode_picture, read_picture
from deepcolor.data.manifest import load_manifest
from deepcolor.workspace import Workspace
from tests.data.photos import fruit, save
from tests.data.picture_layouts import RGB8, _saved
from tests.data.png_files import chunk, png_file
from tests.data.tiff_files import tags_of, tiff_file

SIDE = 15000
"""More than 180 megapixels, squared."""


@pytest.fixture(autouse=True)
def _usual_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "")  # So that what an option sets is gone after the test.


def huge(form: str) -> bytes:
    """A file that says it is huge, and holds next to nothing."""
    image = Image.fromarray(RGB8)
    if form == "PNG":
        header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(9)))
            + chunk(b"IEND", b"")
        )
    if form == "TIFF":
        return tiff_file(
            ([zlib.compress(bytes(9))], {**tags_of(RGB8, bits=8, photometric=2, t259=8), 256: SIDE, 257: SIDE})
        )
    data = bytearray(_saved(image, form, **({"lossless": True} if form == "WEBP" else {})))
    if form == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
    elif form == "BMP":
        data[18:26] = struct.pack("<ii", SIDE, SIDE)
    else:
        packed = int.from_bytes(data[21:25], "little") & ~0xFFFFFFF | (SIDE - 1) << 14 | (SIDE - 1)
        data[21:25] = packed.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_the_number_of_pixels_is_asked_before_anything_is_decoded(form: str) -> None:
    """Each format is refused by its header alone, in a line that names the limit and the option that raises it."""
    with pytest.raises(UnusablePictureError, match=r"180 megapixels.*big\.x.*--max-megapixels") as caught:
        decode_picture(huge(form), source="big.x")
    assert caught.value.reason == "more than 180 megapixels"
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    with pytest.raises(UnusablePictureError, match=r"truncated|damaged"):  # Nothing but the limit was in its way.
        decode_picture(huge(form), source="big.x", limits=Limits(megapixels=1000, seconds=60))


def test_deep_pictures_count_for_what_they_take() -> None:
    """Of 16 bits a channel with opacity a pixel counts twice."""
    pixels = np.zeros((40, 50, 4), np.int64)
    limits = Limits(megapixels=0.003, seconds=60)
    assert decode_picture(png_file(pixels, kind=6, bits=8), source="p", limits=limits).rgb_HW3.shape == (40, 50, 3)
    with pytest.raises(UnusablePictureError, match="megapixels"):
        decode_picture(png_file(pixels, kind=6, bits=16), source="p", limits=limits)


def test_a_jpeg_of_a_hundred_thousand_scans_is_not_decoded() -> None:
    """Scans that add nothing cost a pass each; there may be a hundred."""
    data = _saved(Image.fromarray(RGB8), "JPEG", progressive=True)
    first, second = [match.start() for match in re.finditer(rb"\xff\xda", data)][:2]
    start, end = data.rindex(b"\xff\xc4", 0, first), data.rindex(b"\xff\xc4", 0, second)
    bomb = data[:end] + data[start:end] * 100_000 + data[end:]
    with pytest.raises(UnusablePictureError, match="more than 100 scans"):
        decode_picture(bomb, source="p")
    some = data[:end] + data[start:end] * 50 + data[end:]
    np.testing.assert_array_equal(decode_picture(some, source="p").rgb_HW3, decode_picture(data, source="p").rgb_HW3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PNG 16", "BMP", "TIFF"])
def test_decoding_ends_with_its_time(form: str) -> None:
    """What takes too long is given up, between two parts of the file, and named."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 700, 3), dtype=np.uint8))
    data = (
        _saved(image, form) if form != "PNG 16" else png_file(np.asarray(image).astype(np.int64) * 257, kind=2, bits=16)
    )
    with pytest.raises(UnusablePictureError, match="s of decoding"):
        decode_picture(data, source="p", limits=Limits(megapixels=180, seconds=-1))
    decode_picture(data, source="p")


def test_what_unpacks_to_far_more_than_its_picture_is_not_unpacked_to_its_end() -> None:
    """Strips and data that go on for many times the picture are read as far as the picture goes."""
    packed = zlib.compress(bytes(2**26), 1)
    tags = tags_of(RGB8, bits=8, photometric=2, t259=8)
    assert not decode_picture(tiff_file(([packed], tags)), source="p").rgb_HW3.any()
    for bits in (8, 16):
        header = struct.pack(">IIBBBBB", 50, 40, bits, 2, 0, 0, 0)
        png = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        assert not decode_picture(b"\x89PNG\r\n\x1a\n" + png, source="p").rgb_HW3.any()


def test_tiff_chunks_upon_each_other_do_not_make_much_of_little() -> None:
    """A file whose thousand strips are all the same bytes is refused, not unpacked a thousand times."""
    tall = np.zeros((4000, 8, 3), np.uint8)
    data = tiff_file(([tall.tobytes()], tags_of(tall, bits=8, photometric=2, rows=1)))
    many = tags_of(tall, bits=8, photometric=2, rows=1)
    shared = tiff_file(([bytes(20_000)], {**many, 400: [8] * 10}))
    for broken in (data, shared):
        with pytest.raises(UnusablePictureError):
            decode_picture(broken, source="p")


def test_an_option_raises_the_limit_and_what_was_prepared_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data prepare` rejects with the limit's name, takes a higher one, and a sweep then needs no option."""
    source = tmp_path / "photos"
    for number in range(12):
        save(source / f"{number}.png", fruit(number, size_px=64))
    big = fruit(99, size_px=1200)
    save(source / "big.png", big)
    command = ["data", "prepare", str(source), "--name", "fruit", "-w", str(tmp_path / "w"), "--json"]
    result = CliRunner().invoke(app, [*command, "--max-megapixels", "1"])
    assert json.loads(result.stdout)["rejected"] == [{"path": "big.png", "reason": "more than 1 megapixels"}]
    result = CliRunner().invoke(app, [*command, "--replace", "--max-megapixels", "2"])
    assert json.loads(result.stdout)["rejected"] == []
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "1")
    with pytest.raises(UnusablePictureError, match="more than 1 megapixels"):
        read_picture(source / "big.png")
    workspace = Workspace.at(tmp_path / "w")
    config = DataConfig(name="fruit", size_px=64)
    data = CachedData.open(ensure_cache(workspace, load_manifest(workspace, "fruit"), config))
    assert "big.png" in {name for split in (data.train, data.val, data.test) for name in split.names}


@pytest.mark.parametrize("command", [["data", "show"], ["colorize", "-o", "out"], ["data", "prepare"]])
def test_every_command_that_reads_pictures_has_the_option(command: list[str]) -> None:
    """The line that refuses a picture names an option that is there."""
    result = CliRunner().invoke(app, [command[0], *([command[1]] if command[0] == "data" else []), "--help"])
    assert "--max-megapixels" in result.output


def test_a_served_model_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where clients send the pictures the limits are lower, unless whoever runs the server says otherwise."""
    assert Limits.usual() == LOCAL
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    assert Limits.usual() == SERVED
    assert SERVED.megapixels < LOCAL.megapixels
    assert SERVED.seconds < LOCAL.seconds
    monkeypatch.setenv(MEGAPIXELS_VARIABLE, "50")
    assert Limits.usual() == Limits(50, SERVED.seconds)


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe, a folder and an endless device in place of a picture are named."""
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "endless.tif").symlink_to("/dev/zero")
    for name, what in (("pipe.jpg", "named pipe"), ("folder.png", "folder"), ("endless.tif", "device")):
        with pytest.raises(UnusablePictureError, match=what):
            read_picture(tmp_path / name)


def test_a_picture_written_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG bytes for a client are made without a temporary file."""
    from deepcolor.coloring.picture import png_bytes

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with Image.open(io.BytesIO(png_bytes(RGB8))) as image:
        np.testing.assert_array_equal(np.asarray(image), RGB8)
