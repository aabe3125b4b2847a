"""Why a driver starts nothing more, and how running segments learn of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from deepcolor.config.schema import Limit


class Ending:
    """The reasons to end. Any of them creates the stop file: running segments finish their epoch and are saved."""

    def __init__(self, stop_file: Path) -> None:
        """Start without a reason to end.

        Args:
            stop_file: Every segment looks for it after every epoch.
        """
        self._stop_file = stop_file
        self.asked = False
        """The user has asked for it."""
        self.failure: str | None = None
        """The store cannot be written to: every trial would fail, and stays open instead."""
        self.spent: Limit | None = None
        """The limit of the budget that has been reached."""

    @property
    def due(self) -> bool:
        """Whether there is a reason to end."""
        return self.asked or self.failure is not None or self.spent is not None

    def ask(self) -> None:
        """End because the user asked. Safe to call from a signal handler."""
        self.asked = True
        self._stop_file.touch()

    def fail(self, reason: str) -> None:
        """End because nothing can be written; the first reason given is kept."""
        self.failure = self.failure or reason
        with suppress(OSError):  # The other segments find out by themselves.
            self._stop_file.touch()

    def spend(self, limit: Limit | None) -> None:
        """End because a limit has been reached; None changes nothing."""
        if limit is not None:
            self.spent = limit
            self._stop_file.touch()

    def revoke(self) -> Limit | None:
        """Continue although a limit was reached, and return that limit."""
        spent, self.spent = self.spent, None
        self.clear()
        return spent

    def clear(self) -> None:
        """Remove the stop file."""
        self._stop_file.unlink(missing_ok=True)
