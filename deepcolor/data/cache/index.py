"""What the files of a decoded data set are called, what they hold, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deepcolor.data.identity import CACHE_FORMAT, Augmentations
from deepcolor.data.splits import SplitName
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.plainfile import read_plain

INDEX_NAME = "cache.json"
_MOST_INDEX_BYTES = 2**30
"""A million pictures have a third of it."""
RGB_PART = "rgb"
"""The array of the training originals, there when copies are drawn fresh."""


class ArrayFile(BaseModel):
    """What an array file must be."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.

    bytes: int
    sha256: str = ""
    """Empty where an earlier version wrote it."""


class CacheIndex(BaseModel):
    """What a cache holds; written last, so its presence says that the arrays are whole."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.

    format: int = CACHE_FORMAT
    digest: str
    size_px: int
    augmentations: Augmentations
    """Of a training picture."""
    fresh: bool
    """Copies are drawn when batched, from the RGB pictures kept here, rather than stored."""
    names: dict[SplitName, tuple[str, ...]]
    """Relative paths of the pictures of each split, in the order of their rows."""
    sha256s: dict[SplitName, tuple[str, ...]]
    """Of the same pictures."""
    files: dict[str, ArrayFile]


def array_name(split: SplitName, part: str) -> str:
    """Name the file of one array: `lightness`, `ab`, `mean_ab` or `rgb` of a split."""
    return f"{split}_{part}.npy"


def read_index(folder: Path) -> CacheIndex:
    """Read what a cache holds, and compare the sizes of its files with it.

    Raises:
        DataError: There is no cache.
        CorruptFileError: The index cannot be understood, or an array is missing or of another size.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise DataError(f"decoded data: must have been built; got nothing there ({folder}). Start the sweep again.")
    try:
        index = CacheIndex.model_validate_json(read_plain(path, most_bytes=_MOST_INDEX_BYTES))
    except (ValidationError, OSError) as error:
        raise CorruptFileError(f"{_DAMAGED}; got an index that cannot be understood ({path}). {_MEND}") from error
    for name, expected in index.files.items():
        file = folder / name
        size = file.stat().st_size if file.is_file() else 0
        if size != expected.bytes:
            raise CorruptFileError(f"{_DAMAGED}; got {size} of {expected.bytes} bytes ({file}). {_MEND}")
    return index


_DAMAGED = "decoded data: files must be as they were written"
_MEND = "Start the sweep again: it is built again from the photos."
