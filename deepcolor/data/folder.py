"""Look through a folder: which of its files are pictures that can be used, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deepcolor.data.duplicates import Thumbnails, thumbnails
from deepcolor.data.images import PICTURE_SUFFIXES, UnusablePictureError, decode_picture
from deepcolor.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (done, total) as the work goes on, from the thread that called."""


@dataclass(frozen=True)
class UsableFile:
    """A picture that can be used, before it is grouped."""

    path: str
    sha256: str
    bytes: int
    width_px: int
    height_px: int
    thumbnails: Thumbnails


class RejectedFile(BaseModel):
    """A file with a picture's suffix that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # Written by any version.

    path: str
    """Relative to the source folder, with '/' between the parts."""
    reason: str
    """Short, and the same for the same kind of fault."""


def walk(source: Path) -> tuple[list[str], Counter[str]]:
    """Return the pictures' relative paths, sorted, and how many other files there are of each suffix."""
    if not source.is_dir():
        what = "a file" if source.exists() else "nothing there"
        raise DataError(f"data set: must be a folder of pictures; got {what} ({source}). Check the path.")
    pictures: list[str] = []
    others: Counter[str] = Counter()
    for path in _files_below(source):
        suffix = path.suffix.lower()
        if suffix in PICTURE_SUFFIXES and not path.name.startswith(".") and _stays_inside(path, source):
            pictures.append(path.relative_to(source).as_posix())
        else:
            others[suffix] += 1
    return sorted(pictures), others


def look_at_all(
    source: Path, paths: Sequence[str], *, min_side_px: int, on_progress: Progress | None
) -> tuple[list[UsableFile], list[RejectedFile]]:
    """Decode every picture once, in threads: the decoders let go of the interpreter's lock.

    Args:
        source: The folder.
        paths: Relative to it, as `walk` gives them.
        min_side_px: Pictures with a shorter side are rejected.
        on_progress: Called with (pictures looked at, all pictures).
    """
    seen: list[UsableFile] = []
    rejected: list[RejectedFile] = []
    with thread_pool() as pool:
        for done, result in enumerate(pool.map(partial(_look_at, source, min_side_px), paths), start=1):
            if isinstance(result, UsableFile):
                seen.append(result)
            else:
                rejected.append(result)
            if on_progress is not None:
                on_progress(done, len(paths))
    return seen, rejected


def nothing_usable(source: Path, rejected: Sequence[RejectedFile], others: Counter[str]) -> str:
    """Say what a folder holds instead of pictures."""
    reasons = Counter(file.reason for file in rejected)
    parts = [f"{_files(count, 'picture')} of no use ({reason})" for reason, count in reasons.most_common(3)]
    parts += [_files(count, _kind(suffix)) for suffix, count in others.most_common(3)]
    got = ", ".join(parts) or "an empty folder"
    return (
        "data set: needs a folder of colour pictures (JPEG, PNG, WebP, BMP, TIFF); "
        f"got {got} ({source}). Choose another folder."
    )


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
    return min(32, os.cpu_count() or 1)


def _files_below(source: Path) -> Iterator[Path]:
    # Links to folders are not followed: they can lead out of the folder, or round in circles.
    for folder, subfolders, names in os.walk(source, followlinks=False):
        subfolders[:] = [subfolder for subfolder in subfolders if not subfolder.startswith(".")]
        yield from (Path(folder, name) for name in names)


def _stays_inside(path: Path, source: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(source)


def _look_at(source: Path, min_side_px: int, path: str) -> UsableFile | RejectedFile:
    try:
        # Names that are no UTF-8 could be written into the manifest, but not read back as the same file.
        path.encode()
        data = (source / path).read_bytes()
        picture = decode_picture(data, source=path)
    except UnicodeEncodeError:
        return RejectedFile(path=path.encode(errors="replace").decode(), reason="a name that is not UTF-8")
    except OSError as error:
        return RejectedFile(path=path, reason=f"cannot be read: {error.strerror}")
    except UnusablePictureError as error:
        return RejectedFile(path=path, reason=error.reason)
    height, width = picture.rgb_HW3.shape[:2]
    if min(height, width) < min_side_px:
        return RejectedFile(path=path, reason=f"too small: a side under {min_side_px} px")
    if picture.is_grey:
        return RejectedFile(path=path, reason="without colour")
    sha256 = hashlib.sha256(data).hexdigest()
    return UsableFile(
        path=path,
        sha256=sha256,
        bytes=len(data),
        width_px=width,
        height_px=height,
        thumbnails=thumbnails(picture.rgb_HW3),
    )


def _kind(suffix: str) -> str:
    return "text" if suffix == ".txt" else suffix or "nameless"


def _files(count: int, kind: str) -> str:
    return f"{count} {kind} {'file' if count == 1 else 'files'}"
