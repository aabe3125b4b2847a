"""A reporter that remembers what it was told."""

from __future__ import annotations

from deepcolor.app.reporter import Silent


class Heard(Silent):
    """Remembers every message, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
