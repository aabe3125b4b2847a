"""The arrays of a decoded data set: found, or built. No torch in here: a start may train nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from deepcolor.config.schema import DataConfig
from deepcolor.data.cache.index import read_index
from deepcolor.data.folder import Progress
from deepcolor.data.identity import data_digest
from deepcolor.data.manifest import Manifest, verify
from deepcolor.errors import CorruptFileError, DataError
from deepcolor.waiting import locked
from deepcolor.workspace import Workspace


def cache_folder(workspace: Workspace, name: str, digest: str) -> Path:
    """Where the arrays of one form of a data set are."""
    return workspace.dataset(name) / "cache" / digest


def ensure_cache(
    workspace: Workspace, manifest: Manifest, config: DataConfig, *, on_progress: Progress | None = None
) -> Path:
    """Return the folder of the arrays, building them if they are not there; one caller builds, others wait for it.

    The pictures are read only when the arrays must be built: a study continues though its photos have moved away.

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
    from deepcolor.data.cache.build import build_cache
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


def damaged_caches(workspace: Workspace, name: str) -> tuple[Path, ...]:
    """The decoded forms of a data set that have lost a part, or were never finished."""
    root = workspace.dataset(name) / "cache"
    folders = sorted(each for each in root.iterdir() if each.is_dir()) if root.is_dir() else ()
    return tuple(folder for folder in folders if not _is_whole(folder))


def _is_whole(folder: Path) -> bool:
    try:
        read_index(folder)
    except (DataError, CorruptFileError):
        return False
    return True
