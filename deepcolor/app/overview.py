"""One picture that shows what the demo learned: for each model, what it saw, the truth, and what it made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepcolor.data.images import Pixels


@dataclass(frozen=True)
class Row:
    """What a model made of some pictures of one size, each of shape (H, W, 3), uint8."""

    model: str
    grey: Sequence[Pixels]
    """What it was shown."""
    truth: Sequence[Pixels]
    coloured: Sequence[Pixels]


def overview_png(rows: Sequence[Row]) -> bytes:
    """Draw the overview: a sheet for each model, as those of trials, with the PSNR of each prediction."""
    import numpy as np
    from PIL import Image

    from deepcolor.coloring.measuring import psnr_db_of
    from deepcolor.coloring.samples import draw_sheet, png, tiles
    from deepcolor.coloring.sheet import INPUT, PREDICTION, TRUTH

    sheets = []
    for row in rows:
        pictures = {INPUT: row.grey, TRUTH: row.truth, PREDICTION: row.coloured}
        rgb = {name: np.stack(kind).astype(np.float32) / np.float32(255) for name, kind in pictures.items()}
        psnr_db = psnr_db_of(rgb[PREDICTION], rgb[TRUTH])
        title = f"{row.model} on pictures it has never seen: mean PSNR {sum(psnr_db) / len(psnr_db):.1f} dB"
        captions = {PREDICTION: [f"{value:.1f} dB" for value in psnr_db]}
        sheets.append(draw_sheet({name: tiles(kind) for name, kind in rgb.items()}, title=title, captions=captions))
    width, height = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)
    overview, top = Image.new("RGB", (width, height), "white"), 0
    for sheet in sheets:
        overview.paste(sheet, (0, top))
        top += sheet.height
    return png(overview)
