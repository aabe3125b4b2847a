"""What a promotion came to, and how that reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Literal

from deepcolor.counting import counted
from deepcolor.registry.gate import Comparison, Finding, Obstacle
from deepcolor.registry.versions import ModelVersion
from deepcolor.words import figure_text

Verdict = Finding | Literal["forced", "already champion"]
_PROMOTED = ("first", "wins", "forced", "already champion")


@dataclass(frozen=True)
class Gate:
    """What the gate measures, in words."""

    metric: str = "mse"
    """The figure that decides."""
    items: str = "picture"
    """What it is the mean over."""
    baseline: str = "predicting the training mean"
    """What a model must be better than; empty: nothing."""

    def value(self, test: Mapping[str, float]) -> str:
        """The figure, with its name."""
        name = self.metric.upper() if self.metric == "mse" else self.metric
        return f"test {name} {figure_text(test[self.metric])}"


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to."""

    version: ModelVersion
    """As it stands now."""
    data: str
    """Name of its data set."""
    study: str
    verdict: Verdict
    registered: bool
    """A new version was made; False when these weights had one already."""
    test: dict[str, float]
    """Figures on the test split: mse, mse_a, mse_b, psnr_db, ssim, colourfulness, images, baseline_mse."""
    champion_before: ModelVersion | None = None
    over_mean: Comparison | None = None
    """With predicting the training mean; None where it was champion already, and not measured again."""
    beside_champion: Comparison | Obstacle | None = None
    """With the champion before, or why that cannot be; None where there was none, or it was this version."""
    gate: Gate = Gate()
    other_pictures: bool = False
    """The champion was trained on other pictures of the data set, or on another split of them."""

    def __repr__(self) -> str:
        return f"<promotion: {self.sentence.rstrip('.')}>"

    def _repr_html_(self) -> str:
        evidence = self.version.evidence
        told = [self.sentence, evidence.sentence] if evidence else [self.sentence]
        return "".join(f"<div>{escape(line)}</div>" for line in told)

    def as_dict(self) -> dict[str, object]:
        """The promotion as a JSON object."""
        evidence = self.version.evidence
        return {
            "version": self.version.ref,
            "data": self.data,
            "verdict": self.verdict,
            "promoted": self.promoted,
            "registered": self.registered,
            "test": self.test,
            "champion_before": self.champion_before.ref if self.champion_before else None,
            "relative": self.comparison.relative if self.comparison else None,
            "interval": self.comparison.interval if self.comparison else None,
            "confirmation": evidence.as_dict() if evidence else None,
            "warnings": list(self.warnings),
        }

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.verdict in _PROMOTED

    @property
    def comparison(self) -> Comparison | None:
        """With the champion before; None where there was none, or the two cannot be compared."""
        return self.beside_champion if isinstance(self.beside_champion, Comparison) else None

    @property
    def sentence(self) -> str:
        """The outcome in a line."""
        ref = self.version.ref
        if self.verdict == "already champion":
            return f"{ref} is the champion already: {self._test}, {self._beside_mean}."
        if self.verdict == "first":
            return f"{ref} is champion, the first one: {self._test}, {self._beside_mean}."
        if self.verdict == "wins":
            return f"{ref} is champion: {self._test}, {self._difference}."
        if self.verdict == "forced":
            return f"{ref} was forced to champion: {self._reason}."
        state = "is registered as candidate" if self.registered else "stays candidate"
        return f"{ref} {state}: {self._reason}. {self._advice}"

    @property
    def why(self) -> str:
        """Why it is no champion, in a few words; empty where it is one."""
        return "" if self.promoted else self._reason

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before relying on the outcome."""
        found = []
        mse, mean = self._figures
        if self.verdict == "already champion" and mean is not None and not mse < mean:
            found.append(f"it is no better than {self.gate.baseline} ({figure_text(mse)}, mean {figure_text(mean)})")
        if self.promoted and self.over_mean is not None and self.over_mean.wins and not self.over_mean.clear:
            found.append(
                f"that it is better than {self.gate.baseline} may be chance: {self._cannot_tell(self.over_mean)}"
            )
        if self.other_pictures and self.champion_before is not None:
            found.append(
                f"{self.champion_before.ref} was trained on other pictures or another split of {self.data}, "
                f"and may know some of these test {self.gate.items}s"
            )
        return tuple(found)

    @property
    def _test(self) -> str:
        return self.gate.value(self.test)

    @property
    def _figures(self) -> tuple[float, float | None]:
        """Of the version, and of what it must be better than."""
        return self.test[self.gate.metric], self.test.get(f"baseline_{self.gate.metric}")

    @property
    def _beside_mean(self) -> str:
        mse, mean = self._figures
        if mean is None:
            return "with nothing to compare it with"
        if not mse < mean:
            return f"no better than {self.gate.baseline} ({figure_text(mean)})"
        return f"{1 - mse / mean:.1%} below {self.gate.baseline} ({figure_text(mean)})"

    @property
    def _difference(self) -> str:
        """How it compares with the champion before, in words."""
        comparison, champion = self.comparison, self.champion_before
        if comparison is None or champion is None:
            return self._beside_mean
        side = "below" if comparison.wins else "above"
        low, high = sorted(abs(bound) for bound in comparison.interval)
        span = f"; 95 %: {low:.1%} to {high:.1%}" if comparison.clear else ""
        return (
            f"{abs(comparison.relative):.1%} {side} {champion.ref} ({figure_text(comparison.other_mse)}{span}), "
            f"better on {comparison.better_on:.0%} of {counted(comparison.images, self.gate.items)}"
        )

    @property
    def _reason(self) -> str:
        """Why the gate alone would not have made it champion."""
        champion, beside = self.champion_before, self.beside_champion
        mse, mean = self._figures
        if mean is not None and not mse < mean:
            return f"{self._test}, {self._beside_mean}"
        if champion is not None and isinstance(beside, Obstacle):
            return f"{self._test}, {self._beside_mean}; {_obstacle(beside, champion.ref)}"
        if beside is not None and not isinstance(beside, Obstacle) and beside.wins and not beside.clear:
            return f"{self._test}, {self._difference}, but that may be chance: {self._cannot_tell(beside)}"
        return f"{self._test}, {self._difference}"

    @property
    def _advice(self) -> str:
        champion, beside = self.champion_before, self.beside_champion
        if champion is None or not isinstance(beside, Obstacle) or self.verdict == "no better than the mean":
            return "--force makes it champion all the same."
        name = beside.candidates.replace(" ", "")
        return (
            f"For a champion of its own: deepcolor promote {self.study} --as {name}; "
            f"to replace {champion.ref}: --force."
        )

    def _cannot_tell(self, comparison: Comparison) -> str:
        low, high = comparison.interval
        verb, items = "is" if comparison.images == 1 else "are", counted(comparison.images, f"test {self.gate.items}")
        return f"{items} {verb} too few to tell (95 %: {low:+.1%} to {high:+.1%})"


def _obstacle(beside: Obstacle, champion: str) -> str:
    if beside.finding == "other size":
        return f"it works at {beside.candidates} and the champion {champion} at {beside.champions}: no comparison"
    if beside.champions == beside.candidates:
        return f"the champion {champion} is of another data set called {beside.champions}, without a picture in common"
    return f"the champion {champion} is of another data set ({beside.champions}, this is {beside.candidates})"
