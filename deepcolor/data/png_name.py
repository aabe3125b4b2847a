"""What the PNG made of a picture is called: told from the picture's own name, whatever is beside it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TypeVar

from deepcolor.data.images import PICTURE_SUFFIXES

_PathT = TypeVar("_PathT", bound=PurePath)


def png_name(path: _PathT) -> _PathT:
    """Name the PNG file made of a picture: `a.png` stays `a.png`, `a.jpg` becomes `a.jpg.png`.

    No two pictures of a folder get one name, and a name never hangs on which others are there, so that a later run
    finds what an earlier one has written. For that `a.jpg.png`, which could have been made of `a.jpg`, becomes
    `a.jpg.png.png`.
    """
    keeps = path.suffix == ".png" and PurePath(path.stem).suffix.lower() not in PICTURE_SUFFIXES
    return path if keeps else path.with_name(f"{path.name}.png")
