"""Find the pictures of a folder: the same ones in every command, whatever else is there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deepcolor.counting import counted
from deepcolor.data.images import PICTURE_SUFFIXES
from deepcolor.data.marks import is_made_by_deepcolor
from deepcolor.errors import DataError
from deepcolor.workspace import is_state_folder

Progress = Callable[[int, int], None]
"""Called with (done, total) as the work proceeds, from the thread that called."""

_NOT_OF_THE_USER = frozenset(
    {"@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "__macosx", "lost+found"}
)
"""Folders that file servers and operating systems keep for themselves: thumbnails, what was deleted."""
TOO_SMALL, WITHOUT_COLOUR, OWN = "too small", "without colour", "made by deepcolor itself"
"""How the reasons begin for which a whole picture is left out."""
_MODEL_FILES = ("model.json", "model.safetensors")
"""A folder with both is a model folder; the pictures in it are its samples."""


class RejectedFile(BaseModel):
    """A file with a picture's suffix that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.

    path: str
    """Relative to the source folder, with '/' between the parts."""
    reason: str
    """Short, and the same for the same kind of fault."""

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong with it; otherwise it is a whole picture that training has no use for."""
        return not self.reason.startswith((TOO_SMALL, WITHOUT_COLOUR, OWN))


@dataclass
class Found:
    """What is in a folder and below it."""

    pictures: list[str] = field(default_factory=list)
    """Relative paths of the files that are pictures by their suffix, links included, sorted."""
    own: list[str] = field(default_factory=list)
    """Likewise, of pictures that deepcolor made itself."""
    unreadable: list[RejectedFile] = field(default_factory=list)
    """Folders below that may not be read."""
    others: Counter[str] = field(default_factory=Counter)
    """Hidden files and those that are no pictures, by suffix."""
    linked_folders: list[str] = field(default_factory=list)
    """Links to folders, which are not followed: they can lead out, or round in circles."""
    state_folders: list[str] = field(default_factory=list)
    """Folders in which deepcolor keeps its own files: of a workspace, and of models."""


def find_pictures(source: Path, *, leave_out: Collection[Path] = ()) -> Found:
    """Find the pictures of a folder.

    Links to files are followed wherever they lead, as in data sets that are made of links alone; one that leads nowhere
    or in a circle is a picture that cannot be read. Left out are hidden files and folders, those of file servers and
    operating systems (`@eaDir`, `$RECYCLE.BIN`, ...), the folders of a workspace and of models, and pictures that
    deepcolor made.

    Args:
        source: The folder.
        leave_out: Resolved paths of folders that are passed over.
    Raises:
        DataError: It is missing, or no folder, or may not be read.
    """
    if not source.is_dir():
        what = "a file" if source.exists() else "nothing there"
        raise DataError(f"data set: must be a folder of pictures; got {what} ({source}). Check the path.")
    found = Found()
    _walk(source, found, leave_out=frozenset(leave_out))
    for names in (found.pictures, found.own, found.linked_folders, found.state_folders):
        names.sort()
    return found


def nothing_usable(source: Path, found: Found, rejected: Sequence[RejectedFile]) -> str:
    """Say what a folder holds instead of pictures."""
    reasons = Counter(file.reason for file in rejected)
    parts = [f"{counted(count, 'picture file')} of no use ({reason})" for reason, count in reasons.most_common(3)]
    parts += [counted(count, f"{_kind(suffix)} file") for suffix, count in found.others.most_common(3)]
    parts += [f"{len(names)} {what}" for names, what in _groups(found) if names]
    got = ", ".join(parts) or "an empty folder"
    return (
        "data set: needs a folder of colour pictures (JPEG, PNG, WebP, BMP, TIFF); "
        f"got {got} ({source}). Choose another folder."
    )


def passed_over(found: Found) -> str:
    """Say which folders and pictures were passed over, for whoever expects them to be used; empty if there are none."""
    return "; ".join(f"{_some(names)} ({what})" for names, what in _groups(found) if names)


@contextmanager
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    """Give as many threads as pictures are decoded at a time."""
    pool = ThreadPoolExecutor(threads())
    try:
        yield pool
    finally:
        # After Ctrl-C nobody waits for ten thousand pictures nobody wants any more.
        pool.shutdown(cancel_futures=True)


def threads() -> int:
    """How many pictures are decoded at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(32, cores)


def _walk(source: Path, found: Found, *, leave_out: frozenset[Path]) -> None:
    def not_read(error: OSError) -> None:
        if error.filename == str(source):
            raise DataError(
                f"data set: the folder must be readable; got {error.strerror} ({source}). Fix its permissions."
            ) from error
        path = Path(error.filename).relative_to(source).as_posix()
        found.unreadable.append(
            RejectedFile(path=_utf8(path), reason=f"a folder that cannot be read: {error.strerror}")
        )

    for folder, subfolders, names in os.walk(source, followlinks=False, onerror=not_read):
        here = Path(folder)
        if here != source and all(name in names for name in _MODEL_FILES):
            found.state_folders.append(here.relative_to(source).as_posix())
            subfolders.clear()
            continue
        links = [name for name in subfolders if (here / name).is_symlink()]
        subfolders[:] = sorted(
            name for name in subfolders if name not in links and _is_entered(here / name, found, source)
        )
        subfolders[:] = [name for name in subfolders if not leave_out or (here / name).resolve() not in leave_out]
        for name in [*names, *links]:
            _sort_in(here / name, found, source, is_folder=name in links)


def _is_entered(folder: Path, found: Found, source: Path) -> bool:
    if folder.name.startswith(".") or folder.name.lower() in _NOT_OF_THE_USER:
        return False
    if is_state_folder(folder):
        found.state_folders.append(folder.relative_to(source).as_posix())
        return False
    return True


def _sort_in(path: Path, found: Found, source: Path, *, is_folder: bool) -> None:
    below, suffix = path.relative_to(source).as_posix(), path.suffix.lower()
    if path.name.startswith("."):
        found.others[suffix] += 1
    elif suffix in PICTURE_SUFFIXES:
        # A link to a folder that is called like a picture will be one that cannot be read.
        (found.own if not is_folder and is_made_by_deepcolor(path) else found.pictures).append(below)
    elif is_folder:
        found.linked_folders.append(below)
    else:
        found.others[suffix] += 1


def _groups(found: Found) -> tuple[tuple[list[str], str], ...]:
    return (
        (found.own, OWN),
        (found.state_folders, "where deepcolor keeps its own files"),
        (found.linked_folders, "links to folders, which are not followed"),
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(_utf8(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _utf8(path: str) -> str:
    """A name that can be written, though it be no UTF-8 on disk."""
    return path.encode(errors="replace").decode()


def _kind(suffix: str) -> str:
    return "text" if suffix == ".txt" else suffix or "nameless"
