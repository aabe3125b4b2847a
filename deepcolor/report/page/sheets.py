"""What the trials of a study make of the same pictures: their contact sheets, taken apart and bounded in size."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.coloring.sheet import INPUT, PREDICTION, TRUE_MEAN, TRUTH, cut_sheet
from deepcolor.plainfile import read_plain
from deepcolor.search.study.trials import StoredTrial
from deepcolor.training.result_files import SAMPLES_FILE

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_SHEETS = 3
"""Trials whose pictures are shown."""
_MOST_FILE_BYTES = 2**25
_WHOLE_PX = 1000
"""Width and height that a sheet of a user's own stage is brought to at most."""
_QUALITY = 84


@dataclass(frozen=True)
class Layer:
    """One picture of a tile, as a data URI, and what it shows."""

    uri: str
    alt: str
    kind: str
    """`grey`, `coloured`, `truth`, `swatch`, or `whole`."""
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    """What one trial makes of its pictures."""

    trial: int
    said: str
    """Which trial it is, in words."""
    tiles: tuple[tuple[Layer, ...], ...]
    """One for each picture: what the network saw, what it made of it where that is a picture, and the truth; then,
    where a mean colour is predicted, the true one and the predicted one."""

    @property
    def slides(self) -> bool:
        """Whether a slider can show the same picture in several ways."""
        return any(layer.kind == "coloured" for layers in self.tiles for layer in layers)

    @property
    def note(self) -> str:
        """What stands beside what in each tile, where all of it is seen at once; empty for a sheet of another kind."""
        kinds = [layer.kind for layer in self.tiles[0]] if self.tiles else []
        if "whole" in kinds or not kinds:
            return ""
        what = (
            "what the trial made of it, the truth" if self.slides else "the truth, its mean colour, the predicted one"
        )
        return f"Of each picture: grey, as the network sees it; {what.replace(', ', '; ')}."

    @property
    def size_bytes(self) -> int:
        return sum(len(layer.uri) for layers in self.tiles for layer in layers)


def sheets_of(trials: Sequence[tuple[StoredTrial, str]], store: Path, *, most_bytes: int) -> list[Sheet]:
    """Return the sheets of trials, as far as they have one and there is room.

    Args:
        trials: With what is said of each; the most interesting first.
        store: The trajectory store.
        most_bytes: Of all of them, as they stand in the page.
    """
    sheets: list[Sheet] = []
    room = most_bytes
    for trial, said in trials[:MOST_SHEETS]:
        sheet = _sheet(trial, said, store)
        if sheet is not None and sheet.size_bytes <= room:
            sheets.append(sheet)
            room -= sheet.size_bytes
    return sheets


def _sheet(trial: StoredTrial, said: str, store: Path) -> Sheet | None:
    from PIL import Image

    if trial.outcome is None or trial.outcome.result is None:
        return None
    try:
        png = read_plain(store / trial.outcome.result / SAMPLES_FILE, most_bytes=_MOST_FILE_BYTES)
        with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
            sheet = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # A stage of a user's own need not leave any; a damaged one is no reason to have no report.
    rows = cut_sheet(sheet)
    if rows is None:
        sheet.thumbnail((_WHOLE_PX, _WHOLE_PX))
        return Sheet(trial.number, said, ((_layer(sheet, f"What trial {trial.number} leaves to be seen", "whole"),),))
    count = len(rows[INPUT])
    return Sheet(trial.number, said, tuple(_tile(rows, number, count, trial.number) for number in range(count)))


def _tile(rows: dict[str, list[Image]], number: int, count: int, trial: int) -> tuple[Layer, ...]:
    which = f"picture {number + 1} of {count}"
    predicted = rows[PREDICTION][number]
    layers = [_layer(rows[INPUT][number], f"{which}, grey, as the network sees it", "grey")]
    if TRUE_MEAN not in rows:
        layers.append(_layer(predicted, f"{which}, coloured by trial {trial}", "coloured"))
    layers.append(_layer(rows[TRUTH][number], f"{which}, in its true colours", "truth"))
    if TRUE_MEAN in rows:
        layers.append(_layer(rows[TRUE_MEAN][number], f"{which}, its true mean colour", "swatch"))
        layers.append(_layer(predicted, f"{which}, the mean colour that trial {trial} predicts", "swatch"))
    return tuple(layers)


def _layer(picture: Image, alt: str, kind: str) -> Layer:
    file = io.BytesIO()
    picture.save(file, format="webp", quality=_QUALITY, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return Layer(uri, alt, kind, picture.width, picture.height)
