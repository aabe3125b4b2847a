"""Ctrl-C and SIGTERM of a command that trains: heard at any moment, heeded where nothing is left half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

from deepcolor.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Listens while it is entered as a context, in the main thread; elsewhere nothing is ever asked.

    The first signal asks to stop, the second stops at once. An exception raised at any moment, as Python does by
    itself, would do harm while processes start and modules are imported: both can then wait for ever.
    """

    def __init__(self, *, resume: str) -> None:
        """Do not listen yet.

        Args:
            resume: The command line that goes on with the work.
        """
        self._resume = resume
        self._asked = False
        self._pass_on: Callable[[], None] | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Listen no longer."""
        while self._before:
            signal.signal(*self._before.popitem())

    def heed(self) -> None:
        """Stop here if it was asked for.

        Raises:
            Interrupted: With the line that resumes.
        """
        if self._asked:
            raise Interrupted(f"stopped while getting ready. Resume with: {self._resume}")

    def hand_to(self, request_stop: Callable[[], None]) -> None:
        """Let somebody else stop from now on: work that is saved when it is asked to end.

        Args:
            request_stop: Called at the first signal, in the midst of anything.
        Raises:
            Interrupted: It was asked for before.
        """
        self._pass_on = request_stop
        self.heed()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise Interrupted(f"stopped at once. Resume with: {self._resume}")
        self._asked = True
        what = "stopping"
        if self._pass_on is not None:
            self._pass_on()
            what = "stopping: running segments finish their epoch and are saved"
        # Not through rich: the signal may have come while it was drawing.
        os.write(2, f"\n{what}; once more to stop at once\n".encode())
