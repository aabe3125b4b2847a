"""How many of something, in words: the one place that knows when a noun takes its plural."""

from __future__ import annotations

import re

_TO_IES = re.compile(r"[^aeiou]y$")


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: 1 trial, 2 trials, 0 copies.

    Args:
        number: At least 0.
        noun: In the singular; of several words the last one is the noun ("other seed").
    """
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return a noun's plural."""
    return f"{noun[:-1]}ies" if _TO_IES.search(noun) else f"{noun}s"
