"""A trained network that colours pictures of any size: it predicts small, the picture keeps its own lightness."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepcolor.color import lab_to_integers, lightness_of, normalise_lightness
from deepcolor.coloring.manner import Manner
from deepcolor.coloring.picture import ImageInput, as_picture
from deepcolor.coloring.resample import Enlarged, Fit, fit, mirrored, narrowed, shrink
from deepcolor.coloring.strips import in_strips
from deepcolor.data.blame import blamed_on
from deepcolor.data.images import Picture, Pixels, UnusablePictureError
from deepcolor.errors import UserError
from deepcolor.models.description import ModelDescription
from deepcolor.models.networks import Network
from deepcolor.training.device import torch_set_up

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

    def colorize(
        self, image: ImageInput, *, saturation: float = 1.0, flip: bool = False, bfloat16: bool = False
    ) -> Pixels:
        """Colour one picture.

        Args:
            image: A path, a file's bytes, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or
                float in [0, 1]; any size. Colours that it has already are replaced. A regressor tints the whole picture
                in one colour.
            saturation: What the colours are multiplied by, 0 to 3: 0 is grey, 1 what the model says.
            flip: Colour the picture as it is and mirrored, and take the mean: calmer colours in twice the network's
                time, which is little beside a large photo's. Models with `flip_at_test` do so by themselves.
            bfloat16: Let the network compute in bfloat16: nearly twice as fast on processors that know it; most colours
                differ by a step of 255 or none, a few by some more.
        Returns:
            sRGB of the same size, shape (H, W, 3), or (H, W, 4) where the picture has opacity; uint16 for 16-bit
            pictures, else uint8.
        Raises:
            DataError: The picture cannot be read.
            ShapeError: An array has the wrong shape, type or range.
            ConfigError: The saturation is out of range.
        """
        return next(self.colorize_many([image], saturation=saturation, flip=flip, bfloat16=bfloat16))

    def colorize_many(
        self,
        images: Iterable[ImageInput],
        *,
        batch_size: int = 32,
        saturation: float = 1.0,
        flip: bool = False,
        bfloat16: bool = False,
    ) -> Iterator[Pixels]:
        """Colour pictures one after the other, those of like shape together in one pass of the network.

        Args:
            images: As for `colorize`; read as they are needed.
            batch_size: Most pictures in one pass.
            saturation: As for `colorize`.
            flip: As for `colorize`.
            bfloat16: As for `colorize`.
        Returns:
            Their results, in their order.
        Raises:
            DataError: A picture cannot be read.
            ShapeError: An array has the wrong shape, type or range.
            ConfigError: The saturation is out of range.
        """
        for result in self.colorize_each(
            images, batch_size=batch_size, saturation=saturation, flip=flip, bfloat16=bfloat16
        ):
            if isinstance(result, UserError):
                raise result
            yield result

    def colorize_each(
        self,
        images: Iterable[ImageInput],
        *,
        batch_size: int = 32,
        saturation: float = 1.0,
        flip: bool = False,
        bfloat16: bool = False,
        on_remark: Callable[[str, str], None] | None = None,
    ) -> Iterator[Pixels | UserError]:
        """Colour pictures as `colorize_many` does; one that cannot be coloured gives its error, and the rest goes on.

        Args:
            images: As for `colorize`; read as they are needed.
            batch_size: Most pictures in one pass.
            saturation: As for `colorize`.
            flip: As for `colorize`.
            bfloat16: As for `colorize`.
            on_remark: Called with a picture's name, and what could not be followed in it: a broken colour profile.
        Returns:
            Their results, or their errors, in their order.
        Raises:
            ConfigError: The saturation is out of range.
        """
        manner = Manner(saturation, flip, bfloat16)  # At once, and not with the first picture.
        each = (self._tried(image, number, on_remark) for number, image in enumerate(images, start=1))
        return self._results(_grouped(each, batch_size), manner)

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

    def _results(self, groups: Iterable[list[_Prepared] | UserError], manner: Manner) -> Iterator[Pixels | UserError]:
        for group in groups:
            if isinstance(group, UserError):
                yield group
            else:
                yield from self._coloured(group, manner)

    def _coloured(self, group: list[_Prepared], manner: Manner) -> Iterator[Pixels | UserError]:
        try:
            with blamed_on(f"{len(group)} pictures"):
                predicted = self._predict(group, flip=manner.flip, bfloat16=manner.bfloat16) * manner.saturation
        except UnusablePictureError as error:
            if len(group) == 1:
                yield error
                return
            # Too much for the memory when taken together; or one of them is at fault, and will be so alone.
            for each in group:
                yield from self._coloured([each], manner)
            return
        for prepared, ab in zip(group, predicted, strict=True):
            yield _tried_to_compose(prepared, ab)

    def _prepared(self, picture: Picture, *, name: str = "picture") -> _Prepared:
        height_px, width_px = picture.rgb_HW3.shape[:2]
        square = self._network.target == "mean"
        where = fit(height_px, width_px, size_px=self._network.size_px, square=square)
        kept_HW = np.empty((height_px, width_px), np.float32) if height_px * width_px <= _BATCH_PX else None

        def computed(rows: slice) -> npt.NDArray[np.float32]:
            return lightness_of(picture.rgb_HW3[rows])

        def seen(rows: slice) -> npt.NDArray[np.float32]:
            strip_HW = computed(rows)
            if kept_HW is not None:
                kept_HW[rows] = strip_HW
            normalised_HW = normalise_lightness(strip_HW)
            return narrowed(normalised_HW, where.width_px) if where.width_px < width_px else normalised_HW

        narrow = np.concatenate(in_strips(seen, height_px=height_px, width_px=width_px))
        return _Prepared(
            name,
            where,
            small=shrink(torch.from_numpy(narrow), where),
            size_px=(height_px, width_px),
            depth=picture.rgb_HW3.dtype,
            alpha_HW=picture.alpha_HW,
            lightness=computed if kept_HW is None else kept_HW.__getitem__,
        )

    def _predict(self, group: list[_Prepared], *, flip: bool = False, bfloat16: bool = False) -> Tensor:
        """Return a*, b* in CIELAB units, on the CPU: shape (B, 2, h, w), or (B, 2) from a regressor."""
        predicted = self._passed([prepared.small for prepared in group], bfloat16=bfloat16)
        if not flip or self._network.model.flip_at_test:
            return predicted
        other = self._passed([mirrored(prepared.small, prepared.where) for prepared in group], bfloat16=bfloat16)
        if other.ndim == 4:
            other = torch.stack([mirrored(ab, prepared.where) for ab, prepared in zip(other, group, strict=True)])
        return (predicted + other) / 2

    @torch.inference_mode()
    def _passed(self, small: list[Tensor], *, bfloat16: bool) -> Tensor:
        """Let the network see some pictures of one shape."""
        lightness_B1HW = torch.stack(small)[:, None].to(self._device)
        reduced = torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16)
        with torch_set_up(threads=None, reduced_precision=False):  # A GPU gives the colours that a CPU gives.
            with reduced:
                output = self._network(lightness_B1HW)
            return self._network.to_ab(output.float()).cpu()


@dataclass(frozen=True, eq=False)
class _Prepared:
    name: str
    """What to call it in an error."""
    where: Fit
    small: Tensor
    """Normalised L* as the network takes it, shape (h, w)."""
    size_px: tuple[int, int]
    """The picture's height and width."""
    depth: np.dtype[np.uint8 | np.uint16]
    """Of its integers."""
    alpha_HW: Pixels | None
    lightness: Callable[[slice], npt.NDArray[np.float32]]
    """L* of some rows: as it was kept, or computed once more where that of the whole picture is too much to keep."""


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
            pixels += math.prod(each.size_px)
            if len(group) == batch_size or pixels > _BATCH_PX:
                yield group
                group, pixels = [], 0
        if group:
            yield group


def _tried_to_compose(prepared: _Prepared, ab: Tensor) -> Pixels | UserError:
    try:
        with blamed_on(prepared.name):
            return _composed(prepared, ab)
    except UserError as error:
        return error


def _composed(prepared: _Prepared, ab: Tensor) -> Pixels:
    """Put the predicted colour on the picture's own lightness, strip by strip."""
    (height_px, width_px), alpha_HW = prepared.size_px, prepared.alpha_HW
    result = np.empty((height_px, width_px, 3 if alpha_HW is None else 4), prepared.depth)
    if ab.ndim == 1:
        ab = ab[:, None, None].expand(2, *prepared.small.shape)
    colour = Enlarged(ab, prepared.small, prepared.where, height_px=height_px, width_px=width_px)

    def paint(rows: slice) -> None:
        lightness_HW = prepared.lightness(rows)
        ab_2HW = colour.rows(rows, normalise_lightness(lightness_HW))
        result[rows, :, :3] = lab_to_integers(lightness_HW, ab_2HW, dtype=prepared.depth)
        if alpha_HW is not None:
            result[rows, :, 3] = alpha_HW[rows]

    in_strips(paint, height_px=height_px, width_px=width_px)
    return result
