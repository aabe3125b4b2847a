"""A trained network that colours pictures of any size: it predicts small, the picture keeps its own lightness."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepcolor.color import lab_to_rgb, normalise_lightness, rgb_to_lab, to_uint8, to_uint16
from deepcolor.coloring.picture import ImageInput, as_picture
from deepcolor.coloring.resample import Fit, enlarge, fit, shrink
from deepcolor.data.blame import blamed_on
from deepcolor.data.images import Picture, Pixels, UnusablePictureError
from deepcolor.errors import UserError
from deepcolor.models.description import ModelDescription
from deepcolor.models.networks import Network
from deepcolor.training.device import torch_set_up

_STRIP_PX = 2**20
"""Pixels converted at a time, so that a photo of 50 megapixels needs no gigabytes in between."""
_BATCH_PX = 2**24
"""Pixels of pictures held at a time while they wait for their batch."""


class ColorModel:
    """Colours pictures. Made by `deepcolor.load`."""

    def __init__(self, network: Network, description: ModelDescription) -> None:
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self.description = description

    def __repr__(self) -> str:
        known = self.description
        origin = f", from {known.parent}" if known.parent else ""
        return (
            f"<{type(self).__name__}: {known.stage}, {known.size_px} px, "
            f"{self._form}, epoch {known.epoch}{origin}, on {self._device}>"
        )

    @property
    def _form(self) -> str:
        model = self._network.model
        return model.encoder or f"{model.feature_maps} feature maps"

    @property
    def network(self) -> Network:
        """The network itself, a `torch.nn.Module` in evaluation mode: normalised L* in, a* and b* out, as
        `deepcolor.models.networks` describes. Whoever changes it changes this model.
        """
        return self._network

    @property
    def stage(self) -> str:
        """`regressor`, `colorizer` or `transfer`, or a stage of somebody's own."""
        return self.description.stage

    def colorize(self, image: ImageInput) -> Pixels:
        """Colour one picture.

        Args:
            image: A path, a file's bytes, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or
                float in [0, 1]; any size. Colours that it has already are replaced. A regressor tints the whole picture
                in one colour.
        Returns:
            sRGB of the same size, shape (H, W, 3), or (H, W, 4) where the picture has opacity; uint16 for 16-bit
            pictures, else uint8.
        Raises:
            DataError: The picture cannot be read.
            ShapeError: An array has the wrong shape, type or range.
        """
        return next(self.colorize_many([image]))

    def colorize_many(self, images: Iterable[ImageInput], *, batch_size: int = 32) -> Iterator[Pixels]:
        """Colour pictures one after the other, those of like shape together in one pass of the network.

        Args:
            images: As for `colorize`; read as they are needed.
            batch_size: Most pictures in one pass.
        Returns:
            Their results, in their order.
        Raises:
            DataError: A picture cannot be read.
            ShapeError: An array has the wrong shape, type or range.
        """
        for result in self.colorize_each(images, batch_size=batch_size):
            if isinstance(result, UserError):
                raise result
            yield result

    def colorize_each(
        self,
        images: Iterable[ImageInput],
        *,
        batch_size: int = 32,
        on_remark: Callable[[str, str], None] | None = None,
    ) -> Iterator[Pixels | UserError]:
        """Colour pictures as `colorize_many` does; one that cannot be coloured gives its error, and the rest goes on.

        Args:
            images: As for `colorize`; read as they are needed.
            batch_size: Most pictures in one pass.
            on_remark: Called with a picture's name, and what could not be followed in it: a broken colour profile.
        Returns:
            Their results, or their errors, in their order.
        """
        each = (self._tried(image, number, on_remark) for number, image in enumerate(images, start=1))
        for group in _grouped(each, batch_size):
            if isinstance(group, UserError):
                yield group
            else:
                yield from self._coloured(group)

    def mean_ab(self, image: ImageInput) -> tuple[float, float]:
        """Return the mean a* and b* predicted for one picture, in CIELAB units.

        Args:
            image: As for `colorize`.
        """
        prepared = self._prepared(as_picture(image))
        ab = self._predict([prepared])[0]
        inner = ab if ab.ndim == 1 else ab[:, : prepared.where.height_px, : prepared.where.width_px].mean(dim=(1, 2))
        return float(inner[0]), float(inner[1])

    def _tried(
        self, image: ImageInput, number: int, on_remark: Callable[[str, str], None] | None
    ) -> _Prepared | UserError:
        name = os.fspath(image) if isinstance(image, str | PathLike) else f"picture {number}"
        try:
            with blamed_on(name):
                picture = as_picture(image)
                if picture.remark is not None and on_remark is not None:
                    on_remark(name, picture.remark)
                return self._prepared(picture, name=name)
        except UserError as error:
            return error

    def _coloured(self, group: list[_Prepared]) -> Iterator[Pixels | UserError]:
        try:
            with blamed_on(f"{len(group)} pictures"):
                predicted = self._predict(group)
        except UnusablePictureError as error:
            if len(group) == 1:
                yield error
                return
            # Too much for the memory when taken together; or one of them is at fault, and will be so alone.
            for each in group:
                yield from self._coloured([each])
            return
        for prepared, ab in zip(group, predicted, strict=True):
            yield _tried_to_compose(prepared, ab)

    def _prepared(self, picture: Picture, *, name: str = "picture") -> _Prepared:
        lightness_HW = _lightness(picture.rgb_HW3)
        height_px, width_px = lightness_HW.shape
        square = self._network.target == "mean"
        where = fit(height_px, width_px, size_px=self._network.size_px, square=square)
        small = shrink(torch.from_numpy(normalise_lightness(lightness_HW)), where)
        return _Prepared(name, picture, lightness_HW, where, small)

    @torch.inference_mode()
    def _predict(self, group: list[_Prepared]) -> Tensor:
        """Return a*, b* in CIELAB units, on the CPU: shape (B, 2, h, w), or (B, 2) from a regressor."""
        lightness_B1HW = torch.stack([prepared.small for prepared in group])[:, None].to(self._device)
        with torch_set_up(threads=None, reduced_precision=False):  # A GPU gives the colours that a CPU gives.
            return self._network.to_ab(self._network(lightness_B1HW)).float().cpu()


@dataclass(frozen=True, eq=False)
class _Prepared:
    name: str
    """What to call it in an error."""
    picture: Picture
    lightness: npt.NDArray[np.float32]
    """L* at full resolution, shape (H, W), in [0, 100]."""
    where: Fit
    small: Tensor
    """Normalised L* as the network takes it, shape (h, w)."""


def _grouped(prepared: Iterable[_Prepared | UserError], batch_size: int) -> Iterator[list[_Prepared] | UserError]:
    """Group neighbours whose inputs have one shape, up to the batch size and a bound on memory; pass errors on."""
    for _, neighbours in groupby(prepared, key=lambda each: None if isinstance(each, UserError) else each.small.shape):
        group: list[_Prepared] = []
        pixels = 0
        for each in neighbours:
            if isinstance(each, UserError):
                yield each
                continue
            group.append(each)
            pixels += each.lightness.size
            if len(group) == batch_size or pixels > _BATCH_PX:
                yield group
                group, pixels = [], 0
        if group:
            yield group


def _lightness(rgb_HW3: Pixels) -> npt.NDArray[np.float32]:
    strips = [rgb_to_lab(strip)[0] for strip in np.array_split(rgb_HW3, _strips(rgb_HW3.shape))]
    return np.concatenate(strips).astype(np.float32, copy=False)


def _tried_to_compose(prepared: _Prepared, ab: Tensor) -> Pixels | UserError:
    try:
        with blamed_on(prepared.name):
            return _composed(prepared, ab)
    except UserError as error:
        return error


def _composed(prepared: _Prepared, ab: Tensor) -> Pixels:
    """Put the predicted colour on the picture's own lightness."""
    lightness_HW, deep = prepared.lightness, prepared.picture.rgb_HW3.dtype == np.uint16
    height_px, width_px = lightness_HW.shape
    if ab.ndim == 1:
        ab_2HW = ab[:, None, None].expand(2, height_px, width_px)
    else:
        ab_2HW = enlarge(ab, prepared.where, height_px=height_px, width_px=width_px)
    ab_HW2 = ab_2HW.permute(1, 2, 0).numpy()
    count = _strips(lightness_HW.shape)
    to_integers = to_uint16 if deep else to_uint8
    strips = zip(np.array_split(lightness_HW, count), np.array_split(ab_HW2, count), strict=True)
    rgb: Pixels = np.concatenate([to_integers(lab_to_rgb(lightness, colour)) for lightness, colour in strips])
    alpha = prepared.picture.alpha_HW
    return rgb if alpha is None else np.dstack([rgb, alpha])


def _strips(shape: tuple[int, ...]) -> int:
    return min(shape[0], max(1, shape[0] * shape[1] // _STRIP_PX))
