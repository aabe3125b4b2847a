from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.data.splits import SPLIT_NAMES, split_groups
from deepcolor.errors import DataError

group_sizes = st.lists(st.integers(1, 12), min_size=3, max_size=60)
shares = st.tuples(st.integers(1, 20), st.integers(1, 10), st.integers(1, 10)).map(
    lambda parts: (parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts))
)


def members_of(sizes: list[int]) -> dict[int, list[str]]:
    names = iter(range(sum(sizes)))
    return {
        group: [hashlib.sha256(str(next(names)).encode()).hexdigest() for _ in range(size)]
        for group, size in enumerate(sizes)
    }


@given(group_sizes, shares, st.integers(0, 5))
def test_splits_come_as_near_as_whole_groups_allow(
    sizes: list[int], fractions: tuple[float, float, float], seed: int
) -> None:
    """Every group is in one split, none of the splits is empty, and each is off by two groups at most."""
    members = members_of(sizes)
    given_to = split_groups(members, fractions=fractions, seed=seed)
    assert given_to.keys() == members.keys()
    counts = Counter(dict.fromkeys(SPLIT_NAMES, 0))
    for group, name in given_to.items():
        counts[name] += len(members[group])
    assert min(counts.values()) > 0
    for name, fraction in zip(SPLIT_NAMES, fractions, strict=True):
        assert abs(counts[name] - fraction * sum(sizes)) <= 2 * max(sizes)


@given(group_sizes, st.randoms(use_true_random=False))
def test_the_order_of_groups_and_their_numbers_do_not_matter(sizes: list[int], random: object) -> None:
    """Contents and seed alone decide: renumbered and reordered groups fall into the same splits."""
    members = members_of(sizes)
    numbers = list(members)
    random.shuffle(numbers)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    renamed = {1000 + number: list(reversed(members[number])) for number in numbers}
    before = split_groups(members, fractions=(0.8, 0.1, 0.1), seed=3)
    after = split_groups(renamed, fractions=(0.8, 0.1, 0.1), seed=3)
    assert {number - 1000: name for number, name in after.items()} == before


def test_another_seed_gives_another_split() -> None:
    """The seed decides which pictures are tested on."""
    members = members_of([1] * 100)
    first, second = (split_groups(members, fractions=(0.8, 0.1, 0.1), seed=seed) for seed in (0, 1))
    assert first != second
    assert Counter(first.values()) == Counter(second.values()) == {"train": 80, "val": 10, "test": 10}


def test_a_few_more_pictures_move_few_of_the_others() -> None:
    """Growing a data set does not shuffle it anew."""
    before = split_groups(members_of([1] * 200), fractions=(0.8, 0.1, 0.1), seed=0)
    after = split_groups(members_of([1] * 205), fractions=(0.8, 0.1, 0.1), seed=0)
    assert sum(before[group] != after[group] for group in before) <= 10


@pytest.mark.parametrize("fractions", [(0.9, 0.1, 0.0), (0.5, 0.3, 0.3), (1.2, -0.1, -0.1)])
def test_impossible_fractions_are_refused(fractions: tuple[float, float, float]) -> None:
    """Each split needs its share, and the shares make a whole."""
    with pytest.raises(DataError, match="split: must be three shares"):
        split_groups(members_of([1] * 9), fractions=fractions, seed=0)


def test_three_splits_need_three_different_photos() -> None:
    """Copies of two photos cannot be shared out among three splits."""
    with pytest.raises(DataError, match="got 2"):
        split_groups(members_of([5, 5]), fractions=(0.8, 0.1, 0.1), seed=0)
