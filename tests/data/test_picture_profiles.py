from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from deepcolor.data.images import UnusablePictureError, decode_picture
from tests.data import icc_profiles as icc
from tests.data.documented import documented_rows
from tests.data.picture_layouts import _saved
from tests.data.picture_profiles import PHOTO, RGB_PROFILES, Carrier, by_littlecms, carriers, delta_e, differences
from tests.data.png_files import iccp, png_file, with_chunks

ADOBE_XY = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
"""White, red, green and blue as PNG has them."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "pictures.md"
CARRIERS = {carrier.name: carrier for carrier in carriers()}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_a_profile_is_followed_as_littlecms_follows_it(carrier: Carrier) -> None:
    """In every format, mode and depth that carries one: below 0.3 of CIE76 on average, and as the document says."""
    documented = {(row[0], row[1]): (float(row[2]), float(row[3])) for row in documented_rows(DOCUMENT, "profiles")}
    for name, profile in carrier.profiles.items():
        mean, largest = differences(carrier, profile)
        assert mean < 0.3
        stated_mean, stated_largest = documented[carrier.name, name]
        assert mean <= stated_mean + 0.01
        assert largest <= stated_largest + 0.1


def test_a_true_srgb_profile_changes_no_bit() -> None:
    """LittleCMS's own, and one with the same curve and primaries written by hand, leave the pixels as they are."""
    hand = icc.rgb_profile("sRGB IEC61966-2.1", icc.SRGB, icc.parametric(icc.SRGB_CURVE, 3))
    for profile in (RGB_PROFILES["sRGB"], hand):
        for bits in (8, 16):
            pixels = PHOTO.astype(np.int64) * (257 if bits == 16 else 1)
            data = with_chunks(png_file(pixels, kind=2, bits=bits), iccp(profile))
            np.testing.assert_array_equal(decode_picture(data, source="p").rgb_HW3, pixels)


def test_a_deep_picture_keeps_its_depth_through_a_profile() -> None:
    """Of 16 bits in Adobe RGB, colours come out that 8 bits cannot tell apart, and grey stays grey."""
    ramp = np.repeat(np.arange(0, 65536, 16, dtype=np.int64).reshape(64, 64, 1), 3, axis=2)
    data = with_chunks(png_file(ramp, kind=2, bits=16), iccp(RGB_PROFILES["Adobe RGB (1998)"]))
    rgb = decode_picture(data, source="p").rgb_HW3
    assert rgb.dtype == np.uint16
    assert len(np.unique(rgb[..., 0])) > 4000
    assert (rgb.max(axis=2).astype(int) - rgb.min(axis=2)).max() <= 8
    assert (rgb[0, 0] == 0).all()
    assert (rgb[-1, -1] >= 65500).all()


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], icc.rgb_profile("x", icc.SRGB, icc.linear())),
        (
            [(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *ADOBE_XY))],
            icc.rgb_profile("x", icc.ADOBE_RGB, icc.parametric(icc.SRGB_CURVE, 3)),
        ),
        ([(b"cICP", bytes([12, 13, 0, 1]))], icc.rgb_profile("x", icc.DISPLAY_P3, icc.parametric(icc.SRGB_CURVE, 3))),
        ([(b"cICP", bytes([1, 8, 0, 1]))], icc.rgb_profile("x", icc.SRGB, icc.linear())),
        ([(b"cICP", bytes([1, 13, 0, 1])), iccp(RGB_PROFILES["Adobe RGB (1998)"])], RGB_PROFILES["sRGB"]),
        ([iccp(RGB_PROFILES["Display P3"]), (b"gAMA", struct.pack(">I", 100000))], RGB_PROFILES["Display P3"]),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], RGB_PROFILES["sRGB"]),
        ([(b"gAMA", struct.pack(">I", 45455))], RGB_PROFILES["sRGB"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16])
def test_what_a_png_says_in_numbers_is_followed(chunks: list[tuple[bytes, bytes]], profile: bytes, bits: int) -> None:
    """Gamma, primaries and code points mean what the same profile would; the stronger statement goes first."""
    pixels = PHOTO.astype(np.int64) * (257 if bits == 16 else 1)
    picture = decode_picture(with_chunks(png_file(pixels, kind=2, bits=bits), *chunks), source="p")
    assert picture.remark is None
    assert delta_e(picture.rgb_HW3, by_littlecms(PHOTO, profile))[0] < 0.3


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        RGB_PROFILES["Display P3"][:200],
        icc.rgb_profile("no curve", icc.SRGB, b"nope" + bytes(12)),
        icc.grey_profile("of grey", icc.gamma(2.2)),
        RGB_PROFILES["a table"][:400],
        bytes(200),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_broken_profile_is_ignored_with_a_remark(profile: bytes, bits: int) -> None:
    """A profile that is damaged, or for another kind of picture, leaves the colours as they are, and that is said."""
    pixels = PHOTO.astype(np.int64) * (257 if bits == 16 else 1)
    picture = decode_picture(with_chunks(png_file(pixels, kind=2, bits=bits), iccp(profile)), source="p")
    np.testing.assert_array_equal(picture.rgb_HW3, pixels)
    assert picture.remark is not None
    assert "colour profile" in picture.remark


def test_a_jpeg_profile_in_parts_is_put_together_and_a_missing_part_noticed() -> None:
    """A large profile fills several segments; without one of them it is broken."""
    large = RGB_PROFILES["Display P3"] + bytes(150_000)
    data = _saved(Image.fromarray(PHOTO), "JPEG", icc_profile=large)
    whole, plain = decode_picture(data, source="p"), decode_picture(_saved(Image.fromarray(PHOTO), "JPEG"), source="p")
    assert whole.remark is None
    assert delta_e(whole.rgb_HW3, plain.rgb_HW3)[0] > 1
    start = data.index(b"ICC_PROFILE\0\2") - 4
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    torn = decode_picture(data[:start] + data[start + 2 + length :], source="p")
    assert torn.remark is not None
    np.testing.assert_array_equal(torn.rgb_HW3, plain.rgb_HW3)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [8, 9])
def test_lab_pictures_are_converted_as_littlecms_does(bits: int, photometric: int) -> None:
    """TIFF's two ways of storing L*a*b* give the colours that LittleCMS gives, at both depths."""
    from tests.data.tiff_files import tags_of, tiff_file

    lab_profile, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(Image.fromarray(PHOTO), srgb, lab_profile, outputMode="LAB")
    assert lab is not None
    back = ImageCms.profileToProfile(lab, lab_profile, srgb, outputMode="RGB")
    stored = np.asarray(lab).astype(np.int64)
    # Pillow's arrays hold a* and b* as TIFF's first way does: signed, in 8 bits.
    signed = (stored[..., 1:] + 128) % 256 - 128
    if bits == 8:
        ab = signed % 256 if photometric == 8 else signed + 128
        values = np.concatenate([stored[..., :1], ab], axis=2).astype(np.uint8)
    else:
        lightness = stored[..., :1] / 255 * (65535 if photometric == 8 else 0xFF00)
        ab = signed * 256 % 65536 if photometric == 8 else (signed + 128) * 256
        values = np.concatenate([np.rint(lightness), ab], axis=2).astype("<u2")
    picture = decode_picture(
        tiff_file(([values.tobytes()], tags_of(values, bits=bits, photometric=photometric))), source="p"
    )
    mean, _ = delta_e(picture.rgb_HW3, np.asarray(back))
    assert mean < 0.5  # Eight bits of L*a*b* are coarser than that.


def test_what_srgb_cannot_hold_is_refused() -> None:
    """High dynamic range and cut ranges are named, not shown too dark."""
    plain = png_file(PHOTO, kind=2, bits=8)
    for points in ([9, 16, 0, 1], [9, 18, 0, 1], [1, 13, 0, 0], [1, 13, 1, 1]):
        with pytest.raises(UnusablePictureError, match="cICP"):
            decode_picture(with_chunks(plain, (b"cICP", bytes(points))), source="p")
