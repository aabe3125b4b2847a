"""Wait for another process, and let a person know what is being waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from deepcolor.errors import WorkspaceError

_T = TypeVar("_T")
OnWait = Callable[[str | None], None]
_PATIENCE_S = 0.5
"""A shorter wait is not worth mentioning."""
_LOOK_EVERY_S = 0.025

_listener: ContextVar[OnWait] = ContextVar("listener", default=lambda _what: None)


@contextmanager
def told_of_waits(on_wait: OnWait) -> Iterator[None]:
    """Call `on_wait` with what is being waited for, and with None when the wait is over, for all waits in the block."""
    token = _listener.set(on_wait)
    try:
        yield
    finally:
        _listener.reset(token)


def repeated(
    attempt: Callable[[], _T], *, until: str, on: type[Exception] | tuple[type[Exception], ...], timeout_s: float | None
) -> _T:
    """Return what `attempt` returns, which is called again while it raises `on`.

    Args:
        attempt: Returns at once, or soon.
        until: What is being waited for, such as "a scheduler at tcp://login1:8786".
        on: What it raises before its time has come; anything else ends the wait.
        timeout_s: Longest wait, in seconds; what is raised after it is what the caller gets. None: no limit.
    """
    began, told = time.monotonic(), False
    try:
        while True:
            try:
                return attempt()
            except on:
                waited_s = time.monotonic() - began
                if timeout_s is not None and waited_s >= timeout_s:
                    raise
            if waited_s >= _PATIENCE_S and not told:
                told = True
                _listener.get()(until)
            time.sleep(_LOOK_EVERY_S)
    finally:
        if told:
            _listener.get()(None)


@contextmanager
def locked(file: Path, *, until: str, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a file, which only one process can hold at a time.

    Args:
        file: Created if it is missing; its folder must exist.
        until: What is being waited for while another process holds it, such as "another process to decode faces".
        timeout_s: Longest wait; None: no limit.
    Raises:
        WorkspaceError: The wait took longer.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        # In small steps: signals to stop are handled between them.
        repeated(lambda: lock.acquire(timeout=0), until=until, on=Timeout, timeout_s=timeout_s)
    except Timeout:
        raise WorkspaceError(
            f"start: must get its turn within {timeout_s:.0f} s; waited for {until} ({file} is held). "
            "Find the process that holds that file, and end it."
        ) from None
    try:
        yield
    finally:
        lock.release()
