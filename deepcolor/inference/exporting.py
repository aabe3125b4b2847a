"""A model as an ONNX file that has been compared with the model itself, on pictures, before anyone gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deepcolor import __version__
from deepcolor.color import denormalise_lightness, lab_to_rgb, normalise_lightness, rgb_to_lab
from deepcolor.coloring.color_model import ColorModel
from deepcolor.coloring.measuring import psnr_db_of
from deepcolor.coloring.resample import fit, shrink
from deepcolor.data.images import read_picture
from deepcolor.errors import ModelError
from deepcolor.inference.onnx_model import INPUT, OUTPUT, FloatArray, OnnxModel, exported, in_int8, in_units

FLOAT_BOUND = 0.01
"""Most that a*, b* of the file may differ from torch's anywhere, in CIELAB units: a fortieth of a step of 8 bits."""


@dataclass(frozen=True)
class Compared:
    """How far the file's colours are from the model's own, on pictures that calibrated nothing."""

    pictures: int
    largest_ab: float
    """Largest difference of a* or b* in any pixel, in CIELAB units."""
    psnr_db: float
    """Of the file's pictures beside the model's own, in RGB: the mean."""
    lowest_psnr_db: float
    own_psnr_db: float
    """Of the model's own pictures beside the originals, which says what the difference is to be held against."""
    file_psnr_db: float
    """The same of the file's."""


@dataclass(frozen=True)
class Exported:
    """An export that may be written."""

    content: bytes
    int8: bool
    any_size: bool
    """Whether the file takes every height and width that is a multiple of 64."""
    size_px: int
    compared: Compared


@dataclass(frozen=True)
class _Seen:
    """A picture as the network sees it."""

    lightness_11HW: FloatArray
    """Normalised L*."""
    rgb_HW3: npt.NDArray[np.floating[Any]]


def export(
    model: ColorModel, *, name: str, calibration: Sequence[Path], pictures: Sequence[Path], int8: bool
) -> Exported:
    """Write a model as ONNX and compare it with the model.

    Args:
        model: On the CPU.
        name: What the file says it was made of, such as `colorizer@3`.
        calibration: Pictures whose values give the ranges of 8 bits; used with `int8` alone.
        pictures: Others, to compare on; at least one.
        int8: Whether the file computes in 8 bits.
    Raises:
        ModelError: The network cannot be written as ONNX, or the file's colours are not the model's.
        DataError: A picture cannot be read.
    """
    seen = [_seen(path, model) for path in pictures]
    network, form = model.network, "float"
    any_size = network.target == "pixels"
    described = _described(model, name=name, form=form, any_size=any_size)
    try:
        written = _held_to(model, exported(network, described=described, any_size=any_size), seen, any_size=any_size)
    except ModelError:
        if not any_size or _is_shipped(model):
            raise
        # A network of somebody's own may take one size only.
        any_size, described = False, _described(model, name=name, form=form, any_size=False)
        seen = [one for one in seen if one.lightness_11HW.shape[2:] == (network.size_px,) * 2]
        written = _held_to(model, exported(network, described=described, any_size=False), seen, any_size=False)
    if int8:
        described = _described(model, name=name, form="int8", any_size=any_size)
        written = in_int8(written, [_seen(path, model).lightness_11HW for path in calibration], described=described)
    return Exported(written.content, int8, any_size, network.size_px, _compared(model, written, seen))


def _is_shipped(model: ColorModel) -> bool:
    return not model.description.code


def _described(model: ColorModel, *, name: str, form: str, any_size: bool) -> dict[str, Any]:
    """What the file says of itself: enough to use it without this program."""
    known = model.description
    pixels = model.network.target == "pixels"
    sides = "height and width any multiples of 64" if any_size else f"height and width {known.size_px}"
    laid_out = f"(batch, 2{', height, width' if pixels else ''})"
    return {
        "deepcolor.model": name,
        "deepcolor.stage": known.stage,
        "deepcolor.precision": form,
        "deepcolor.version": __version__,
        "deepcolor.weights_sha256": known.weights_sha256,
        "deepcolor.size_px": known.size_px,
        "deepcolor.multiple_px": 64,
        "deepcolor.input": f"{INPUT}: CIELAB L* / 100 (of sRGB, D65), in [0, 1]; float32, shape (batch, 1, height, "
        f"width), {sides}. Scale the picture's shorter side to {known.size_px}; mirror its edges up to such a size.",
        "deepcolor.output": f"{OUTPUT}: CIELAB a* and b* in their own units, about [-128, 127]; float32, shape "
        f"{laid_out}. Enlarge them to the picture, and keep its own L*.",
    }


def _seen(path: Path, model: ColorModel) -> _Seen:
    rgb_HW3 = read_picture(path).rgb_HW3
    square = model.network.target == "mean"
    where = fit(*rgb_HW3.shape[:2], size_px=model.network.size_px, square=square)
    top = float(np.iinfo(rgb_HW3.dtype).max)
    channels = [shrink(torch.from_numpy(rgb_HW3[..., c].astype(np.float32) / top), where).numpy() for c in range(3)]
    small_HW3 = np.stack(channels, axis=-1)
    lightness_HW, _ = rgb_to_lab(small_HW3)
    return _Seen(normalise_lightness(lightness_HW)[None, None].astype(np.float32), small_HW3)


def _held_to(model: ColorModel, written: OnnxModel, seen: Sequence[_Seen], *, any_size: bool) -> OnnxModel:
    """Return the float file if it computes what torch computes: on each picture, and in another size and number."""
    inputs = [one.lightness_11HW for one in seen]
    if any_size:
        inputs += [np.concatenate([one, one[..., ::-1]], axis=3) for one in inputs[:1]]
        inputs += [np.concatenate([one, one[:, :, ::-1]], axis=2).repeat(2, axis=0) for one in inputs[:1]]
    for values in inputs:
        try:
            found = written(values)
        except Exception as error:  # onnxruntime's errors have no name of their own
            said = " ".join(str(error).split())[:200]
            raise ModelError(f"export: the file must run in onnxruntime; got {said}.") from error
        wanted = in_units(model.network, values)
        far = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else float("inf")
        if not far <= FLOAT_BOUND:
            raise ModelError(
                f"export: a* and b* of the file must be within {FLOAT_BOUND} of torch's; got {far:.3g} on a picture of "
                f"{values.shape[2]} x {values.shape[3]} px. Nothing was written; please report it."
            )
    return written


def _compared(model: ColorModel, written: OnnxModel, seen: Sequence[_Seen]) -> Compared:
    far, near, own, file = 0.0, [], [], []
    for one in seen:
        wanted, found = in_units(model.network, one.lightness_11HW), written(one.lightness_11HW)
        far = max(far, float(np.abs(found - wanted).max()))
        ours, theirs = _painted(one, wanted), _painted(one, found)
        near += psnr_db_of(theirs[None], ours[None])
        own += psnr_db_of(ours[None], one.rgb_HW3[None])
        file += psnr_db_of(theirs[None], one.rgb_HW3[None])
    mean = [float(np.mean(values)) for values in (near, own, file)]
    return Compared(len(seen), far, mean[0], float(min(near)), mean[1], mean[2])


def _painted(seen: _Seen, ab: FloatArray) -> npt.NDArray[np.float32]:
    lightness_HW = denormalise_lightness(seen.lightness_11HW[0, 0])
    ab_HW2 = np.moveaxis(ab[0], 0, -1) if ab.ndim == 4 else np.broadcast_to(ab[0], (*lightness_HW.shape, 2))
    return lab_to_rgb(lightness_HW, ab_HW2)
