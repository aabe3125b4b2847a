"""A winner that other seeds have confirmed: what was seen of it and of the runner-up, and how a version carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from deepcolor.counting import counted
from deepcolor.registry.gate import compare
from deepcolor.training.conditions import ANY, Conditions


@dataclass(frozen=True)
class Contender:
    """One setting, trained under several seeds."""

    trial: int
    """The trial of the search that found it."""
    mean: float
    """Of the objective over the seeds; what the search saw is not among them."""
    std: float
    """Of one training from that mean (n - 1)."""
    folders: tuple[Path, ...]
    """The result folders of its trainings; empty when one of them is gone."""


@dataclass(frozen=True)
class Confirmed:
    """What a study's confirmation has found."""

    objective: str
    """What the means are of, such as `val/mse`."""
    seeds: int
    """How many each setting was trained under."""
    winner: Contender
    runner_up: Contender | None = None
    """None where no other setting came through all of its seeds."""

    @property
    def comparable(self) -> bool:
        """Whether there are two, with the weights of all of their trainings."""
        return self.runner_up is not None and bool(self.winner.folders and self.runner_up.folders)


@dataclass(frozen=True)
class Evidence:
    """What a version's confirmation says, its trainings compared on the test split too."""

    objective: str
    seeds: int
    trial: int
    """The trial of the search that found the setting; the weights may be of another seed."""
    mean: float
    std: float
    runner_up: int | None = None
    """The trial that found the setting with the second lowest mean."""
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
        own = f"Confirmed under {counted(self.seeds, 'other seed')}: {self.objective} {self.mean:.3e} ± {self.std:.1e}"
        if self.runner_up is None or self.runner_up_mean is None or self.runner_up_std is None:
            return f"{own}; there is no other setting to compare it with."
        both = f"{own}, the runner-up (trial {self.runner_up}) {self.runner_up_mean:.3e} ± {self.runner_up_std:.1e}"
        if self.relative is None or self.low is None or self.high is None:
            return f"{both}; {self.verdict}."
        span = f"{abs(self.relative):.1%} {'below' if self.relative < 0 else 'above'} the runner-up's error"
        return (
            f"{both}; on the test pictures, over all of these seeds, {span} "
            f"(95 %: {self.low:+.1%} to {self.high:+.1%}): {self.verdict}."
        )

    def rests_on(self, confirmed: Confirmed) -> bool:
        """Whether it says what this confirmation would say, so that nothing need be measured again."""
        if self.relative is None and confirmed.comparable:
            return False
        return self == evidence_of(confirmed, relative=self.relative, interval=(self.low, self.high))

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


def evidence_of(
    confirmed: Confirmed,
    *,
    relative: float | None = None,
    interval: tuple[float | None, float | None] = (None, None),
) -> Evidence:
    """Put a confirmation and what the test pictures say of it together."""
    winner, runner_up = confirmed.winner, confirmed.runner_up
    return Evidence(
        objective=confirmed.objective,
        seeds=confirmed.seeds,
        trial=winner.trial,
        mean=winner.mean,
        std=winner.std,
        runner_up=runner_up.trial if runner_up else None,
        runner_up_mean=runner_up.mean if runner_up else None,
        runner_up_std=runner_up.std if runner_up else None,
        relative=relative,
        low=interval[0],
        high=interval[1],
    )


def measure_evidence(
    confirmed: Confirmed, *, cache_folder: Path, device: str, conditions: Conditions = ANY
) -> Evidence:
    """Compare winner and runner-up on the test split: for each picture, the mean error over a setting's trainings.

    Args:
        confirmed: The two, with their result folders.
        cache_folder: The decoded data set.
        device: Where to measure: `auto`, `cpu`, `cuda` or `cuda:N`.
        conditions: Those of the trainings.
    Raises:
        ModelError: A result folder is unusable.
        DataError: The data set has no test split.
    """
    runner_up = confirmed.runner_up
    if runner_up is None or not confirmed.comparable:
        return evidence_of(confirmed)
    ours, theirs = (
        _mean_errors(contender, cache_folder=cache_folder, device=device, conditions=conditions)
        for contender in (confirmed.winner, runner_up)
    )
    comparison = compare(ours, theirs)
    return evidence_of(confirmed, relative=comparison.relative, interval=comparison.interval)


def _mean_errors(contender: Contender, *, cache_folder: Path, device: str, conditions: Conditions) -> list[float]:
    """The mean MSE of each test picture over a setting's trainings."""
    # Late: torch takes seconds to import, and evidence that is there already is not measured again.
    from deepcolor.training.metrics import measure

    errors = [
        measure(folder, cache_folder, split="test", device=device, conditions=conditions).per_image_mse
        for folder in contender.folders
    ]
    return [float(value) for value in np.mean(np.asarray(errors, np.float64), axis=0)]
