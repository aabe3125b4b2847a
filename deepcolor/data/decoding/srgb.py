"""Bring what a file holds to sRGB: by its profile, by what it says in numbers, or as it is.

At 8 bits a channel LittleCMS follows the profile, whatever its kind. It is not asked at 16 bits, where Pillow has no
room for its answer: curves and a matrix are followed here, exactly; a profile of tables is followed at 8 bits.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from deepcolor.color import to_uint8
from deepcolor.data.decoding.icc import (
    D50_XYZ,
    SRGB_TO_XYZ,
    Profile,
    ProfileError,
    RgbSpace,
    parse,
    srgb_encoded,
)
from deepcolor.data.decoding.raster import Pixels, Raster

BROKEN_PROFILE = "its colour profile cannot be used; it was taken for sRGB"

_STRIP_PX = 2**20
_MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
_KINDS = {"GRAY": "grey", "RGB": "rgb", "CMYK": "cmyk"}
_FINE = 2**14
"""Steps between linear 0 and 1 in which the square root of light is tabulated."""


def to_srgb(raster: Raster) -> tuple[Pixels, str | None]:
    """Return sRGB of shape (H, W, 3), uint8 or uint16, and a remark where a profile could not be followed."""
    if raster.model == "lab":
        return _from_lab(raster.samples_HWC), None
    if raster.colours is None:
        return _as_it_is(raster), None
    try:
        if isinstance(raster.colours, RgbSpace):
            return _through_space(raster.samples_HWC, raster.colours), None
        return _through_profile(raster, raster.colours), None
    except (ProfileError, ImageCms.PyCMSError, OSError):
        return _as_it_is(raster), BROKEN_PROFILE


def _as_it_is(raster: Raster) -> Pixels:
    samples = raster.samples_HWC
    if raster.model == "cmyk":
        return np.asarray(Image.fromarray(to_uint8(samples), "CMYK").convert("RGB"))
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def _through_profile(raster: Raster, icc: bytes) -> Pixels:
    profile = parse(icc)
    model = _KINDS.get(profile.kind)
    samples = raster.samples_HWC
    if model == "rgb" and raster.model == "grey":
        samples = np.repeat(samples, 3, axis=2)  # Editors give grey pictures the profile of their screen.
    elif model != raster.model:
        raise ProfileError("a profile for another kind of picture")
    if profile.space is not None and samples.dtype == np.uint16:
        return samples if profile.space.is_srgb and model == "rgb" else _through_space(samples, profile.space)
    return _through_littlecms(to_uint8(samples), profile, icc, mode=_MODES[model])


def _through_littlecms(samples: npt.NDArray[np.uint8], profile: Profile, icc: bytes, *, mode: str) -> Pixels:
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    named_srgb = mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(embedded)
    if named_srgb and profile.space is not None and profile.space.is_srgb:
        return samples
    image = Image.fromarray(samples[..., 0] if mode == "L" else samples, mode)
    converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise ProfileError("a profile that leads nowhere")
    return np.asarray(converted)


def _through_space(samples: Pixels, space: RgbSpace) -> Pixels:
    """Follow curves and matrix, at the depth of the samples."""
    if space.is_srgb:
        return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples
    levels = np.iinfo(samples.dtype).max + 1
    places = np.linspace(0, 1, levels)
    tables = [np.clip(curve(places), 0, 1) for curve in space.curves]
    if samples.shape[2] == 1 and space.is_grey:
        table = np.rint(srgb_encoded(tables[0]) * (levels - 1)).astype(samples.dtype)
        return np.repeat(table[samples], 3, axis=2)
    tables = tables * 3 if len(tables) == 1 else tables
    matrix = np.eye(3) if space.is_grey else np.linalg.inv(SRGB_TO_XYZ) @ space.to_xyz
    result = np.empty((*samples.shape[:2], 3), samples.dtype)
    for strip, out in _strips(samples, result):
        light = np.stack([table[strip[..., min(i, strip.shape[2] - 1)]] for i, table in enumerate(tables)], axis=-1)
        out[...] = _stored(light @ matrix.T, levels)
    return result


def _from_lab(samples: Pixels) -> Pixels:
    """CIELAB (D50, as TIFF and ICC have it) to sRGB.

    Source: CIE 15:2004, 8.2.1.
    """
    levels = np.iinfo(samples.dtype).max + 1
    result = np.empty(samples.shape, samples.dtype)
    from_xyz = np.linalg.inv(SRGB_TO_XYZ)
    for strip, out in _strips(samples, result):
        # a* and b* have one integer of 256 a unit at 16 bits, one of 1 at 8.
        unit = levels / 256
        f = np.empty(strip.shape)
        f[..., 1] = (strip[..., 0] * (100 / (levels - 1)) + 16) / 116
        f[..., 0] = f[..., 1] + (strip[..., 1] / unit - 128) / 500
        f[..., 2] = f[..., 1] - (strip[..., 2] / unit - 128) / 200
        xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50_XYZ
        out[...] = _stored(xyz @ from_xyz.T, levels)
    return result


def _stored(light: npt.NDArray[np.float64], levels: int) -> Pixels:
    """Encode linear sRGB in integers, by a table that is finer than they are."""
    table = _encoding(levels)
    # By its square root, so that the table is fine where the curve is steep.
    indices = np.rint(np.sqrt(np.clip(light, 0, 1)) * (len(table) - 1)).astype(np.int32)
    return np.asarray(table[indices])


@lru_cache(maxsize=2)
def _encoding(levels: int) -> Pixels:
    roots = np.linspace(0, 1, levels * 16 if levels > 256 else _FINE)
    dtype = np.uint16 if levels > 256 else np.uint8
    table: Pixels = np.rint(srgb_encoded(roots**2) * (levels - 1)).astype(dtype)
    return table


def _strips(samples: Pixels, result: Pixels) -> list[tuple[Pixels, Pixels]]:
    """Cut both into rows of about a megapixel, so that floating point needs no gigabytes."""
    count = max(1, min(samples.shape[0], samples.shape[0] * samples.shape[1] // _STRIP_PX))
    return list(zip(np.array_split(samples, count), np.array_split(result, count), strict=True))
