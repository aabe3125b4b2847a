"""Ctrl-C, SIGTERM and a closed terminal, heard at any moment and heeded where nothing is left half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Self

from deepcolor.errors import EXIT_INTERRUPTED, Interrupted
from deepcolor.printable import without_secrets

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DRAWING_S = 0.02
"""A view is drawn in a few milliseconds."""
_LAST_WORDS_S = 1.0
_AT_ONCE_S = 15.0
"""Longest time that 'at once' may take, all cleaning up included."""
_AT_ONCE = "stopped at once"
_SHOW_CURSOR = b"\x1b[?25h"


def listen() -> None:
    """Let SIGTERM and a closed terminal end any command as Ctrl-C does, with all that it has to clean up.

    A signal that was ignored when the command started (`nohup`, a shell's background job) stays ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


class StopSignals:
    """Listens while it is entered as a context, in the main thread; elsewhere nothing is ever asked.

    The first signal asks to stop, the second stops at once; a terminal that was closed asks, however often it says so.
    An exception raised at any moment, as Python does by itself, would do harm while processes start and modules are
    imported: both can then wait forever.
    """

    def __init__(self, *, resume: str, tell: Callable[[str], None]) -> None:
        """Do not listen yet.

        Args:
            resume: The command line that continues the work.
            tell: Says what must be seen; called from a thread.
        """
        self._tell = tell
        self._resume = resume
        self._asked = False
        self._at_once = False
        self._raised = False
        self._number = signal.SIGINT
        self._pass_on: Callable[[], None] | None = None
        self._before: dict[int, signal._HANDLER] = {}
        self._ended = threading.Event()
        self._wakes, self._wake = -1, -1
        self._attending: threading.Thread | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._wakes, self._wake = os.pipe2(os.O_CLOEXEC)
            self._attending = threading.Thread(target=self._attend, name="deepcolor-signals", daemon=True)
            self._attending.start()
            heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._on_signal) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Listen no longer."""
        while self._before:
            signal.signal(*self._before.popitem())
        self._ended.set()
        if self._wake >= 0:
            wake, self._wake = self._wake, -1
            os.close(wake)  # The thread reads its end.
        if self._attending is not None:
            self._attending.join(_LAST_WORDS_S)  # What it has to say comes before what the caller says at the end.

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

    def hurry(self) -> None:
        """Let the next signal stop at once: what is left to do may be cut short."""
        self._asked = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._asked:
            self._asked = True
            if self._pass_on is not None:
                self._pass_on()
            self._send(b"1")
        elif number != signal.SIGHUP and not self._raised:
            if not self._at_once:
                self._at_once, self._number = True, signal.Signals(number)
                self._send(b"2")
            if not _is_drawing(frame):  # Else the thread asks again: half a view would stay on the screen.
                self._raised = True
                raise Interrupted(f"{_AT_ONCE}. Resume with: {self._resume}")

    def _send(self, what: bytes) -> None:
        if self._wake >= 0:
            os.write(self._wake, what)

    # --- in a thread: a signal may have come while its own thread was drawing, or held a lock

    def _attend(self) -> None:
        while what := os.read(self._wakes, 1):
            if what == b"1":
                self._say()
            else:
                self._see_to_it()
        os.close(self._wakes)

    def _say(self) -> None:
        what = "stopping"
        if self._pass_on is not None:
            what = "stopping: running segments finish their epoch and are saved"
        with suppress(OSError, ValueError):  # nowhere to say it
            # Above a live view, if there is one: it takes what is written to standard error.
            self._tell(f"{what}; once more to stop at once")

    def _see_to_it(self) -> None:
        """Stop at once, also where an exception cannot be raised, is swallowed, or the way out takes long."""
        main = threading.main_thread().ident
        while not self._raised and not self._ended.wait(_DRAWING_S):
            assert main is not None
            signal.pthread_kill(main, self._number)
        if not self._ended.wait(_AT_ONCE_S):
            with suppress(OSError):
                words = f"\n{_AT_ONCE}. Resume with: {without_secrets(self._resume)}\n".encode()
                os.write(2, _SHOW_CURSOR + words if os.isatty(2) else words)
            os._exit(EXIT_INTERRUPTED)  # Its processes end with it, and what is stored is whole at every moment.


def _is_drawing(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] == "rich":
            return True
        frame = frame.f_back
    return False
