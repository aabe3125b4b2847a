"""Whether a part of the stack is well: its page answers, and says what it must. A container's health check.

    python answers.py URL [TEXT]

The exit code is 0 where the page answers, and holds the text.
"""

from __future__ import annotations

import sys
import urllib.request

_WITHIN_S = 5.0


def answers(url: str, *, text: str = "") -> bool:
    """Whether a page answers with success, and holds a text."""
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN_S) as answer:  # noqa: S310  # our own addresses
            return text.encode() in answer.read()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1], text="".join(sys.argv[2:])))
