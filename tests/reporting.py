"""A reporter that remembers what it was told, and reports without their pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deepcolor.app import pipeline
from deepcolor.app.reporter import OnProgress, Silent, Steps
from deepcolor.counting import counted
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


class Watched(Heard):
    """Remembers, too, each step that was named, when steps were hidden, and how far each bar came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    @contextmanager
    def starting(self, study: str) -> Iterator[Steps]:
        yield _SeenSteps(study, self.seen)
        self.seen.append(f"{study}: over")

    @contextmanager
    def progress(self, title: str, *, of: str | None = "picture") -> Iterator[OnProgress]:
        yield lambda done, total: self.seen.append(f"{title}: {done} of {counted(total, str(of))}")


class _SeenSteps:
    def __init__(self, title: str, seen: list[str]) -> None:
        self._title = title
        self._seen = seen

    def step(self, what: str, *, slow: str = "") -> None:  # see deepcolor.app.reporter.Steps
        self._seen.append(f"{self._title}: {what}")

    def hide(self) -> None:
        self._seen.append(f"{self._title}: hidden")


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
