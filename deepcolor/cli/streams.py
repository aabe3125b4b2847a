"""Standard output and error that outlive whoever read them: a closed terminal or pipe ends no training."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any


class _Outliving(io.FileIO):
    """Writes to nowhere once its reader is gone; a full disk is an error as ever."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._gone = {errno.EPIPE, errno.EIO} if self.isatty() else {errno.EPIPE}

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._gone:
                raise
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let everything that writes to the standard streams go on when nobody reads them any more."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            raw = _Outliving(stream.fileno())
        except (AttributeError, OSError, ValueError):
            continue  # closed, or not a file at all
        stream.flush()
        outliving = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, outliving)
