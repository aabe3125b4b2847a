"""Colour profiles in every format that carries them, followed here and by LittleCMS, and the difference measured.

`python -m tests.data.picture_profiles docs/pictures.md` writes the table into the document; a test holds it true.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from deepcolor.color import rgb_to_lab
from deepcolor.data.images import decode_picture
from tests.data import icc_profiles as icc
from tests.data.documented import write_table
from tests.data.photos import fruit
from tests.data.picture_layouts import _by_tifffile, _saved
from tests.data.png_files import iccp, png_file, to_numbers, with_chunks
from tests.data.tiff_files import tags_of, tiff_file

Rgb = npt.NDArray[np.uint8]

PHOTO: Rgb = fruit(1, size_px=64)
ALPHA: Rgb = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))[..., None]
GREY: Rgb = np.asarray(Image.fromarray(PHOTO).convert("L"))[..., None]
PALETTE_IMAGE = Image.fromarray(PHOTO).quantize(64)
CMYK: Rgb = np.asarray(Image.fromarray(PHOTO).convert("CMYK"))

_SRGB = ImageCms.createProfile("sRGB")


def table_profile(space: bytes) -> bytes:
    """Return a profile that is a table of L*a*b* instead of curves and a matrix, for `RGB ` or `CMYK`."""
    channels = 3 if space == b"RGB " else 4
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * channels, indexing="ij")).reshape(channels, -1).T
    rgb = corners if channels == 3 else (1 - corners[:, :3]) * (1 - 0.9 * corners[:, 3:])
    lightness, ab = rgb_to_lab(0.1 + 0.8 * rgb[None])
    colours = np.concatenate([lightness[..., None] * 2.55, ab + 128], axis=2).astype(np.uint8).tobytes()
    identity = bytes(range(256))
    tag = b"mft1" + bytes(4) + bytes([channels, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int).ravel() << 16))
    tag += identity * channels + colours + identity * 3
    profile = icc._profile("a table", space, {b"A2B0": tag})
    return profile[:20] + b"Lab " + profile[24:]


RGB_PROFILES = {
    "sRGB": ImageCms.ImageCmsProfile(_SRGB).tobytes(),
    "Display P3": icc.rgb_profile("Display P3", icc.DISPLAY_P3, icc.parametric(icc.SRGB_CURVE[:5], 3)),
    "Adobe RGB (1998)": icc.rgb_profile("Adobe RGB (1998)", icc.ADOBE_RGB, icc.gamma(563 / 256)),
    "linear, called sRGB": icc.rgb_profile("GIMP built-in Linear sRGB", icc.SRGB, icc.linear()),
    "a sampled curve": icc.rgb_profile("sampled", icc.ADOBE_RGB, icc.sampled(lambda v: v**1.8)),
    "a table": table_profile(b"RGB "),
}
GREY_PROFILES = {
    "gamma 1.8": icc.grey_profile("Gray Gamma 1.8", icc.gamma(1.8)),
    "gamma 2.2": icc.grey_profile("Gray Gamma 2.2", icc.gamma(2.2)),
    "linear": icc.grey_profile("linear", icc.linear()),
    "a sampled curve": icc.grey_profile("dots", icc.sampled(lambda v: v * v * (3 - 2 * v))),
}
CMYK_PROFILES = {"a table": table_profile(b"CMYK")}
GREY_AS_RGB = {"Adobe RGB (1998)": RGB_PROFILES["Adobe RGB (1998)"]}


@dataclass(frozen=True)
class Carrier:
    """A kind of file that can carry a profile."""

    name: str
    pixels: Rgb
    """What it holds, at 8 bits."""
    write: Callable[[bytes], bytes]
    """Make the file, with this profile."""
    profiles: dict[str, bytes]
    lossy: bool = False


def carriers() -> Iterator[Carrier]:
    """Yield all of them."""
    photo, grey, cmyk = Image.fromarray(PHOTO), Image.fromarray(GREY[..., 0]), Image.fromarray(CMYK, "CMYK")
    clear = Image.fromarray(np.concatenate([PHOTO, ALPHA], axis=2))
    palette = np.asarray(PALETTE_IMAGE.convert("RGB"))
    deep = {name: pixels.astype(np.uint16) * 257 for name, pixels in (("RGB", PHOTO), ("grey", GREY), ("CMYK", CMYK))}

    def pillow(image: Image.Image, form: str, **options: Any) -> Callable[[bytes], bytes]:
        return lambda profile: _saved(image, form, icc_profile=profile, **options)

    def png(pixels: npt.NDArray[Any], kind: int, bits: int) -> Callable[[bytes], bytes]:
        plain = png_file(to_numbers(pixels, bits), kind=kind, bits=bits)
        return lambda profile: with_chunks(plain, iccp(profile))

    def tiff(pixels: npt.NDArray[Any], **options: Any) -> Callable[[bytes], bytes]:
        return lambda profile: _by_tifffile(pixels, extratags=[(34675, 7, len(profile), profile, True)], **options)

    yield Carrier("JPEG RGB 8 bits", PHOTO, pillow(photo, "JPEG", quality=95), RGB_PROFILES, lossy=True)
    yield Carrier("JPEG grey 8 bits", GREY, pillow(grey, "JPEG", quality=95), GREY_PROFILES | GREY_AS_RGB, lossy=True)
    yield Carrier("JPEG CMYK 8 bits", CMYK, pillow(cmyk, "JPEG", quality=95), CMYK_PROFILES, lossy=True)
    yield Carrier("PNG RGB 8 bits", PHOTO, pillow(photo, "PNG"), RGB_PROFILES)
    yield Carrier("PNG RGB 8 bits with opacity", PHOTO, pillow(clear, "PNG"), RGB_PROFILES)
    yield Carrier("PNG palette 8 bits", palette, pillow(PALETTE_IMAGE, "PNG"), RGB_PROFILES)
    yield Carrier("PNG RGB 16 bits", PHOTO, png(PHOTO, 2, 16), RGB_PROFILES)
    both = np.concatenate([PHOTO, ALPHA], axis=2)
    yield Carrier("PNG RGB 16 bits with opacity", PHOTO, png(both, 6, 16), RGB_PROFILES)
    for bits in (8, 16):
        yield Carrier(f"PNG grey {bits} bits", GREY, png(GREY, 0, bits), GREY_PROFILES | GREY_AS_RGB)
        both = np.concatenate([GREY, ALPHA], axis=2)
        yield Carrier(f"PNG grey {bits} bits with opacity", GREY, png(both, 4, bits), GREY_PROFILES)
    yield Carrier("WebP RGB 8 bits", PHOTO, pillow(photo, "WEBP", lossless=True), RGB_PROFILES)
    yield Carrier("WebP RGB 8 bits with opacity", PHOTO, pillow(clear, "WEBP", lossless=True, exact=True), RGB_PROFILES)
    yield Carrier("BMP RGB 8 bits", PHOTO, _bmp, RGB_PROFILES)
    yield Carrier("TIFF RGB 8 bits", PHOTO, tiff(PHOTO, photometric="rgb"), RGB_PROFILES)
    yield Carrier("TIFF RGB 8 bits, LZW", PHOTO, pillow(photo, "TIFF", compression="tiff_lzw"), RGB_PROFILES)
    yield Carrier("TIFF RGB 16 bits", PHOTO, tiff(deep["RGB"], photometric="rgb"), RGB_PROFILES)
    planes = np.moveaxis(deep["RGB"], -1, 0)
    yield Carrier("TIFF RGB 16 bits, planes apart", PHOTO,
                  tiff(planes, photometric="rgb", planarconfig="separate"), RGB_PROFILES)  # fmt: skip
    yield Carrier("TIFF RGB float", PHOTO, tiff((PHOTO / 255).astype(np.float32), photometric="rgb"), RGB_PROFILES)
    yield Carrier("TIFF grey 16 bits", GREY, tiff(deep["grey"][..., 0], photometric="minisblack"), GREY_PROFILES)
    yield Carrier("TIFF CMYK 8 bits", CMYK, pillow(cmyk, "TIFF"), CMYK_PROFILES)
    tags = tags_of(CMYK, bits=16, photometric=5)
    chunk = deep["CMYK"].astype("<u2").tobytes()
    yield Carrier("TIFF CMYK 16 bits", CMYK, lambda profile: tiff_file(([chunk], {**tags, 34675: profile})),
                  CMYK_PROFILES)  # fmt: skip


def differences(carrier: Carrier, profile: bytes) -> tuple[float, float]:
    """Return the mean and the largest CIE76 colour difference from what LittleCMS makes of the same numbers."""
    data = carrier.write(profile)
    pixels = carrier.pixels
    if carrier.lossy:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image)
    read = decode_picture(data, source="picture")
    assert read.remark is None
    return delta_e(read.rgb_HW3, by_littlecms(pixels, profile))


def by_littlecms(pixels: Rgb, profile: bytes) -> Rgb:
    """Bring 8-bit numbers to sRGB by a profile."""
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    is_grey = pixels.ndim == 2 or pixels.shape[2] == 1
    image = Image.fromarray(pixels.reshape(pixels.shape[:2])) if is_grey else Image.fromarray(pixels)
    if is_grey and profile[16:20] == b"RGB ":
        image = image.convert("RGB")
    if not is_grey and pixels.shape[2] == 4:
        image = Image.fromarray(pixels, "CMYK")
    converted = ImageCms.profileToProfile(image, embedded, _SRGB, outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)


def delta_e(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the mean and the largest CIE76 difference of two pictures in sRGB."""
    (lightness, ab), (lightness_2, ab_2) = rgb_to_lab(one), rgb_to_lab(other)
    distances = np.sqrt((lightness - lightness_2) ** 2 + ((ab - ab_2) ** 2).sum(axis=-1))
    return float(distances.mean()), float(distances.max())


def table() -> str:
    """Return the document's table of profiles."""
    lines = ["| picture | profile | mean | largest |", "| --- | --- | ---: | ---: |"]
    for carrier in carriers():
        for name, profile in carrier.profiles.items():
            mean, largest = differences(carrier, profile)
            lines.append(f"| {carrier.name} | {name} | {mean:.2f} | {largest:.1f} |")
    return "\n".join(lines)


def _bmp(profile: bytes) -> bytes:
    """Write a BMP file with the newest header, which alone carries a profile."""
    height, width = PHOTO.shape[:2]
    pixels = PHOTO[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    header = header.ljust(56, b"\0") + b"DEBM" + bytes(52) + struct.pack("<III", 124 + len(pixels), len(profile), 0)
    data = header + pixels + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(data), 0, 0, 14 + 124) + data


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), "profiles", table())
