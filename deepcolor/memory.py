"""How a process that trains, decodes pictures or colours them keeps its memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_LARGEST = 2**31 - 1
_STEP_BYTES = 64 * 2**20


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, instead of giving it back to the kernel after every batch.

    A training step frees the same tens of megabytes and asks for them again; by default (and more so under Dask, which
    asks for early trimming) that costs a page fault for every 4 KiB, each time. Call it before the thread that trains
    is started. Does nothing where the C library is not glibc.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return
    # Only the main arena can grow without bounds, so every thread has to use it.
    for setting, value in (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TOP_PAD, _STEP_BYTES),
        (_M_TRIM_THRESHOLD, _LARGEST),
    ):
        mallopt(setting, value)


def give_back_freed_memory() -> None:
    """Give what is kept back to the kernel: for a process that may have nothing to do for long."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function of the C library; None where that is not glibc: musl and the like have none of these."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
