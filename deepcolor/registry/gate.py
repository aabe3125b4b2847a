"""The gate: is a candidate better than the champion, on pictures that no search has seen? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the champion on the same test pictures. MSE in the normalised units (value + 128) / 255."""

    candidate_mse: float
    champion_mse: float
    images: int
    better_on: float
    """Share of the pictures on which the candidate is better."""
    interval: tuple[float, float]
    """95 % interval of `relative`, from resampling the pictures; one that holds 0 says that it may be chance."""

    @property
    def relative(self) -> float:
        """The difference as a share of the champion's MSE; negative where the candidate is better."""
        return _relative(self.candidate_mse, self.champion_mse)

    @property
    def wins(self) -> bool:
        """A draw is no win: the champion stays until something better comes."""
        return self.candidate_mse < self.champion_mse

    @property
    def clear(self) -> bool:
        """Whether the difference is larger than what the choice of the test pictures explains."""
        low, high = self.interval
        return high < 0 or low > 0


def compare(candidate_mse: Sequence[float], champion_mse: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two models by their errors on the same pictures.

    Args:
        candidate_mse: MSE of each test picture, normalised units.
        champion_mse: The same pictures in the same order.
        seed: Of the resampling.
    Raises:
        ValueError: The two differ in length, or are empty.
    """
    if len(candidate_mse) != len(champion_mse) or not candidate_mse:
        raise ValueError(f"the same pictures are needed, at least one; got {len(candidate_mse)}, {len(champion_mse)}")
    candidate, champion = np.asarray(candidate_mse, np.float64), np.asarray(champion_mse, np.float64)
    rows = np.random.default_rng(seed).integers(len(candidate), size=(_RESAMPLES, len(candidate)))
    drawn = [
        _relative(float(a), float(b)) for a, b in zip(candidate[rows].mean(1), champion[rows].mean(1), strict=True)
    ]
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Comparison(
        candidate_mse=float(candidate.mean()),
        champion_mse=float(champion.mean()),
        images=len(candidate),
        better_on=float((candidate < champion).mean()),
        interval=(float(low), float(high)),
    )


def _relative(candidate: float, champion: float) -> float:
    if champion > 0:
        return candidate / champion - 1
    return 0.0 if candidate == champion else float("inf")
