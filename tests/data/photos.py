"""Pictures for the tests of this room: real photos where they are at hand, drawn ones where not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.data.drawn import DrawnKind, draw_face, draw_fruit

PHOTOS = Path(__file__).parents[3] / "shared" / "data"

Rgb = npt.NDArray[np.uint8]


def fruit(number: int, *, size_px: int = 96) -> Rgb:
    """The same picture for the same number; no two are of one piece of fruit."""
    return draw_fruit(np.random.default_rng([99, number]), size_px)


def face(number: int, *, size_px: int = 96) -> Rgb:
    """The same portrait for the same number."""
    return draw_face(np.random.default_rng([98, number]), size_px)


def photos(kind: DrawnKind, count: int) -> list[Rgb]:
    """Real photos of a kind, or drawn ones in their place."""
    folder = PHOTOS / {"faces": "faces", "fruit": "fruits"}[kind]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        draw = fruit if kind == "fruit" else face
        return [draw(number) for number in range(count)]
    chosen = [paths[index] for index in np.linspace(0, len(paths) - 1, count).astype(int)]
    return [np.asarray(cv2.imread(str(path)))[..., ::-1].astype(np.uint8) for path in chosen]


def save(path: Path, rgb: Rgb, *, quality: int = 92) -> Path:
    """Write a picture in the format its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path
