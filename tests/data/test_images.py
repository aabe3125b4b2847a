from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from deepcolor.data.images import UnusablePictureError, centre_square, decode_picture, read_picture, write_png
from deepcolor.errors import DataError, ShapeError, WorkspaceError
from tests.data.photos import fruit, photos, save

# deepcolor silences these at import; pytest undoes that.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")

FORMATS = ("jpg", "png", "webp", "bmp", "tif")


def marked() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Wider than high, with a red corner at the top left and a blue one at the top right."""
    rgb = np.full((48, 80, 3), 200, np.uint8)
    rgb[:16, :16], rgb[:16, -16:] = (255, 0, 0), (0, 0, 255)
    return rgb


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    """JPEG, PNG, WebP, BMP and TIFF come back as upright RGB; lossless ones exactly."""
    rgb = fruit(0)
    picture = read_picture(save(tmp_path / f"p.{suffix}", rgb))
    assert picture.rgb_HW3.dtype == np.uint8
    assert picture.alpha_HW is None
    assert not picture.is_grey
    assert np.abs(picture.rgb_HW3.astype(int) - rgb).mean() < (4 if suffix in {"jpg", "webp"} else 1e-9)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97])
def test_truncated_files_are_noticed(tmp_path: Path, suffix: str, kept: float) -> None:
    """A file cut short is refused in every format, not filled up with grey."""
    data = save(tmp_path / f"p.{suffix}", fruit(1)).read_bytes()
    with pytest.raises(UnusablePictureError, match=r"truncated|damaged|another kind"):
        decode_picture(data[: int(len(data) * kept)], source="p")


def test_a_truncated_photo_is_named_as_such(tmp_path: Path) -> None:
    """The reason of a cut JPEG is that it is truncated, however little is missing."""
    data = save(tmp_path / "p.jpg", photos("faces", 1)[0]).read_bytes()
    for missing in (2, 20, len(data) // 2, len(data) - 60):
        with pytest.raises(UnusablePictureError) as caught:
            decode_picture(data[:-missing], source="p.jpg")
        assert caught.value.reason == "a truncated file"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello, I am text", "another kind"), (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged")],
)
def test_what_is_no_picture_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    """Empty files, text, and nonsense behind a magic number have reasons of their own, with the file's name."""
    with pytest.raises(DataError, match=rf"{reason}.*\(that\.png\)"):
        decode_picture(data, source="that.png")


def test_a_missing_picture_is_an_error_of_the_user(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    with pytest.raises(DataError, match=r"nowhere\.png"):
        read_picture(tmp_path / "nowhere.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(suffix: str, orientation: int) -> None:
    """Each of the eight orientations, in each format that carries it, is turned upright like Pillow's own tool does."""
    upright = Image.fromarray(marked())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), exif=exif, quality=95)
    rgb = decode_picture(buffer.getvalue(), source="p").rgb_HW3
    assert rgb.shape == (48, 80, 3)
    assert np.abs(rgb.astype(int) - marked()).mean() < 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay_16_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    """Deep grey, colour and transparent pictures keep every one of their bits."""
    deep = np.random.default_rng(0).integers(0, 2**16, (40, 50, channels)).astype(np.uint16)
    stored = deep[..., [2, 1, 0, 3][:channels]] if channels > 1 else deep
    assert cv2.imwrite(str(tmp_path / f"p.{suffix}"), stored)
    picture = read_picture(tmp_path / f"p.{suffix}")
    np.testing.assert_array_equal(picture.rgb_HW3, np.repeat(deep, 3, axis=2) if channels == 1 else deep[..., :3])
    assert picture.is_grey == (channels == 1)
    assert (picture.alpha_HW is not None) == (channels == 4)


def test_16_bit_pictures_are_turned_upright_too() -> None:
    """A deep PNG with an orientation comes back turned."""
    deep = np.arange(40 * 50 * 3, dtype=np.uint16).reshape(40, 50, 3)
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(np.rot90(deep, 1)[..., ::-1]))
    data = encoded.tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()[6:]
    chunk = b"eXIf" + body
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    cut = data.index(b"IDAT") - 4
    data = data[:cut] + len(body).to_bytes(4, "big") + chunk + crc + data[cut:]
    np.testing.assert_array_equal(decode_picture(data, source="p").rgb_HW3, deep)


def test_palettes_alpha_and_cmyk_become_rgb() -> None:
    """Modes that printers and the web use are brought to RGB, alpha kept beside it."""
    image = Image.fromarray(fruit(2))
    for form in (image.quantize(64), image.convert("CMYK"), image.convert("L"), image.convert("1")):
        buffer = io.BytesIO()
        form.save(buffer, "TIFF")
        assert decode_picture(buffer.getvalue(), source="p").rgb_HW3.shape == (96, 96, 3)
    alpha = np.tile(np.arange(96, dtype=np.uint8), (96, 1))
    image.putalpha(Image.fromarray(alpha))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    picture = decode_picture(buffer.getvalue(), source="p")
    assert picture.alpha_HW is not None
    np.testing.assert_array_equal(picture.alpha_HW, alpha)


def test_an_embedded_colour_profile_is_brought_to_srgb() -> None:
    """The same numbers mean another colour under another profile; an sRGB profile changes nothing."""
    image = Image.fromarray(fruit(3))
    plain, tagged, other = io.BytesIO(), io.BytesIO(), io.BytesIO()
    image.save(plain, "PNG")
    image.save(tagged, "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    image.save(other, "PNG", icc_profile=b"no profile at all")
    expected = decode_picture(plain.getvalue(), source="p").rgb_HW3
    for buffer in (tagged, other):
        np.testing.assert_array_equal(decode_picture(buffer.getvalue(), source="p").rgb_HW3, expected)


def test_grey_is_told_from_nearly_grey(tmp_path: Path) -> None:
    """A grey photo saved as colour JPEG is grey; a dark, nearly colourless fruit is not."""
    grey = np.repeat(cv2.cvtColor(fruit(4), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    assert read_picture(save(tmp_path / "grey.jpg", grey, quality=60)).is_grey
    dark = np.full((80, 80, 3), 250, np.uint8)
    dark[20:60, 20:60] = (38, 30, 40)
    dark[18:24, 36:44] = (80, 92, 60)
    assert not read_picture(save(tmp_path / "dark.jpg", dark)).is_grey


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_round_trip(tmp_path: Path, dtype: type[np.unsignedinteger]) -> None:
    """What is written comes back bit for bit, with its alpha and depth, and leaves no temporary file."""
    rng = np.random.default_rng(0)
    top = int(np.iinfo(dtype).max) + 1
    rgb, alpha = rng.integers(0, top, (9, 7, 3)).astype(dtype), rng.integers(0, top, (9, 7)).astype(dtype)
    write_png(tmp_path / "deep" / "p.png", rgb, alpha_HW=alpha)
    picture = read_picture(tmp_path / "deep" / "p.png")
    assert picture.alpha_HW is not None
    np.testing.assert_array_equal(picture.rgb_HW3, rgb)
    np.testing.assert_array_equal(picture.alpha_HW, alpha)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["p.png"]


def test_a_png_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file where a folder should be is an error with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"p\.png"):
        write_png(tmp_path / "file" / "p.png", fruit(0))
    with pytest.raises(ShapeError, match="alpha"):
        write_png(tmp_path / "p.png", fruit(0), alpha_HW=np.zeros((3, 3), np.uint8))


def test_centre_square_keeps_the_middle() -> None:
    """The square is cut from the middle, shrunk by averaging, enlarged smoothly, and keeps its type."""
    rgb = np.zeros((40, 100, 3), np.uint16)
    rgb[:, 30:70] = 60000
    for size in (20, 40, 80):
        square = centre_square(rgb, size)
        assert square.shape == (size, size, 3)
        assert square.dtype == np.uint16
        assert (square == 60000).all()
