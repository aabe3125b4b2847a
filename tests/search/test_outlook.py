from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.search.rules.outlook import outlook

_LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


@given(st.floats(-5, 5), st.floats(0, 5), st.integers(1, 20))
def test_a_line_over_the_logarithm_of_the_epochs_is_continued(start: float, slope: float, half: int) -> None:
    """A curve that loses the same with every doubling is foretold as it is."""
    curve = [start - slope * math.log(epoch) for epoch in range(1, 101)]
    known = curve[: 2 * half]
    assert outlook(known, value=known[-1], at=100) == pytest.approx(curve[-1], abs=1e-9)


@given(_LOSSES, st.integers(1, 100))
def test_it_is_never_worse_than_the_value(losses: list[float], end: int) -> None:
    """A curve is heading for its value or better, and for its value alone where no more epochs come."""
    found = outlook(losses, value=losses[-1], at=end)
    assert found <= losses[-1]
    if end <= len(losses) or len(losses) == 1:
        assert found == losses[-1]


@pytest.mark.parametrize("losses", [[1.0, math.inf], [math.inf, 1.0], [2.0, 1.0, math.inf]])
def test_what_diverged_has_no_outlook(losses: list[float]) -> None:
    """A curve with a value that is no number is worth what it is."""
    assert outlook(losses, value=losses[-1], at=9) == losses[-1]
