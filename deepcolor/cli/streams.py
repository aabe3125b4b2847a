"""Standard input, output and error, whatever the shell has made of them: closed, full, gone with who read them."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

from deepcolor.errors import UserError

_NOWHERE = Path(os.devnull)


def make_safe() -> None:
    """Give a command streams that it can work with; call it before anything is opened or printed.

    A closed stream leaves its number to the next file that is opened, and what is printed would go into that file, be
    it a database. Nothing that happens to messages on standard error ends the work they tell of.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest number that is free: this one.
    _outlive_readers()
    if sys.stdin is None:
        sys.stdin = _NOWHERE.open(encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = _NOWHERE.open("w", encoding="utf-8")
    sys.stdout = cast(TextIO, _Watched(sys.stdout or cast(TextIO, _Closed())))
    sys.stderr = cast(TextIO, _Tolerant(sys.stderr))


def check_output() -> None:
    """Make sure that everything printed has arrived.

    Raises:
        UserError: Standard output is closed, or takes no more.
    """
    output = sys.stdout
    with suppress(OSError, ValueError):
        output.flush()
    trouble = output.trouble if isinstance(output, _Watched) else None
    if trouble is None:
        return
    sys.stdout = _NOWHERE.open("w", encoding="utf-8")  # Python would try once more when it ends, and complain.
    with suppress(OSError):
        os.dup2(sys.stdout.fileno(), 1)
    raise UserError(
        f"standard output: must be open and take what is printed; got {trouble.strerror}. What was done is kept; print "
        "it somewhere else, or free space there."
    ) from trouble


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


def _outlive_readers() -> None:
    """Let everything that writes to the standard streams continue when nobody reads them any more."""
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


class _Closed(io.TextIOBase):
    """Takes the place of a standard output that was closed: nothing arrives, and that is an error once it is asked."""

    written = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written = self.written or bool(text)
        return len(text)

    def flush(self) -> None:
        if self.written:
            raise OSError(errno.EBADF, "a closed one")


class _Around:
    """A stream around another one, like it in everything but what a subclass says."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Watched(_Around):
    """Standard output that remembers what kept it from printing, whoever has caught that."""

    trouble: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self.trouble = error
            raise

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.trouble = error
            raise


class _Tolerant(_Around):
    """Standard error that drops what it cannot print."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
