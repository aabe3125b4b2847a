"""The picture of what a network makes of the same validation images, for all trials alike: a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from deepcolor.color import denormalise_lightness, lab_to_rgb, to_uint8
from deepcolor.coloring.measuring import coloured, grey
from deepcolor.coloring.sheet import (
    GAP_PX,
    INPUT,
    LABEL_PX,
    MARGIN_PX,
    PREDICTION,
    TILE_PX,
    TITLE_PX,
    TRUE_MEAN,
    TRUTH,
)
from deepcolor.data.cache.arrays import Split
from deepcolor.models.networks import Network

SHEET_IMAGES = 8
_FONT_PX = 14
_LEAST_FONT_PX = 10
_COMPRESSION = 1
"""Of a PNG file: quick to write is worth more here than the last tenth of the size."""
_INK = "#222222"

Picture = npt.NDArray[np.float32]


def sample_rows(count: int) -> Tensor:
    """Return the rows of the fixed images: up to 8, evenly spread over a split of `count`, the same for every trial."""
    return torch.linspace(0, count - 1, min(count, SHEET_IMAGES)).round().long()


def png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=_COMPRESSION)
    return buffer.getvalue()


def contact_sheet(
    network: Network, split: Split, *, title: str, encoded: Callable[[Image.Image], bytes] = png
) -> bytes:
    """Draw input, truth and prediction of the fixed images.

    Args:
        network: On the split's device. What a Regressor predicts is a mean colour: its sheet shows that as a swatch,
            below one of the truth's mean.
        split: At least one picture.
        title: One line.
        encoded: Makes the file.
    """
    rows = sample_rows(len(split))
    truth, guess = (tiles(pictures) for pictures in coloured(network, split, rows=rows))
    lightness = tiles(grey(split, rows=rows))
    if network.target == "mean":
        true_mean, guessed_mean = _swatches(network, split, rows=rows)
        rows_of = {INPUT: lightness, TRUTH: truth, TRUE_MEAN: true_mean, PREDICTION: guessed_mean}
    else:
        rows_of = {INPUT: lightness, TRUTH: truth, PREDICTION: guess}
    return encoded(draw_sheet(rows_of, title=title))


def extremes_sheet(network: Network, split: Split, *, psnr_db: Sequence[float], title: str) -> bytes:
    """Draw what came out worst, in the middle, and best of a split, each with its PSNR.

    Args:
        network: As for `contact_sheet`.
        split: At least one picture.
        psnr_db: Of each of its pictures.
        title: One line.
    Returns:
        A PNG file.
    """
    rows = extreme_rows(psnr_db)
    truth, guess = (tiles(pictures) for pictures in coloured(network, split, rows=torch.tensor(rows)))
    captions = {PREDICTION: [f"{psnr_db[row]:.1f} dB" for row in rows]}
    sheet = draw_sheet({TRUTH: truth, PREDICTION: guess}, title=f"worst to best: {title}", captions=captions)
    return png(sheet)


def extreme_rows(psnr_db: Sequence[float]) -> list[int]:
    """Return the rows of the three worst, the two middle and the three best pictures, in this order, each of them once;
    all of them where there are no more than eight.
    """
    order = sorted(range(len(psnr_db)), key=lambda row: (psnr_db[row], row))
    if len(order) <= SHEET_IMAGES:
        return order
    middle = len(order) // 2
    return [*order[:3], *order[middle - 1 : middle + 1], *order[-3:]]


@torch.inference_mode()
def _swatches(network: Network, split: Split, *, rows: Tensor) -> tuple[Picture, Picture]:
    """Paint true and predicted mean colours at each picture's mean lightness: flat tiles, half as high as a picture."""
    lightness_B1HW, mean_B2 = split.batch(rows, seed=0, epoch=0, target="mean")
    guess_B2 = network.to_ab(network(lightness_B1HW))
    lightness_B = denormalise_lightness(lightness_B1HW.mean(dim=(1, 2, 3)).cpu().numpy())
    shape = (len(rows), TILE_PX // 2, TILE_PX, 3)
    true, guessed = (
        np.broadcast_to(lab_to_rgb(lightness_B, ab_B2.cpu().numpy())[:, None, None, :], shape)
        for ab_B2 in (mean_B2, guess_B2)
    )
    return true, guessed


def tiles(rgb_BHW3: Picture) -> Picture:
    """Bring pictures to the size of a tile. Shape (B, 128, 128, 3), range [0, 1]."""
    rgb_B3HW = torch.from_numpy(rgb_BHW3).permute(0, 3, 1, 2)
    resized = interpolate(rgb_B3HW, size=(TILE_PX, TILE_PX), mode="bilinear", antialias=True, align_corners=False)
    array: Picture = resized.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return array


def draw_sheet(
    rows: Mapping[str, Picture], *, title: str, captions: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Image.Image:
    """Put rows of pictures under each other, each named at its left.

    Args:
        rows: By name: INPUT, TRUTH, PREDICTION in every sheet. Shape (B, H, W, 3) with the same B, W 128, range [0, 1].
        title: One line; a long one is written smaller, and then cut short.
        captions: For a row, what is written on each of its pictures.
    """
    mosaic, middles = _mosaic(list(rows.values()))
    height, width = mosaic.shape[:2]
    sheet = Image.new("RGB", (LABEL_PX + width + MARGIN_PX, TITLE_PX + height + MARGIN_PX), "white")
    sheet.paste(Image.fromarray(to_uint8(mosaic)), (LABEL_PX, TITLE_PX))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for name, middle in zip(rows, middles, strict=True):
        draw.text((LABEL_PX - 6, TITLE_PX + middle), name, fill=_INK, font=font, anchor="rm")
        for column, text in enumerate(captions.get(name, ())):
            corner = (LABEL_PX + column * (TILE_PX + GAP_PX) + 5, TITLE_PX + middle + rows[name].shape[1] / 2 - 5)
            draw.text(corner, text, fill="white", font=font, anchor="ls", stroke_width=2, stroke_fill=_INK)
    line, size = _fitting(title, width_px=width)
    draw.text((LABEL_PX, TITLE_PX / 2), line, fill=_INK, font=ImageFont.load_default(size), anchor="lm")
    return sheet


def _fitting(title: str, *, width_px: int) -> tuple[str, float]:
    """Return what of a title fits into a line, and its size: smaller down to a limit, and from there on cut short."""
    size: float = _FONT_PX
    while size > _LEAST_FONT_PX and ImageFont.load_default(size).getlength(title) > width_px:
        size -= 1
    font, line = ImageFont.load_default(size), title
    while line and font.getlength(line) > width_px:
        line = line[:-2].rstrip() + "…"
    return line, size


def _mosaic(rows: list[Picture]) -> tuple[Picture, list[float]]:
    """Put rows of equally wide pictures under each other on white; return it and the middle of each row in pixels."""
    count = len(rows[0])
    width = count * (TILE_PX + GAP_PX) - GAP_PX
    strips: list[npt.NDArray[Any]] = []
    middles, top = [], 0
    for pictures in rows:
        height = pictures.shape[1]
        strip = np.ones((height, width, 3), np.float32)
        for column, picture in enumerate(pictures):
            left = column * (TILE_PX + GAP_PX)
            strip[:, left : left + TILE_PX] = picture
        strips += [strip, np.ones((GAP_PX, width, 3), np.float32)]
        middles.append(top + height / 2)
        top += height + GAP_PX
    return np.concatenate(strips[:-1]), middles
