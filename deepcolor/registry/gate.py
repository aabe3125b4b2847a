"""The gate: may a candidate become champion, by what pictures say that no search has seen? Pure.

no better than predicting the training mean     -> stays candidate
no champion yet                                 -> champion
the champion is of other data, or another size  -> stays candidate: the two cannot be compared
no better than the champion                     -> stays candidate
better, but that may be chance                  -> stays candidate
better                                          -> champion
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

_RESAMPLES = 2000
_LEVEL = 0.95
_FEWEST = 6
"""Pictures below which no difference is clear, however they differ: were the two models equal, one of them would be
better on all of five pictures once in sixteen times, which is more than the 5 % that an interval of 95 % allows."""

Finding = Literal["no better than the mean", "first", "other data", "other size", "loses", "may be chance", "wins"]
"""What the gate has found of a candidate."""


@dataclass(frozen=True)
class Comparison:
    """A candidate beside another model, or the training mean, on the same test pictures. MSE in the normalised units
    (value + 128) / 255.
    """

    candidate_mse: float
    other_mse: float
    images: int
    better_on: float
    """Share of the pictures on which the candidate is better."""
    interval: tuple[float, float]
    """95 % interval of `relative`, from resampling the pictures; one that holds 0 says that it may be chance."""

    @property
    def relative(self) -> float:
        """The difference as a share of the other's MSE; negative where the candidate is better."""
        return _relative(self.candidate_mse, self.other_mse)

    @property
    def wins(self) -> bool:
        """A draw is no win: the champion stays until something better comes. Nor is what is no number."""
        return self.candidate_mse < self.other_mse

    @property
    def clear(self) -> bool:
        """Whether the difference is larger than what the choice of the test pictures explains."""
        low, high = self.interval
        return self.images >= _FEWEST and (high < 0 or low > 0)


@dataclass(frozen=True)
class Obstacle:
    """Why a candidate and the champion cannot be compared."""

    finding: Literal["other data", "other size"]
    champions: str
    """What the champion is of: a data set's name, or a size such as `128 px`."""
    candidates: str


def find(*, over_mean: Comparison | None, champion: Comparison | Obstacle | None) -> Finding:
    """Return what the gate says of a candidate.

    Args:
        over_mean: The candidate beside predicting the training mean, or whatever its stage calls having learnt nothing;
            None where there is no such thing.
        champion: The candidate beside the champion, or why that cannot be; None where there is no champion.
    """
    if over_mean is not None and not over_mean.wins:
        return "no better than the mean"
    if champion is None:
        return "first"
    if isinstance(champion, Obstacle):
        return champion.finding
    if not champion.wins:
        return "loses"
    return "wins" if champion.clear else "may be chance"


def compare(candidate_mse: Sequence[float], other_mse: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two models by their errors on the same pictures.

    Args:
        candidate_mse: MSE of each test picture, normalised units.
        other_mse: The same pictures in the same order.
        seed: Of the resampling.
    Raises:
        ValueError: The two differ in length, or are empty.
    """
    if len(candidate_mse) != len(other_mse) or not candidate_mse:
        raise ValueError(f"the same pictures are needed, at least one; got {len(candidate_mse)}, {len(other_mse)}")
    candidate, other = np.asarray(candidate_mse, np.float64), np.asarray(other_mse, np.float64)
    rows = np.random.default_rng(seed).integers(len(candidate), size=(_RESAMPLES, len(candidate)))
    drawn = [_relative(float(a), float(b)) for a, b in zip(candidate[rows].mean(1), other[rows].mean(1), strict=True)]
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Comparison(
        candidate_mse=float(candidate.mean()),
        other_mse=float(other.mean()),
        images=len(candidate),
        better_on=float((candidate < other).mean()),
        interval=(float(low), float(high)),
    )


def _relative(candidate: float, other: float) -> float:
    if other > 0:
        return candidate / other - 1
    return 0.0 if candidate == other else float("inf")
