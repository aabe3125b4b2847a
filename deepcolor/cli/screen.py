"""A part of the terminal that is drawn again and again, below the lines that scroll up."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live


def screen_console() -> Console:
    """Return a console on standard error for a live view; `alone` must be told of the view before it starts."""
    from rich.console import Console as RichConsole

    class OneAtATime(RichConsole):
        """Keeps other threads out from the moment at which a print looks where the view begins, until it is written.

        A line printed while a thread redraws a view that has become shorter would otherwise take the place of the line
        above it.
        """

        whole: Any = None

        def __enter__(self) -> Self:
            if self.whole is not None:
                self.whole.acquire()
            super().__enter__()
            return self

        def __exit__(self, *error: object) -> None:
            try:
                super().__exit__(*error)
            finally:
                if self.whole is not None:
                    self.whole.release()

    return OneAtATime(stderr=True)


@contextmanager
def alone(live: Live) -> Iterator[None]:
    """Let nothing but a view's own drawing move it, as long as it is shown."""
    # The view's own lock: with two, one thread could wait for what the other holds.
    live.console.whole = live._lock  # type: ignore[attr-defined]  # noqa: SLF001
    with _no_keys_shown():
        yield


@contextmanager
def _no_keys_shown() -> Iterator[None]:
    """Keep the terminal from writing `^C` behind a view: where its last line is full, all would move by a line."""
    try:
        descriptor = sys.stderr.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield  # no terminal
        return
    _set_terminal(descriptor, [*before[:3], before[3] & ~termios.ECHOCTL, *before[4:]])
    try:
        yield
    finally:
        _set_terminal(descriptor, before)


def _set_terminal(descriptor: int, attributes: list[Any]) -> None:
    with suppress(OSError, termios.error):  # It is gone.
        if os.tcgetpgrp(descriptor) == os.getpgrp():  # Asked of it from the background, it would stop this process.
            termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
