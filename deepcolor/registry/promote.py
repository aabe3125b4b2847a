"""Promote a trial: measure it and the champion on the test split, register it, move the aliases.

    already registered? -> its version        else -> pack, upload to the trial's run, create the version
    no champion, or better, or forced -> previous <- old champion, champion <- it
    else                              -> candidate <- it

Each step can be done again: a promotion killed in the middle is finished by the next one, without a second version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepcolor.counting import counted
from deepcolor.errors import ModelError
from deepcolor.models.description import read_description
from deepcolor.registry import names
from deepcolor.registry.confirmation import Evidence, measure_evidence
from deepcolor.registry.gate import Comparison, compare
from deepcolor.registry.pull import pull
from deepcolor.registry.registering import Candidate, carry_evidence, register, upload
from deepcolor.registry.versions import (
    ModelVersion,
    asking,
    drop_alias,
    mirror_registry_stages,
    open_registry,
    set_alias,
    versions_of,
    with_alias,
)
from deepcolor.scratch import temporary_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from deepcolor.training.metrics import Measurement

__all__ = ["Candidate", "Promotion", "Verdict", "promote"]

Verdict = Literal["first", "wins", "forced", "already champion", "loses"]


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to."""

    version: ModelVersion
    """As it stands now."""
    verdict: Verdict
    registered: bool
    """A new version was made; False when these weights had one already."""
    test: dict[str, float]
    """Figures on the test split: mse, mse_a, mse_b, psnr_db, ssim, colourfulness, images, baseline_mse."""
    champion_before: ModelVersion | None = None
    comparison: Comparison | None = None
    """With the champion before; None where there was none, or it was this version."""
    warnings: tuple[str, ...] = field(default=())
    """What to know before relying on it."""

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.verdict != "loses"

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        test = f"test MSE {self.test['mse']:.3e}"
        if self.verdict == "already champion":
            return f"{self.version.ref} is the champion already: {test}."
        if self.comparison is None or self.champion_before is None:
            mean = self.test["baseline_mse"]
            return f"{self._outcome}, the first one: {test}; the training mean gives {mean:.3e}."
        return f"{self._outcome}: {test}, {_difference(self.comparison, self.champion_before)}."

    @property
    def _outcome(self) -> str:
        if self.verdict == "forced":
            return f"{self.version.ref} is champion, by force"
        if self.promoted:
            return f"{self.version.ref} is champion"
        return f"{self.version.ref} {'is registered as' if self.registered else 'stays'} candidate"


def promote(
    candidate: Candidate,
    *,
    tracking_uri: str,
    model_code: Path,
    force: bool = False,
    device: str = "auto",
    on_step: Callable[[str], None] | None = None,
) -> Promotion:
    """Test a candidate at the gate, register it, and make it champion if it wins.

    Args:
        candidate: The finished trial.
        tracking_uri: The MLflow store that holds its run, and the registry.
        model_code: The file that MLflow runs to load the registered model (`deepcolor.inference.MODEL_CODE`).
        force: Make it champion even if it loses. Of a version that exists, upload the files again too, which mends one
            whose files were deleted in MLflow.
        device: Where to measure: `auto`, `cpu`, `cuda` or `cuda:N`.
        on_step: Gets a word on each step that takes time.
    Returns:
        The verdict, with the figures it rests on.
    Raises:
        ModelError: The model folder is unusable, or it and the champion cannot be compared (another size in pixels).
        DataError: The data set has no test split.
        TrackingError: The store cannot be reached, or holds no run of this trial.
    """
    say = on_step or (lambda _: None)
    description = read_description(candidate.model_folder)
    client = open_registry(tracking_uri, create=True)
    assert client is not None
    with asking(tracking_uri):
        versions = versions_of(client, candidate.stage)
        champion = with_alias(versions, names.CHAMPION)
        version = next((v for v in versions if v.weights_sha256 == description.weights_sha256), None)
        evidence = _evidence(candidate, version, device=device, say=say)
        if version is not None and champion is not None and version.number == champion.number:
            if force:
                upload(client, candidate, model_code=model_code)
            mirror_registry_stages(client, candidate.stage)
            version = carry_evidence(client, candidate, version, description, evidence)
            return Promotion(version, "already champion", registered=False, test=version.test, champion_before=champion)
        say("measuring on the test split")
        gate = _measure(candidate, champion, force=force, device=device, tracking_uri=tracking_uri)
        registered = version is None
        if version is None:
            say("registering")
            version = register(client, candidate, description, gate.test, evidence=evidence, model_code=model_code)
        elif force:
            upload(client, candidate, model_code=model_code)
        carry_evidence(client, candidate, version, description, evidence)
        verdict = gate.verdict(force=force)
        _move_aliases(client, version, champion, promoted=verdict != "loses")
        now = next(v for v in versions_of(client, candidate.stage) if v.number == version.number)
    return Promotion(
        version=now,
        verdict=verdict,
        registered=registered,
        test=gate.test,
        champion_before=champion,
        comparison=gate.comparison,
        warnings=tuple(_warnings(candidate, champion, gate)),
    )


@dataclass(frozen=True)
class _Gate:
    test: dict[str, float]
    comparison: Comparison | None
    has_champion: bool

    def verdict(self, *, force: bool) -> Verdict:
        if not self.has_champion:
            return "first"
        if self.comparison is not None and self.comparison.wins:
            return "wins"
        return "forced" if force else "loses"


def _measure(
    candidate: Candidate, champion: ModelVersion | None, *, force: bool, device: str, tracking_uri: str
) -> _Gate:
    # Late: torch takes seconds to import, and a version that is champion already is not measured again.
    from deepcolor.training.metrics import baseline_mse, measure

    measured = measure(candidate.model_folder, candidate.cache_folder, split="test", device=device)
    baseline = baseline_mse(candidate.cache_folder, candidate.stage, split="test")
    test = _figures(measured) | {"baseline_mse": baseline}
    if champion is None:
        return _Gate(test, None, has_champion=False)
    with temporary_folder("champion") as folder:
        pulled = pull(champion.ref, folder / "model", tracking_uri=tracking_uri)
        try:
            theirs = measure(pulled, candidate.cache_folder, split="test", device=device)
        except ModelError as error:
            if force:
                return _Gate(test, None, has_champion=True)
            raise ModelError(f"{error} The champion {champion.ref} cannot be compared; --force replaces it.") from error
    return _Gate(test, compare(measured.per_image_mse, theirs.per_image_mse), has_champion=True)


def _evidence(
    candidate: Candidate, version: ModelVersion | None, *, device: str, say: Callable[[str], None]
) -> Evidence | None:
    """What other seeds say, from the version where it carries that already."""
    if candidate.confirmed is None:
        return version.evidence if version else None
    if version is not None and version.evidence is not None and version.evidence.rests_on(candidate.confirmed):
        return version.evidence
    if candidate.confirmed.comparable:
        say("comparing winner and runner-up on the test split")
    return measure_evidence(candidate.confirmed, cache_folder=candidate.cache_folder, device=device)


def _figures(measured: Measurement) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(measured).items() if name != "per_image_mse"}


def _move_aliases(
    client: MlflowClient, version: ModelVersion, champion: ModelVersion | None, *, promoted: bool
) -> None:
    stage = version.stage
    if promoted:
        if champion is not None:
            set_alias(client, stage, names.PREVIOUS, champion.number)
        set_alias(client, stage, names.CHAMPION, version.number)
        if names.CANDIDATE in version.aliases:
            drop_alias(client, stage, names.CANDIDATE)
    else:
        set_alias(client, stage, names.CANDIDATE, version.number)
    mirror_registry_stages(client, stage)


def _warnings(candidate: Candidate, champion: ModelVersion | None, gate: _Gate) -> list[str]:
    found = []
    mse, baseline = gate.test["mse"], gate.test["baseline_mse"]
    if mse >= baseline:
        found.append(f"it is no better than always predicting the training mean ({mse:.3e}, mean {baseline:.3e})")
    if gate.comparison is not None and not gate.comparison.clear:
        found.append(
            f"the difference may be chance: {counted(gate.comparison.images, 'test picture')} cannot tell the two apart"
        )
    if champion is not None and champion.data_digest != candidate.data_digest:
        found.append(f"{champion.ref} was trained on other data, which may hold some of these test pictures")
    return found


def _difference(comparison: Comparison, champion: ModelVersion) -> str:
    side = "below" if comparison.wins else "above"
    low, high = sorted(abs(bound) for bound in comparison.interval)
    span = f" (95 %: {low:.1%} to {high:.1%})" if comparison.clear else ""
    return (
        f"{abs(comparison.relative):.1%} {side} {champion.ref} ({comparison.champion_mse:.3e}){span}, "
        f"better on {comparison.better_on:.0%} of {counted(comparison.images, 'picture')}"
    )
