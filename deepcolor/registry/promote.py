"""Promote a trial: measure it and the champion on the test split, register it, move the aliases.

    already registered? -> its version        else -> pack, upload to the trial's run, create the version
    no champion, or better, or forced -> previous <- old champion, champion <- it
    else                              -> candidate <- it

Each step can be done again: a promotion killed in the middle is finished by the next one, without a second version.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepcolor.config.schema import ParamValue, Stage
from deepcolor.errors import ModelError
from deepcolor.models.description import ModelDescription, read_description
from deepcolor.registry import names
from deepcolor.registry.card import version_text
from deepcolor.registry.gate import Comparison, compare
from deepcolor.registry.package import write_package
from deepcolor.registry.pull import pull
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
from deepcolor.tracking import layout, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from deepcolor.training.metrics import Measurement

Verdict = Literal["first", "wins", "forced", "already champion", "loses"]


@dataclass(frozen=True)
class Candidate:
    """A finished trial that asks for promotion."""

    stage: Stage
    model_folder: Path
    """Its result folder: `model.safetensors`, `model.json`."""
    cache_folder: Path
    """The decoded data set it was trained on; its test split is the gate."""
    study: str
    trial: int
    params: dict[str, ParamValue]
    """All settings of its training, searched and fixed."""
    data_digest: str
    parent: str | None = None
    """What its training started from, such as `colorizer@3`."""
    run_id: str | None = None
    """Its MLflow run; None: found by the tags of study and trial."""


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
        return f"{self.version.ref} is champion" if self.promoted else f"{self.version.ref} stays candidate"


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
        if version is not None and champion is not None and version.number == champion.number:
            if force:
                _upload(client, candidate, model_code=model_code)
            mirror_registry_stages(client, candidate.stage)
            return Promotion(version, "already champion", registered=False, test=version.test, champion_before=champion)
        say("measuring on the test split")
        gate = _measure(candidate, champion, force=force, device=device, tracking_uri=tracking_uri)
        registered = version is None
        if version is None:
            say("registering")
            version = _register(client, candidate, description, gate.test, model_code=model_code)
        elif force:
            _upload(client, candidate, model_code=model_code)
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
    with tempfile.TemporaryDirectory(prefix="deepcolor-champion-") as folder:
        pulled = pull(champion.ref, Path(folder) / "model", tracking_uri=tracking_uri)
        try:
            theirs = measure(pulled, candidate.cache_folder, split="test", device=device)
        except ModelError as error:
            if force:
                return _Gate(test, None, has_champion=True)
            raise ModelError(f"{error} The champion {champion.ref} cannot be compared; --force replaces it.") from error
    return _Gate(test, compare(measured.per_image_mse, theirs.per_image_mse), has_champion=True)


def _figures(measured: Measurement) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(measured).items() if name != "per_image_mse"}


def _register(
    client: MlflowClient,
    candidate: Candidate,
    description: ModelDescription,
    test: dict[str, float],
    *,
    model_code: Path,
) -> ModelVersion:
    """Upload the model, then create the version: it never points to half a model."""
    run = _upload(client, candidate, model_code=model_code)
    _ensure_registered_model(client, candidate.stage)
    tags = _tags(candidate, description, test, run_id=run.info.run_id)
    created = client.create_model_version(
        names.registered_name(candidate.stage),
        source=f"{run.info.artifact_uri}/{layout.MODEL_FOLDER}",
        run_id=run.info.run_id,
        tags=tags,
        description=version_text(candidate.stage, description, test, study=candidate.study, trial=candidate.trial),
    )
    _note_on_run(client, run, f"{candidate.stage}@{created.version}", test)
    return next(v for v in versions_of(client, candidate.stage) if v.number == int(created.version))


def _upload(client: MlflowClient, candidate: Candidate, *, model_code: Path) -> Run:
    """Put the MLflow model below the artifacts of the trial's run, over what is there."""
    run = _run_of(client, candidate)
    with tempfile.TemporaryDirectory(prefix="deepcolor-promote-") as temporary:
        folder = Path(temporary) / layout.MODEL_FOLDER
        write_package(folder, model_folder=candidate.model_folder, model_code=model_code, stage=candidate.stage)
        client.log_artifacts(run.info.run_id, str(folder), layout.MODEL_FOLDER)
    return run


def _run_of(client: MlflowClient, candidate: Candidate) -> Run:
    if candidate.run_id is not None:
        return client.get_run(candidate.run_id)
    return store.trial_run(client, stage=candidate.stage, study=candidate.study, number=candidate.trial)


def _ensure_registered_model(client: MlflowClient, stage: Stage) -> None:
    from mlflow.exceptions import MlflowException

    name = names.registered_name(stage)
    try:
        client.create_registered_model(
            name, description=f"deepcolor's {stage}s: see the aliases champion and previous."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tags(
    candidate: Candidate, description: ModelDescription, test: dict[str, float], *, run_id: str
) -> dict[str, str]:
    tags = {
        names.WEIGHTS_SHA256: description.weights_sha256,
        names.DATA_DIGEST: candidate.data_digest,
        names.STUDY: candidate.study,
        names.TRIAL: str(candidate.trial),
        names.RUN: run_id,
        names.SIZE_PX: str(description.size_px),
        names.MODEL: json.dumps(description.model.model_dump(mode="json")),
    }
    if candidate.parent:
        tags[names.PARENT] = candidate.parent
    tags |= {f"{names.PARAM_PREFIX}{name}": layout.param_value(value) for name, value in candidate.params.items()}
    return tags | {f"{names.TEST_PREFIX}{name}": repr(value) for name, value in test.items()}


def _note_on_run(client: MlflowClient, run: Run, ref: str, test: dict[str, float]) -> None:
    """Let the run show what became of it. Its recorded time makes a second telling the same as the first."""
    from mlflow.entities import Metric, RunTag

    time_ms = run.info.end_time or run.info.start_time
    metrics = [Metric(f"test/{name}", value, time_ms, 0) for name, value in test.items() if name != "images"]
    client.log_batch(run.info.run_id, metrics=metrics, tags=[RunTag(layout.REGISTERED_AS, ref)])


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
        found.append(f"the difference may be chance: {gate.comparison.images} test pictures cannot tell the two apart")
    if champion is not None and champion.data_digest != candidate.data_digest:
        found.append(f"{champion.ref} was trained on other data, which may hold some of these test pictures")
    return found


def _difference(comparison: Comparison, champion: ModelVersion) -> str:
    side = "below" if comparison.wins else "above"
    low, high = sorted(abs(bound) for bound in comparison.interval)
    span = f" (95 %: {low:.1%} to {high:.1%})" if comparison.clear else ""
    return (
        f"{abs(comparison.relative):.1%} {side} {champion.ref} ({comparison.champion_mse:.3e}){span}, "
        f"better on {comparison.better_on:.0%} of {comparison.images} pictures"
    )
