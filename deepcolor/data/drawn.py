"""The built-in data: drawn portraits and drawn fruit and vegetables, for the demo and for tests without photos.

Form, texture and light tell the colour, as they do in photos, so a network can learn it from lightness alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.counting import counted
from deepcolor.data.blame import blamed_on
from deepcolor.data.drawing.portrait import draw_face
from deepcolor.data.drawing.still_life import draw_fruit
from deepcolor.data.files import writing
from deepcolor.data.folder import Progress
from deepcolor.data.images import UnusablePictureError
from deepcolor.errors import DataError

__all__ = ["KINDS", "DrawnKind", "draw_face", "draw_fruit", "draw_set"]

DrawnKind = Literal["faces", "fruit"]
KINDS: tuple[DrawnKind, ...] = ("faces", "fruit")

MIN_SIZE_PX, MAX_SIZE_PX = 32, 1024
MAX_COUNT = 100_000

_PAINTERS: dict[DrawnKind, Callable[[np.random.Generator, int], npt.NDArray[np.uint8]]] = {
    "faces": draw_face,
    "fruit": draw_fruit,
}


def draw_set(
    kind: DrawnKind,
    folder: Path | str,
    *,
    count: int,
    size_px: int = 128,
    seed: int = 0,
    on_progress: Progress | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> tuple[Path, ...]:
    """Draw pictures into a folder, as PNG: the same seed, the same bytes, and picture 7 is the same whatever `count`.

    Args:
        kind: `faces` or `fruit`.
        folder: Made if need be; may hold nothing but pictures of an earlier, same-sized or smaller call.
        count: How many pictures.
        size_px: Side of the pictures, 32 to 1024.
        seed: Another seed, other pictures.
        on_progress: Called with (pictures drawn, all pictures).
        on_fault: Called with what keeps one picture from being written; the others are drawn. None: that is raised.
    Returns:
        The files that were written, in order.
    Raises:
        DataError: A number is out of range, or the folder holds other files.
        WorkspaceError: The folder cannot be written to.
    """
    _check_range("count", count, low=1, high=MAX_COUNT)
    _check_range("size", size_px, low=MIN_SIZE_PX, high=MAX_SIZE_PX)
    _check_range("seed", seed, low=0, high=2**31 - 1)
    target = Path(folder).expanduser()
    paths = tuple(target / f"{kind}-{number:05d}.png" for number in range(count))
    _refuse_strangers(target, {path.name for path in paths})
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    drawn = []
    for number, path in enumerate(paths):
        try:
            with blamed_on(path, out=target), writing(path):
                rgb = _PAINTERS[kind](np.random.default_rng([seed, KINDS.index(kind), number]), size_px)
                _, encoded = cv2.imencode(".png", rgb[..., ::-1])
                # Drawn again at any time: these files need no sync to disk one by one.
                path.write_bytes(encoded.tobytes())
            drawn.append(path)
        except UnusablePictureError as error:
            if on_fault is None:
                raise
            on_fault(str(error))
        if on_progress is not None:
            on_progress(number + 1, count)
    return tuple(drawn)


def _check_range(name: str, value: int, *, low: int, high: int) -> None:
    if not low <= value <= high:
        raise DataError(f"{name}: must be from {low} to {high}; got {value}. Choose another number.")


def _refuse_strangers(folder: Path, names: set[str]) -> None:
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in names) if folder.is_dir() else []
    if strangers:
        raise DataError(
            "folder: must be new, or hold nothing but what is drawn again; got "
            f"{counted(len(strangers), 'other file')}, such as {strangers[0]} ({folder}). Choose another folder."
        )
