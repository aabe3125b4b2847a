"""A reporter that remembers what it was told, and reports without their pictures."""

from __future__ import annotations

from collections.abc import Callable

from deepcolor.app import pipeline
from deepcolor.app.reporter import Silent
from deepcolor.report import writing


class Heard(Silent):
    """Remembers every message, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Blank:
    """Stands for a figure."""

    def png(self) -> bytes:
        return b"blank"


def draw_nothing(put: Callable[[object, str, object], None] = setattr, *, page: bool = False) -> None:
    """Let reports have files in place of their pictures, and no page, which would take longer than all else together.

    Args:
        put: Puts a function into a module, as `setattr` does.
        page: Whether the page is written none the less.
    """
    for name in ("history_figure", "slices_figure", "parallel_figure", "importances_figure"):
        put(writing, name, lambda *_: Blank())
    if not page:
        put(writing.ReportFolder, "_write_page", lambda *_, **__: None)
        put(pipeline, "leave_report", lambda *_: None)
