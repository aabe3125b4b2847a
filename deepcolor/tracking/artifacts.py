"""A run's files, laid out as MLflow keeps them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from deepcolor.scratch import temporary_folder
from deepcolor.sqlite import sqlite_file
from deepcolor.tracking import layout, store

_CHECKPOINT_FILES = ("model.safetensors", "model.json", "code")
_RUN_ID = re.compile("[0-9a-f]{32}")


def without_run(tracking_uri: str, root: Path) -> list[Path]:
    """Return the folders of artifacts that belong to no run; nothing is changed.

    A run is stored before its first artifact, so a folder that existed before the runs were listed, and has no run,
    will never have one. A run that was deleted in MLflow can be restored there, and keeps its folder. A folder with a
    model is kept too, as a registered version may point to it.

    Args:
        tracking_uri: The workspace's own database; if it does not exist, nothing is known, and no folder is returned.
        root: The folder of its artifacts: `<stage>/<run id>/`.
    Raises:
        TrackingError: The database cannot be opened.
    """
    folders = [path for path in sorted(root.glob("*/*")) if _RUN_ID.fullmatch(path.name) and path.is_dir()]
    database = sqlite_file(tracking_uri)
    if not folders or database is None or not database.exists():
        return []
    known = store.run_ids(tracking_uri)
    orphans = (folder for folder in folders if folder.name not in known)
    return [folder for folder in orphans if not (folder / "artifacts" / layout.MODEL_FOLDER).exists()]


@contextlib.contextmanager
def staged() -> Iterator[Path]:
    """A folder laid out as the run's artifacts, so that they are uploaded in one call."""
    with temporary_folder("run") as folder:
        yield folder


def stage_result(result: Path, folder: Path) -> None:
    """Lay out what a trial left in the store."""
    for path in result.iterdir():
        link(
            path,
            folder / layout.CHECKPOINT_FOLDER / path.name if path.name in _CHECKPOINT_FILES else folder / path.name,
        )


def link(source: Path, target: Path) -> None:
    """Lay out a file that lies elsewhere; nothing where there is none."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.absolute())


def folder_state(folder: Path | None) -> str:
    """Something that changes when a file of the folder does."""
    if folder is None or not folder.is_dir():
        return "none"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder)} {(stat := path.stat()).st_size} {stat.st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
