from __future__ import annotations

import pytest

from deepcolor.counting import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "trial", "0 trials"),
        (1, "trial", "1 trial"),
        (2, "copy", "2 copies"),
        (1, "copy", "1 copy"),
        (3, "day", "3 days"),
        (2, "study", "2 studies"),
        (2, "other seed", "2 other seeds"),
    ],
)
def test_one_is_one_and_all_else_is_many(number: int, noun: str, text: str) -> None:
    """A number has its noun in the singular or the plural, as in speech."""
    assert counted(number, noun) == text
