"""The files of a decoded data set: built once, found again, checked. No torch in here: a start may train nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deepcolor.config.schema import DataConfig
from deepcolor.data.folder import Progress
from deepcolor.data.identity import CACHE_FORMAT, data_digest
from deepcolor.data.manifest import Manifest, verify
from deepcolor.data.splits import SplitName
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.plainfile import read_plain
from deepcolor.waiting import locked
from deepcolor.workspace import Workspace

INDEX_NAME = "cache.json"
_MOST_INDEX_BYTES = 2**30
"""A million pictures have a third of it."""
RGB_PART = "rgb"
"""The array of the training originals, there when copies are drawn fresh."""

Augmentations = tuple[tuple[str, float], ...]
"""(name, strength) of each copy, in order."""


class ArrayFile(BaseModel):
    """What an array file must be."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.

    bytes: int


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


def cache_folder(workspace: Workspace, name: str, digest: str) -> Path:
    """Where the arrays of one form of a data set lie."""
    return workspace.dataset(name) / "cache" / digest


def ensure_cache(
    workspace: Workspace, manifest: Manifest, config: DataConfig, *, on_progress: Progress | None = None
) -> Path:
    """Return the folder of the arrays, building them if they are not there; one caller builds, others wait for it.

    The pictures are read only when the arrays must be built: a study goes on though its photos have moved away.

    Args:
        workspace: Where the arrays go.
        manifest: The prepared data set.
        config: Size and augmentation.
        on_progress: Called with (pictures done, all pictures) while the arrays are built.
    Raises:
        DataError: Pictures were changed or removed since they were prepared.
        WorkspaceError: The workspace cannot be written to, or the disk is full.
    """
    digest = data_digest(manifest, config)
    folder = cache_folder(workspace, manifest.name, digest)
    if _is_whole(folder):
        return folder
    from deepcolor.data.build import build_cache
    from deepcolor.data.files import writing

    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / ".lock", until=f"another process to decode {manifest.name}"):
            if not _is_whole(folder):
                verify(manifest)
                # Arrays that lost a part hold nothing that cannot be built again.
                shutil.rmtree(folder, ignore_errors=True)
                build_cache(folder, manifest, config, digest=digest, on_progress=on_progress)
    return folder


def is_decoded(workspace: Workspace, manifest: Manifest, config: DataConfig) -> bool:
    """Whether `ensure_cache` would find the arrays there."""
    return _is_whole(cache_folder(workspace, manifest.name, data_digest(manifest, config)))


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


def _is_whole(folder: Path) -> bool:
    try:
        read_index(folder)
    except (DataError, CorruptFileError):
        return False
    return True
