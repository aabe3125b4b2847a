"""How the parts of a contact sheet lie on it, and the way back from a sheet to its pictures. No torch in here: reports
take the sheets of their trials apart.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

INPUT, TRUTH, TRUE_MEAN, PREDICTION = "input", "truth", "its mean", "prediction"
"""The rows of every picture that compares, in this order; a true mean only where a mean is predicted."""

_QUALITY = 90
"""Of a WebP file, of 100."""
TILE_PX = 128
GAP_PX = 4
LABEL_PX = 76
MARGIN_PX = 10
TITLE_PX = 30

_OF_PIXELS = {INPUT: TILE_PX, TRUTH: TILE_PX, PREDICTION: TILE_PX}
_OF_MEANS = {INPUT: TILE_PX, TRUTH: TILE_PX, TRUE_MEAN: TILE_PX // 2, PREDICTION: TILE_PX // 2}
"""The rows of a sheet and their heights in pixels, from above: of predicted pixels, and of predicted mean colours."""


def webp(picture: Image) -> bytes:
    """Return a picture as a WebP file: a twentieth of a PNG file's bytes, for looking at and no more."""
    buffer = io.BytesIO()
    picture.save(buffer, format="webp", quality=_QUALITY, method=0)
    return buffer.getvalue()


def cut_sheet(sheet: Image) -> dict[str, list[Image]] | None:
    """Take a contact sheet apart.

    Returns:
        Its pictures by row, from left to right; None if it is no contact sheet of the shipped stages.
    """
    width = sheet.width - LABEL_PX - MARGIN_PX + GAP_PX
    count, rest = divmod(width, TILE_PX + GAP_PX)
    heights = next((rows for rows in (_OF_PIXELS, _OF_MEANS) if sheet.height == _height(rows)), None)
    if heights is None or rest or count < 1:
        return None
    tiles: dict[str, list[Image]] = {}
    top = TITLE_PX
    for name, height in heights.items():
        lefts = [LABEL_PX + column * (TILE_PX + GAP_PX) for column in range(count)]
        tiles[name] = [sheet.crop((left, top, left + TILE_PX, top + height)) for left in lefts]
        top += height + GAP_PX
    return tiles


def _height(rows: dict[str, int]) -> int:
    return TITLE_PX + sum(rows.values()) + GAP_PX * (len(rows) - 1) + MARGIN_PX
