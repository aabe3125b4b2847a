"""What a version's tags say of a winner that other seeds have confirmed: its figures, and the runner-up's.

a study's confirmation, on the validation pictures -> the two compared on the test pictures, too -> tags
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from deepcolor.counting import counted
from deepcolor.registry.gate import compare
from deepcolor.words import plus_minus

ErrorsOf = Callable[[Path], Sequence[float]]
"""From a model folder to the model's error on each test picture."""


@dataclass(frozen=True)
class Evidence:
    """What other seeds said of a version's setting, and of the runner-up's."""

    objective: str
    """What the means are of, such as `val/mse`."""
    seeds: int
    """How many each setting was trained under, the search's own not counted."""
    trial: int
    """The trial of the search that found the setting; the weights may be of another seed."""
    mean: float
    """Of the objective over the seeds."""
    std: float
    """Of one training from that mean (n - 1)."""
    runner_up: int | None = None
    """The trial that found the setting with the second lowest mean; None where no other came through all of its
    seeds.
    """
    runner_up_mean: float | None = None
    runner_up_std: float | None = None
    relative: float | None = None
    """On the test pictures, over all seeds: the difference as a share of the runner-up's MSE; negative where the winner
    is better."""
    low: float | None = None
    """95 % interval of `relative`, from resampling the pictures."""
    high: float | None = None

    @property
    def verdict(self) -> str:
        """Would other pictures have made another winner? In words; what other seeds say, the sweep has told."""
        if self.low is None or self.high is None:
            return "not compared on the test pictures"
        if self.low > 0:
            return "the runner-up is better there, and other pictures would hardly change that"
        return "other pictures would hardly change that" if self.high < 0 else "other pictures could change that"

    def as_dict(self) -> dict[str, object]:
        """The evidence as a JSON object."""
        return {**vars(self), "verdict": self.verdict}

    @property
    def sentence(self) -> str:
        """The whole in one line."""
        spread = plus_minus(self.mean, self.std)
        own = f"Confirmed under {counted(self.seeds, 'other seed')}: {self.objective} {spread}"
        if self.runner_up is None or self.runner_up_mean is None or self.runner_up_std is None:
            return f"{own}; there is no other setting to compare it with."
        other = plus_minus(self.runner_up_mean, self.runner_up_std)
        both = f"{own}, the runner-up (trial {self.runner_up}) {other}"
        if self.relative is None or self.low is None or self.high is None:
            return f"{both}; {self.verdict}."
        span = f"{abs(self.relative):.1%} {'below' if self.relative < 0 else 'above'} the runner-up's error"
        return (
            f"{both}; on the test pictures, over all of these seeds, {span} "
            f"(95 %: {self.low:+.1%} to {self.high:+.1%}): {self.verdict}."
        )

    @property
    def before_the_test(self) -> Evidence:
        """What was known before the trainings were compared on the test pictures."""
        return replace(self, relative=None, low=None, high=None)

    def as_tags(self, prefix: str) -> dict[str, str]:
        """The tags of a version that hold it, with its verdict for a reader."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {f"{prefix}{name}": str(value) for name, value in {**known, "verdict": self.verdict}.items()}


def read_evidence(values: Mapping[str, str]) -> Evidence | None:
    """Return what `as_tags` has written, given without its prefix; None where there is nothing."""
    if "mean" not in values:
        return None
    whole = {"seeds", "trial", "runner_up"}
    known = {field.name: values[field.name] for field in fields(Evidence) if field.name in values}
    objective = known.pop("objective", "")
    numbers = {name: int(text) if name in whole else float(text) for name, text in known.items()}
    return Evidence(objective=objective, **numbers)  # type: ignore[arg-type]  # whole numbers where they are due


def compared(
    evidence: Evidence,
    *,
    winner: Sequence[Path],
    runner_up: Sequence[Path],
    errors_of: ErrorsOf,
) -> Evidence:
    """Compare winner and runner-up on the test split: for each picture, the mean error over a setting's trainings.

    Args:
        evidence: What is known of the two.
        winner: The result folders of all of its trainings, one at least.
        runner_up: The same.
        errors_of: Measures a model on the test split.
    Raises:
        ModelError: A result folder is unusable.
        DataError: The data set has no test split.
    """
    ours, theirs = (_mean_errors([errors_of(folder) for folder in folders]) for folders in (winner, runner_up))
    comparison = compare(ours, theirs)
    low, high = comparison.interval
    return replace(evidence, relative=comparison.relative, low=low, high=high)


def _mean_errors(errors: Sequence[Sequence[float]]) -> list[float]:
    """The mean error on each test picture over a setting's trainings."""
    return [float(value) for value in np.mean(np.asarray(errors, np.float64), axis=0)]
