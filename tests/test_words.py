"""How figures read."""

from __future__ import annotations

import math

import pytest

from deepcolor.words import plus_minus, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.95, "0.95"),
        (0.123456, "0.1235"),
        (0.001, "0.001"),
        (0.00061, "6.100e-04"),
        (0.0, "0"),
        (-1.5, "-1.5"),
        (1234.56, "1,235"),
        (43210.9, "43,211"),
        (1.23456e9, "1.235e+09"),
        (math.inf, "diverged"),
        (None, "-"),
    ],
)
def test_a_value_is_written_as_a_person_would(value: float | None, text: str) -> None:
    """Plain from 0.001 to a thousand million, with four digits or whole; with an exponent beyond."""
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (0.95, 0.0123, "0.95 ± 0.012"),
        (0.95, 0.0, "0.95 ± 0"),
        (6.1e-4, 2e-5, "6.100e-04 ± 2.0e-05"),
        (0.002, 0.0002, "0.002 ± 0.0002"),
        (0.95, math.nan, "0.95"),
    ],
)
def test_a_deviation_is_written_like_its_mean(mean: float, std: float, text: str) -> None:
    """Plain beside a plain mean, with two digits; nothing where one training has no deviation."""
    assert plus_minus(mean, std) == text
