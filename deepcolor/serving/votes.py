"""What people have said which of two models coloured a picture better: one line each, in a file."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from deepcolor.errors import WorkspaceError
from deepcolor.plainfile import read_plain

VOTES_FILE = "votes.csv"
_HEADER = ("when", "left", "right", "better")
_MOST_BYTES = 8 * 2**20


class Votes:
    """The votes in one file; it is made by the first of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, *, left: str, right: str, better: str | None) -> None:
        """Write a vote down.

        Args:
            left: The model whose picture was shown on the left.
            right: The other.
            better: One of them; None: neither.
        Raises:
            WorkspaceError: It cannot be written, or there are too many already.
        """
        row = [datetime.now(UTC).isoformat(timespec="seconds"), left, right, better or ""]
        with self._lock:
            try:
                size = self._file.stat().st_size if self._file.exists() else 0
                if size > _MOST_BYTES:
                    raise WorkspaceError(
                        f"votes: the file must be smaller than {_MOST_BYTES:,} bytes; got {size:,} ({self._file}). "
                        "Move it elsewhere."
                    )
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file, lineterminator="\n")
                    writer.writerows([row] if size else [_HEADER, row])
            except OSError as error:
                raise WorkspaceError(f"votes: must be writable; got {error.strerror} ({self._file}).") from error

    def text(self) -> str:
        """Return all votes, as CSV."""
        try:
            return read_plain(self._file, most_bytes=2 * _MOST_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ",".join(_HEADER) + "\n"

    def counts(self) -> list[dict[str, str | int]]:
        """Return, for each pair of models that was voted on, how often each was better, and how often neither."""
        seen: Counter[tuple[str, str, str]] = Counter()
        for row in csv.DictReader(io.StringIO(self.text())):
            one, other = sorted((row["left"] or "", row["right"] or ""))
            seen[one, other, row["better"] or ""] += 1
        pairs = sorted({(one, other) for one, other, _ in seen})
        return [
            {
                "one": one,
                "other": other,
                "one_better": seen[one, other, one],
                "other_better": seen[one, other, other],
                "neither": seen[one, other, ""],
            }
            for one, other in pairs
        ]
