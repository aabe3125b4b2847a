"""Hold a lock between processes, and let a person know what is waited for meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from deepcolor.errors import WorkspaceError

OnWait = Callable[[str | None], None]
_PATIENCE_S = 0.5
"""A shorter wait is not worth a word."""
_LOOK_EVERY_S = 0.1

_listener: ContextVar[OnWait] = ContextVar("listener", default=lambda _what: None)


@contextmanager
def told_of_waits(on_wait: OnWait) -> Iterator[None]:
    """Call `on_wait` with what is waited for, and with None when the wait is over, whoever waits in here."""
    token = _listener.set(on_wait)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def locked(file: Path, *, until: str, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a file, which one process at a time can.

    Args:
        file: Made if it is not there; its folder exists.
        until: What is waited for while another process holds it, such as "another process to decode faces".
        timeout_s: Longest wait; None: for ever.
    Raises:
        WorkspaceError: The wait took longer.
    """
    from filelock import FileLock, Timeout

    lock, began = FileLock(file), time.monotonic()
    told = False
    while True:
        try:
            # In small steps: what asks to stop meanwhile is heard between them.
            lock.acquire(timeout=_LOOK_EVERY_S, poll_interval=_LOOK_EVERY_S / 4)
            break
        except Timeout:
            waited_s = time.monotonic() - began
        if timeout_s is not None and waited_s >= timeout_s:
            raise WorkspaceError(
                f"start: must get its turn within {timeout_s:.0f} s; waited for {until} ({file} is held). "
                "See which process holds that file, and end it."
            )
        if waited_s >= _PATIENCE_S and not told:
            told = True
            _listener.get()(until)
    if told:
        _listener.get()(None)
    try:
        yield
    finally:
        lock.release()
