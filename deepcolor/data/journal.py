"""What has been seen of a folder's pictures so far: on disk, so that looking at them can stop and continue."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from deepcolor.data.duplicates import THUMBNAILS_SHAPE
from deepcolor.errors import DataError

_ROW_BYTES = int(np.prod(THUMBNAILS_SHAPE))


@dataclass(frozen=True)
class Stamp:
    """By what a file is known to be the one that was seen; all zero where it cannot be looked at."""

    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0

    @classmethod
    def of(cls, path: Path) -> Stamp:
        try:
            found = path.stat()
        except OSError:
            return cls()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True)
class Seen:
    """What one picture turned out to be."""

    path: str
    stamp: Stamp
    reason: str = ""
    """Why it cannot be used; empty if it can, and then the rest says what it is."""
    sha256: str = ""
    width_px: int = 0
    height_px: int = 0
    thumbnails: bytes = b""
    """Kept in a file of their own; empty once they are there."""
    row: int = -1
    """Where in that file."""


class Thumbnails:
    """Thumbnails in a file, read as they are asked for."""

    def __init__(self, path: Path, rows: Sequence[int]) -> None:
        self._path = path
        self._rows = np.array(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: npt.NDArray[np.int64], /) -> npt.NDArray[np.uint8]:
        """Return some of them, shape (n, 2, 64, 64)."""
        rows = self._rows[which]
        taken = np.empty((len(rows), _ROW_BYTES), np.uint8)
        with self._path.open("rb", buffering=0) as file:
            for index, row in enumerate(rows):
                file.seek(int(row) * _ROW_BYTES)
                file.readinto(taken[index])
        return taken.reshape(-1, *THUMBNAILS_SHAPE)


class Journal:
    """One line for each picture seen, and the thumbnails of those that can be used in a file beside it."""

    def __init__(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Take over what is there, as far as it is whole and was seen by the same rules.

        Args:
            folder: The journal's own.
            about: What its lines hang on, as a JSON object; another one begins anew.
        """
        self._folder = folder
        self._lines: BinaryIO
        self._known: dict[str, Seen] = {}
        self._count = 0
        header = json.dumps(about, sort_keys=True).encode() + b"\n"
        lines, thumbnails = folder / "seen.jsonl", self._thumbnails_path
        thumbnails.touch()
        whole = self._take_over(lines, header)
        self._lines = lines.open("ab")
        self._lines.truncate(whole)
        self._small = thumbnails.open("r+b")
        self._small.truncate(self._count * _ROW_BYTES)
        self._small.seek(0, 2)
        if whole == 0:
            self._lines.write(header)

    @classmethod
    @contextmanager
    def at(cls, folder: Path, *, about: Mapping[str, Any]) -> Iterator[Journal]:
        """Open a journal for the length of a block; nobody else can open it meanwhile.

        Raises:
            DataError: Somebody else has it open.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"data set {folder.parent.name}: is being prepared already, by another process ({folder.parent}). "
                "Wait for it, or choose another --name."
            ) from None
        try:
            journal = cls(folder, about=about)
            try:
                yield journal
            finally:
                journal.close()
        finally:
            lock.release()

    @property
    def _thumbnails_path(self) -> Path:
        return self._folder / "thumbnails"

    def known(self, path: str, stamp: Stamp) -> Seen | None:
        """Return what was seen of a picture, if it is still the same file."""
        seen = self._known.get(path)
        return seen if seen is not None and seen.stamp == stamp and stamp != Stamp() else None

    def add(self, seen: Seen) -> Seen:
        """Write down what a picture turned out to be; return it without its thumbnails."""
        kept = seen
        if not seen.reason:
            self._small.write(seen.thumbnails)
            self._small.flush()
            kept = replace(seen, thumbnails=b"", row=self._count)
            self._count += 1
        line = [kept.path, vars(kept.stamp), kept.reason, kept.sha256, kept.width_px, kept.height_px]
        self._lines.write(json.dumps([*line, zlib.crc32(seen.thumbnails)]).encode() + b"\n")
        self._lines.flush()
        return kept

    def thumbnails(self, rows: Sequence[int]) -> Thumbnails:
        """The thumbnails of some of the pictures."""
        return Thumbnails(self._thumbnails_path, rows)

    def close(self) -> None:
        """Close the files; what was seen stays there."""
        self._lines.close()
        self._small.close()

    def remove(self) -> None:
        """Remove what was seen: it stands in the manifest now."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take_over(self, path: Path, header: bytes) -> int:
        """Read the lines that are whole, and return where they end."""
        end = 0
        if not path.is_file():
            return 0
        with path.open("rb") as lines, self._thumbnails_path.open("rb") as small:
            for line in lines:
                if end == 0 and line != header:
                    return 0
                if end > 0:
                    seen = self._read(line, small)
                    if seen is None:
                        break
                    self._known[seen.path] = seen
                end += len(line)
        return end

    def _read(self, line: bytes, small: BinaryIO) -> Seen | None:
        try:
            path, stamp, reason, sha256, width_px, height_px, check = json.loads(line)
            seen = Seen(path, Stamp(**stamp), reason, sha256, width_px, height_px)
        except (ValueError, TypeError):
            return None  # Cut short: the process was ended while it wrote.
        if reason:
            return seen
        if zlib.crc32(small.read(_ROW_BYTES)) != check:
            return None
        self._count += 1
        return replace(seen, row=self._count - 1)
