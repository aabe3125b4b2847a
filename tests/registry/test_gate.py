from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.registry.gate import compare

errors = st.floats(1e-6, 1.0)
pairs = st.lists(st.tuples(errors, errors), min_size=1, max_size=30)


@given(pairs)
def test_the_lower_mean_wins(pictures: list[tuple[float, float]]) -> None:
    """The verdict is that of the means, and the interval holds the difference's sign where it is clear."""
    candidate, champion = ([pair[i] for pair in pictures] for i in (0, 1))
    result = compare(candidate, champion)
    assert result.wins == (result.candidate_mse < result.other_mse)
    assert 0 <= result.better_on <= 1
    low, high = result.interval
    assert low <= high
    if result.clear:
        assert (result.relative < 0) == result.wins


@given(st.lists(errors, min_size=1, max_size=30))
def test_a_draw_is_no_win(pictures: list[float]) -> None:
    """A model does not displace its equal."""
    result = compare(pictures, pictures)
    assert not result.wins
    assert not result.clear
    assert result.relative == 0


def test_a_difference_on_every_picture_is_clear() -> None:
    """Ten per cent less on each picture shows as such, whatever pictures are drawn."""
    champion = [0.01 * (index + 1) for index in range(20)]
    result = compare([0.9 * value for value in champion], champion)
    assert result.relative == pytest.approx(-0.1)
    assert result.interval == pytest.approx((-0.1, -0.1))
    assert result.clear
    assert result.better_on == 1


def test_a_few_noisy_pictures_do_not_settle_it() -> None:
    """A lead that hangs on one picture is a win, and said to be perhaps chance."""
    result = compare([0.1, 0.1, 0.1, 0.01], [0.09, 0.09, 0.09, 0.08])
    assert result.wins
    assert not result.clear


def test_other_pictures_cannot_be_compared() -> None:
    """Two lists of different length are refused."""
    with pytest.raises(ValueError, match="same pictures"):
        compare([0.1], [0.1, 0.2])
