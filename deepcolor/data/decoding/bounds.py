"""What a picture may cost: how many pixels it may have, asked before it is decoded, and how long decoding may take."""

from __future__ import annotations

import io
import math
import os
import time
from dataclasses import dataclass

MEGAPIXELS_VARIABLE = "DEEPCOLOR_MAX_MEGAPIXELS"
"""Environment variable that raises or lowers the limit, for child processes and served models too."""
MEGAPIXELS_OPTION = "--max-megapixels"

_SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
_COMMON_BITS = 32
"""Bits of a pixel that counts once: 8 a channel, with opacity. Deeper ones take more memory, and count for more."""


class Fault(Exception):  # It becomes an UnusablePictureError, once the file's name is known.
    """Why a file's picture cannot be had: short, and the same for the same kind of fault."""

    def __init__(self, reason: str, *, advice: str = "Replace or remove it.") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True)
class Limits:
    """What any one picture may cost."""

    megapixels: float
    """Width x height / 10^6 of a picture of up to 32 bits a pixel."""
    seconds: float
    """Of the processor, spent on decoding; a busy machine does not change which pictures can be read."""

    @classmethod
    def usual(cls) -> Limits:
        """Return what holds in this process: less where clients send the pictures; see `MEGAPIXELS_VARIABLE`."""
        usual = SERVED if os.environ.get(_SERVED) else LOCAL
        try:
            megapixels = float(os.environ[MEGAPIXELS_VARIABLE])
        except (KeyError, ValueError):
            return usual
        return cls(megapixels, usual.seconds) if megapixels > 0 else usual


LOCAL = Limits(megapixels=180, seconds=60)
SERVED = Limits(megapixels=32, seconds=10)
UNLIMITED = Limits(math.inf, math.inf)
"""For pictures that were looked at before, and found fit."""


class TimedBytes(io.BytesIO):
    """A file in memory for a decoder that reads it bit by bit; it ends with the time."""

    def __init__(self, data: bytes, allowance: Allowance) -> None:
        super().__init__(data)
        self._allowance = allowance

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, if there is time left.

        Raises:
            Fault: There is none.
        """
        self._allowance.check_time()
        return super().read(size)


class Allowance:
    """What is left of the limits while one picture is decoded, in one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started_s = time.thread_time()

    def check_size(self, width_px: int, height_px: int, *, bits: int = 8) -> None:
        """Refuse a picture before anything is set aside for it.

        Args:
            width_px: As the file says.
            height_px: As the file says.
            bits: A pixel's, over all channels.
        Raises:
            Fault: It is too large, or has no pixels.
        """
        if width_px <= 0 or height_px <= 0:
            raise Fault("a damaged file")
        most = self._limits.megapixels
        if width_px * height_px * max(1, bits / _COMMON_BITS) > most * 10**6:
            raise Fault(
                f"more than {most:g} megapixels",
                advice=f"Make it smaller, or raise the limit with {MEGAPIXELS_OPTION} or {MEGAPIXELS_VARIABLE} "
                "(a pixel of more than 32 bits counts for more than one).",
            )

    def check_time(self) -> None:
        """Give up on a picture that takes too long.

        Raises:
            Fault: The time is over.
        """
        if time.thread_time() - self._started_s > self._limits.seconds:
            raise Fault(f"more than {self._limits.seconds:g} s of decoding", advice="Save it anew, or remove it.")
