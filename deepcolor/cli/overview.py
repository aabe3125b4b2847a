"""One picture that shows what the demo learned: for each model, what it saw, the truth, and what it made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def overview_png(rows: Sequence[tuple[str, list[Any], list[Any]]], *, grey: Callable[[Any], Any]) -> bytes:
    """Draw the overview: a sheet for each model, as those of trials, with the PSNR of each prediction.

    Args:
        rows: For each model its name, the true pictures, and the coloured ones. Shape (H, W, 3), uint8.
        grey: Takes the colour out of a picture.
    """
    import numpy as np
    from PIL import Image

    from deepcolor.training.metrics import psnr_db_of
    from deepcolor.training.samples import INPUT, PREDICTION, TRUTH, draw_sheet, png, tiles

    sheets = []
    for name, truth, coloured in rows:
        pictures = {INPUT: [grey(picture) for picture in truth], TRUTH: truth, PREDICTION: coloured}
        rgb = {row: np.stack(kind).astype(np.float32) / np.float32(255) for row, kind in pictures.items()}
        psnr_db = psnr_db_of(rgb[PREDICTION], rgb[TRUTH])
        title = f"{name} on pictures it has never seen: mean PSNR {sum(psnr_db) / len(psnr_db):.1f} dB"
        captions = {PREDICTION: [f"{value:.1f} dB" for value in psnr_db]}
        sheets.append(draw_sheet({row: tiles(kind) for row, kind in rgb.items()}, title=title, captions=captions))
    width, height = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)
    overview, top = Image.new("RGB", (width, height), "white"), 0
    for sheet in sheets:
        overview.paste(sheet, (0, top))
        top += sheet.height
    return png(overview)
