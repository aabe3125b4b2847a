"""TIFF files: everything but undoing a compression is done here, for there is more in use than any one library reads.

What Pillow's libtiff is asked for is to unpack bytes (see `tiff_unpack`); what these bytes mean (depth, byte order,
planes, tiles, predictor, opacity, colour model) is told by the tags, and each meaning is followed or refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcolor.data.decoding import tiff_directory as tag
from deepcolor.data.decoding.bounds import Allowance, Fault
from deepcolor.data.decoding.exif import orientation_of
from deepcolor.data.decoding.raster import Model, Pixels, Raster
from deepcolor.data.decoding.tiff_directory import Directory, photo_of
from deepcolor.data.decoding.tiff_unpack import Layout, unpack

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, CIELAB: 3, ICCLAB: 3}
"""How many channels each way of telling colours has."""
_OTHER_KINDS = {
    4: "a mask", 10: "ITU L*a*b*", 32803: "a camera's raw data", 34892: "a camera's raw data",
    32844: "LogL", 32845: "LogLuv", 51177: "a depth map",
}  # fmt: skip
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_ASSOCIATED, _UNASSOCIATED = 1, 2
_MOST_CHANNELS = 64
_ROUNDING = 1e-3
"""How far floating point may be outside of 0 to 1, by rounding in the program that wrote it."""


@dataclass(frozen=True)
class _Meaning:
    """What the samples of a picture stand for."""

    photometric: int
    bits: int
    channels: int
    extra: tuple[int, ...]
    """What each channel beyond the colours is."""
    form: int
    """Unsigned, signed, floating point, or undefined."""

    @property
    def colours(self) -> int:
        return _COLOURS[self.photometric]


def decode(data: bytes, allowance: Allowance) -> Raster:
    """Decode a TIFF file: the first picture in it that is no thumbnail and no mask.

    Raises:
        Fault: It is cut short, damaged, too large, or of a layout that cannot be read; the reason names it.
    """
    directory, order = photo_of(data, allowance)
    meaning = _meaning(directory)
    width_px, height_px = directory.number(tag.WIDTH), directory.number(tag.LENGTH)
    allowance.check_size(width_px, height_px, bits=meaning.bits * meaning.channels)
    layout = Layout(
        width_px=width_px,
        height_px=height_px,
        channels=meaning.channels,
        bits=meaning.bits,
        is_float=meaning.form == _FLOAT,
        order=order,
        subsampling=_subsampling(directory, meaning),
    )
    samples = unpack(data, directory, layout, allowance)
    return _raster(samples, directory, meaning, layout)


def _meaning(directory: Directory) -> _Meaning:
    photometric = directory.number(tag.PHOTOMETRIC, BLACK_IS_ZERO)
    if photometric not in _COLOURS:
        raise Fault(f"a TIFF of an unsupported kind ({_OTHER_KINDS.get(photometric, f'photometric {photometric}')})")
    channels = directory.number(tag.SAMPLES, 1)
    depths = set(directory.numbers(tag.BITS)[:channels]) or {1}
    forms = set(directory.numbers(tag.SAMPLE_FORMAT)[:channels]) or {_UNSIGNED}
    if len(depths) > 1 or len(forms) > 1:
        raise Fault("a TIFF whose channels differ in depth")
    colours = _COLOURS[photometric]
    if not colours <= channels <= _MOST_CHANNELS:
        raise Fault(f"a TIFF whose channels do not fit its colours ({channels})")
    # Where opacity is the only thing a fourth channel can be, some programs do not say so.
    silent = (_UNASSOCIATED,) if photometric == RGB and channels == 4 else ()
    extra = tuple(directory.numbers(tag.EXTRA_SAMPLES)) if tag.EXTRA_SAMPLES in directory.tags else silent
    meaning = _Meaning(photometric, int(depths.pop()), channels, extra[: channels - colours], int(forms.pop()))
    _check_depth(meaning)
    return meaning


def _check_depth(meaning: _Meaning) -> None:
    bits = meaning.bits
    if meaning.form == _SIGNED and meaning.photometric not in (CIELAB, ICCLAB):
        raise Fault(f"a TIFF of signed numbers ({bits} bits)")
    if meaning.form not in (_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED):
        raise Fault("a TIFF of complex numbers")
    known = (16, 32, 64) if meaning.form == _FLOAT else (*range(1, 17), 32)
    if bits not in known or (meaning.photometric in (CIELAB, ICCLAB, YCBCR) and bits not in (8, 16)):
        raise Fault(f"a TIFF of {bits} bits a channel")
    if meaning.photometric == PALETTE and (bits > 16 or meaning.form == _FLOAT):
        raise Fault("a TIFF of an unsupported kind of palette")
    if meaning.form == _FLOAT and meaning.photometric not in (BLACK_IS_ZERO, WHITE_IS_ZERO, RGB):
        raise Fault("a TIFF of an unsupported kind in floating point")


def _subsampling(directory: Directory, meaning: _Meaning) -> tuple[int, int]:
    if meaning.photometric != YCBCR:
        return 1, 1
    across, down, *_ = (*directory.numbers(tag.SUBSAMPLING), 2, 2)[:2] if tag.SUBSAMPLING in directory.tags else (2, 2)
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise Fault("a damaged file")
    return int(across), int(down)


def _raster(samples: npt.NDArray[Any], directory: Directory, meaning: _Meaning, layout: Layout) -> Raster:
    colours = samples[..., : meaning.colours]
    alpha, is_multiplied = _opacity(samples, meaning)
    pixels: Pixels
    model: Model = "rgb"
    if meaning.photometric == PALETTE:
        pixels = _through_palette(colours[..., 0], directory, meaning)
        alpha = None if alpha is None else _whole_range(alpha, meaning.bits, np.dtype(np.uint8))
    elif meaning.photometric in (CIELAB, ICCLAB):
        pixels, model = _lab(colours, meaning), "lab"
    else:
        pixels = _whole_range(colours, meaning.bits)
        alpha = None if alpha is None else _whole_range(alpha, meaning.bits)
        if meaning.photometric == YCBCR and not layout.is_converted(directory):
            pixels = _ycbcr_to_rgb(pixels, directory)
        elif meaning.photometric == WHITE_IS_ZERO:
            pixels = np.iinfo(pixels.dtype).max - pixels
        model = {WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", CMYK: "cmyk"}.get(meaning.photometric, "rgb")  # type: ignore[assignment]
    if alpha is not None and is_multiplied and alpha.dtype == pixels.dtype:
        pixels = _divided(pixels, alpha)
    return Raster(
        pixels,
        model,
        alpha,
        directory.raw(tag.PROFILE) or None,
        directory.number(tag.ORIENTATION) or orientation_of(xmp=directory.raw(tag.XMP)),
    )


def _opacity(samples: npt.NDArray[Any], meaning: _Meaning) -> tuple[npt.NDArray[Any] | None, bool]:
    """Return the first channel that is opacity, and whether the colours are multiplied by it.

    A channel of which nothing is said (a scanner's infrared) is not opacity.
    """
    for index, what in enumerate(meaning.extra, start=meaning.colours):
        if what in (_ASSOCIATED, _UNASSOCIATED):
            return samples[..., index], what == _ASSOCIATED
    return None, False


def _whole_range(samples: npt.NDArray[Any], bits: int, dtype: np.dtype[Any] | None = None) -> Pixels:
    """Bring samples to the whole range of uint8 (up to 8 bits) or uint16."""
    if samples.dtype.kind == "f":
        return _from_float(samples)
    target = dtype or np.dtype(np.uint8 if bits <= 8 else np.uint16)
    most, top = 2**bits - 1, np.iinfo(target).max
    if most == top:
        return samples.astype(target, copy=False)
    if bits <= 16:
        table = np.rint(np.arange(most + 1) * (top / most)).astype(target)
        return np.asarray(table[samples], target)
    result = np.empty(samples.shape, target)
    for index, row in enumerate(samples):
        result[index] = np.rint(row * (top / most))
    return result


def _from_float(samples: npt.NDArray[Any]) -> Pixels:
    low, high = float(samples.min()), float(samples.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # Not the other way round: NaN must fail too.
        raise Fault(
            "a TIFF in floating point that goes beyond 0 to 1", advice="Save it with 16 bits a channel, or remove it."
        )
    result = np.empty(samples.shape, np.uint16)
    for index, row in enumerate(samples):
        result[index] = np.rint(np.clip(row.astype(np.float64), 0, 1) * 65535)  # Half precision ends below 65535.
    return result


def _through_palette(indices: npt.NDArray[Any], directory: Directory, meaning: _Meaning) -> Pixels:
    colours = np.array(directory.numbers(tag.COLOUR_MAP), np.int64)
    if len(colours) != 3 * 2**meaning.bits:
        raise Fault("a damaged file")
    if colours.max() > 255:  # Some programs write 8 bits where the standard wants 16.
        colours //= 256
    return np.asarray(colours.reshape(3, -1).T.astype(np.uint8)[indices])


def _lab(colours: npt.NDArray[Any], meaning: _Meaning) -> Pixels:
    """Bring all ways of storing L*a*b* to one: a* and b* from 0, L* over the whole range."""
    bits = meaning.bits
    pixels: Pixels = colours.astype(np.uint8 if bits == 8 else np.uint16)
    if meaning.photometric == CIELAB:
        pixels[..., 1:] ^= pixels.dtype.type(1 << (bits - 1))  # They are signed.
    elif bits == 16:
        pixels[..., 0] = np.minimum(np.rint(pixels[..., 0] * (65535 / 0xFF00)), 65535)
    return pixels


def _ycbcr_to_rgb(pixels: Pixels, directory: Directory) -> Pixels:
    """Source: TIFF 6.0, section 21."""
    top = float(np.iinfo(pixels.dtype).max)
    middle = (top + 1) / 2
    reference = np.array(directory.numbers(tag.REFERENCE) or (0, top, middle, top, middle, top), float)
    red, green, blue = directory.numbers(tag.COEFFICIENTS) or (0.299, 0.587, 0.114)
    if len(reference) != 6 or (reference[1::2] <= reference[::2]).any() or not green:
        raise Fault("a damaged file")
    result = np.empty(pixels.shape, pixels.dtype)
    for source, target in zip(pixels, result, strict=True):
        spans = reference[1::2] - reference[::2]
        luma, cb, cr = np.moveaxis((source - reference[::2]) * (np.array([top, top / 2, top / 2]) / spans), -1, 0)
        r, b = cr * (2 - 2 * red) + luma, cb * (2 - 2 * blue) + luma
        target[...] = np.rint(np.clip(np.stack([r, (luma - blue * b - red * r) / green, b], axis=-1), 0, top))
    return result


def _divided(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Undo the multiplication by opacity; where nothing is seen, nothing is known."""
    top = np.iinfo(pixels.dtype).max
    result = np.zeros(pixels.shape, pixels.dtype)
    for source, opacity, target in zip(pixels, alpha, result, strict=True):
        seen = opacity > 0
        target[seen] = np.minimum(np.rint(source[seen] * (top / opacity[seen])[:, None]), top)
    return result
