"""Promote a trial: measure it and the champion on the test split, register it, move the aliases.

    the line: the one asked for, else the one whose champion is of the same data set, else the stage's unnamed one
    the gate: `registry.gate` says whether it may be champion there
    already registered? -> its version        else -> pack, upload to the trial's run, create the version
    it may, or is forced -> previous <- old champion, champion <- it
    else                 -> candidate <- it

What takes long, measuring, is done before the registry is locked; where somebody else has changed the champion
meanwhile, it is done again. Each step can be repeated: a promotion killed in the middle is finished by the next one,
without a second version.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.errors import CorruptFileError, ModelError
from deepcolor.models.description import ModelDescription, read_description
from deepcolor.models.saved import open_saved
from deepcolor.registry import names
from deepcolor.registry.evidence import Evidence, compared
from deepcolor.registry.gate import Comparison, Obstacle, compare, find
from deepcolor.registry.lock import registry_lock
from deepcolor.registry.logged import show
from deepcolor.registry.promotion import Gate, Promotion, Verdict
from deepcolor.registry.pull import pull
from deepcolor.registry.registering import Candidate, carry_evidence, note_data, register, upload
from deepcolor.registry.versions import (
    ModelVersion,
    asking,
    data_of,
    drop_alias,
    lines,
    mirror_registry_stages,
    open_registry,
    set_alias,
    versions_of,
    with_alias,
)
from deepcolor.scratch import temporary_folder
from deepcolor.stages.session import Measured

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Candidate", "Promotion", "Verdict", "promote"]


def promote(
    candidate: Candidate,
    *,
    tracking_uri: str,
    model_code: Path,
    force: bool = False,
    name: str | None = None,
    device: str = "auto",
    on_step: Callable[[str], None] | None = None,
) -> Promotion:
    """Test a candidate at the gate, register it, and make it champion if it may be.

    Args:
        candidate: The finished trial.
        tracking_uri: The MLflow store that holds its run, and the registry.
        model_code: The file that MLflow runs to load the registered model (`deepcolor.inference.MODEL_CODE`).
        force: Make it champion whatever the gate says. Of a version that exists, upload the files again too, which
            mends one whose files were deleted in MLflow.
        name: The line to compete in, such as `fruits` for `colorizer-fruits`; None: that of its data set's champion.
        device: Where to measure: `auto`, `cpu`, `cuda` or `cuda:N`.
        on_step: Gets a word on each step that takes time.
    Returns:
        The verdict, with the figures it rests on.
    Raises:
        ModelError: The model folder or the champion's is unusable, or `name` cannot be a line's.
        DataError: The data set has no test split.
        TrackingError: The store cannot be reached, or holds no run of this trial.
    """
    client = open_registry(tracking_uri, create=True)
    assert client is not None
    work = _Work(candidate, client, model_code=model_code, force=force, device=device, say=on_step or (lambda _: None))
    with asking(tracking_uri):
        line = names.named_line(candidate.label, name) if name is not None else None
        while True:
            standing = work.standing(line)
            findings = work.findings(standing)
            with registry_lock(client, on_wait=work.say):
                if work.standing(line) == standing:
                    return work.settle(standing, findings)
                # Somebody else has promoted meanwhile: what was measured is the answer to another question.


@dataclass(frozen=True)
class _Standing:
    """How a line stands when a candidate comes."""

    line: names.Line
    champion: ModelVersion | None
    version: ModelVersion | None
    """The candidate's own, where its weights have one already."""

    @property
    def is_champion(self) -> bool:
        return self.version is not None and self.version == self.champion


@dataclass(frozen=True)
class _Findings:
    """What was measured of a candidate, for one standing."""

    evidence: Evidence | None
    test: dict[str, float]
    over_mean: Comparison | None = None
    """None where it is champion already, and was not measured again, or where its stage has no baseline."""
    beside_champion: Comparison | Obstacle | None = None


class _Work:
    """One promotion: what it is asked for, and what it has measured so far."""

    def __init__(
        self,
        candidate: Candidate,
        client: MlflowClient,
        *,
        model_code: Path,
        force: bool,
        device: str,
        say: Callable[[str], None],
    ) -> None:
        self.candidate = candidate
        self.client = client
        self.model_code = model_code
        self.force = force
        self.device = device
        self.say = say
        self.description: ModelDescription = read_description(candidate.model_folder)
        self.stage = candidate.stage_class
        self._own: Measured | None = None

    def standing(self, line: names.Line | None) -> _Standing:
        """Look at the registry as it is now."""
        line = line or self._line_of_data()
        versions = versions_of(self.client, line)
        champion = with_alias(versions, names.CHAMPION)
        if champion is not None and champion.data is None:
            champion = replace(champion, data=data_of(self.client, champion))
        version = next((v for v in versions if v.weights_sha256 == self.description.weights_sha256), None)
        if version is not None and champion is not None and version.number == champion.number:
            version = champion
        return _Standing(line, champion, version)

    def _line_of_data(self) -> names.Line:
        """The line whose champion is of the candidate's data set; the unnamed one where there is none."""
        for line in lines(self.client):
            if line.stage == self.candidate.label:
                champion = with_alias(versions_of(self.client, line), names.CHAMPION)
                if champion is not None and self._is_of_same_data(champion):
                    return line
        return names.Line(self.candidate.label)

    def _is_of_same_data(self, champion: ModelVersion) -> bool:
        """One data set: of one name, and not without a picture in common, as another person's of this name would be."""
        if champion.data_digest == self.candidate.data_digest:
            return True
        disjoint = bool(champion.pictures) and champion.pictures.isdisjoint(self.candidate.pictures)
        return data_of(self.client, champion) == self.candidate.data and not disjoint

    def findings(self, standing: _Standing) -> _Findings:
        """Measure what the gate needs to know."""
        evidence = self._evidence(standing.version)
        if standing.is_champion and standing.version is not None:
            return _Findings(evidence, standing.version.test)
        if self._own is None:
            self.say("measuring on the test split")
            self._own = self._measure(self.candidate.model_folder)
        candidate, gate = self.candidate, self.stage.gate_metric
        mean = self.stage.baseline(folder=candidate.data_folder, data=candidate.section, split="test")
        over_mean = compare(self._own.errors, mean) if mean is not None else None
        test = {gate: math.fsum(self._own.errors) / len(self._own.errors), **self._own.metrics}
        if over_mean is not None:
            test[f"baseline_{gate}"] = over_mean.other_mse
        return _Findings(evidence, test, over_mean, self._beside(standing.champion, self._own))

    def _beside(self, champion: ModelVersion | None, own: Measured) -> Comparison | Obstacle | None:
        if champion is None:
            return None
        if not self._is_of_same_data(champion):
            return Obstacle("other data", str(champion.data or "an unknown data set"), self.candidate.data)
        if champion.size_px != self.description.size_px:
            return Obstacle("other size", f"{champion.size_px} px", f"{self.description.size_px} px")
        try:
            with temporary_folder("champion") as folder:
                pulled = pull(champion.ref, folder / "model", tracking_uri=self.client.tracking_uri)
                return compare(own.errors, self._measure(pulled).errors)
        except (ModelError, CorruptFileError) as error:
            if self.force:
                return None
            raise ModelError(f"{error} The champion {champion.ref} cannot be compared; --force replaces it.") from error

    def _measure(self, folder: Path) -> Measured:
        candidate = self.candidate
        ours = (candidate.model_folder, *candidate.trainings, *candidate.runner_up_trainings)
        stage, saved = open_saved(folder, own=folder in ours)
        measured = stage.measure(
            saved,
            folder=candidate.data_folder,
            data=candidate.section,
            split="test",
            device=self.device,
            conditions=candidate.conditions,
        )
        if not measured.errors:
            raise ModelError(
                f"gate: {stage.__name__}.measure must give at least one error on the test split; got none."
            )
        return measured

    def _evidence(self, version: ModelVersion | None) -> Evidence | None:
        """What other seeds say, from the version where it carries that already."""
        candidate = self.candidate
        told, carried = candidate.evidence, version.evidence if version else None
        if told is None:
            return carried
        whole = carried is not None and (carried.relative is not None or not candidate.comparable)
        if carried is not None and whole and carried.before_the_test == told:
            return carried
        if not candidate.comparable:
            return told
        self.say("comparing winner and runner-up on the test split")
        return compared(
            told,
            winner=candidate.trainings,
            runner_up=candidate.runner_up_trainings,
            errors_of=lambda folder: self._measure(folder).errors,
        )

    def settle(self, standing: _Standing, findings: _Findings) -> Promotion:
        """Register the version and move the aliases; the registry is locked, and as `standing` says."""
        client, candidate, version, line = self.client, self.candidate, standing.version, standing.line
        if version is None:
            self.say("registering")
            version = register(
                client,
                candidate,
                line,
                self.description,
                findings.test,
                evidence=findings.evidence,
                model_code=self.model_code,
            )
        elif self.force:
            upload(client, candidate, model_code=self.model_code)
        if standing.champion is not None:
            note_data(client, standing.champion)
        carry_evidence(client, candidate, version, self.description, findings.evidence)
        verdict = self._verdict(standing, findings)
        if verdict == "already champion":
            mirror_registry_stages(client, line)
        else:
            self._move_aliases(version, standing.champion, promoted=verdict in {"first", "wins", "forced"})
        now = next(v for v in versions_of(client, line) if v.number == version.number)
        show(client, now)
        return Promotion(
            version=now,
            data=candidate.data,
            study=candidate.study,
            verdict=verdict,
            registered=standing.version is None,
            test=findings.test,
            champion_before=standing.champion,
            over_mean=findings.over_mean,
            beside_champion=findings.beside_champion,
            other_pictures=self._other_pictures(standing),
            gate=Gate(self.stage.gate_metric, self.stage.items, self.stage.baseline_name),
        )

    def _verdict(self, standing: _Standing, findings: _Findings) -> Verdict:
        if standing.is_champion:
            return "already champion"
        if standing.champion is not None and findings.beside_champion is None:
            return "forced"  # Its champion cannot be read.
        finding = find(over_mean=findings.over_mean, champion=findings.beside_champion)
        return "forced" if self.force and finding not in {"first", "wins"} else finding

    def _move_aliases(self, version: ModelVersion, champion: ModelVersion | None, *, promoted: bool) -> None:
        client, line = self.client, version.line
        if promoted:
            if champion is not None:
                set_alias(client, line, names.PREVIOUS, champion.number)
            set_alias(client, line, names.CHAMPION, version.number)
            if names.CANDIDATE in version.aliases:
                drop_alias(client, line, names.CANDIDATE)
            self._end_candidacy_elsewhere(version)
        else:
            set_alias(client, line, names.CANDIDATE, version.number)
        mirror_registry_stages(client, line)

    def _end_candidacy_elsewhere(self, version: ModelVersion) -> None:
        """What got a name of its own because it could not be compared is no candidate there any more."""
        for line in lines(self.client):
            if line.stage == version.stage and line != version.line:
                candidate = with_alias(versions_of(self.client, line), names.CANDIDATE)
                if candidate is not None and candidate.weights_sha256 == version.weights_sha256:
                    drop_alias(self.client, line, names.CANDIDATE)
                    mirror_registry_stages(self.client, line)

    def _other_pictures(self, standing: _Standing) -> bool:
        """Whether the champion was trained on other pictures of the data set, some of these test pictures perhaps."""
        champion = standing.champion
        return (
            champion is not None
            and (champion.splits or champion.data_digest) not in (self.candidate.splits, self.candidate.data_digest)
            and self._is_of_same_data(champion)
        )
