"""Make a version of a candidate: pack it, upload it to its trial's run, and write on the version what is known of it.

Each step can be done again: what was done before is found, or done over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.config.schema import ParamValue
from deepcolor.data.cache.index import read_index
from deepcolor.data.identity import pictures_sketch, splits_digest
from deepcolor.data.splits import SplitName
from deepcolor.models.description import ModelDescription
from deepcolor.registry import names
from deepcolor.registry.card import version_text
from deepcolor.registry.evidence import Evidence
from deepcolor.registry.package import write_package
from deepcolor.registry.versions import ModelVersion, versions_of
from deepcolor.scratch import temporary_folder
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import SHIPPED, label_of, stage_of
from deepcolor.stages.sections import DataSection
from deepcolor.tracking import layout, store
from deepcolor.training.conditions import ANY, Conditions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Candidate:
    """A finished trial that asks for promotion."""

    stage: str
    """As its sweep names it."""
    model_folder: Path
    """Its result folder: `model.safetensors`, `model.json`."""
    data_folder: Path
    """The data it was trained on (`Job.folder`); its test split is the gate."""
    study: str
    """The name of its study."""
    trial: int
    params: dict[str, ParamValue]
    """All settings of its training, searched and fixed."""
    data: str
    """Name of its data set."""
    data_digest: str
    parent: str | None = None
    """What its training started from, such as `colorizer@3`."""
    run_id: str | None = None
    """Its MLflow run; None: found by its tags."""
    evidence: Evidence | None = None
    """What other seeds said of its setting, where they were asked; nothing of the test pictures yet."""
    trainings: tuple[Path, ...] = ()
    """The result folders of its setting's trainings under those seeds; empty when one of them is gone."""
    runner_up_trainings: tuple[Path, ...] = ()
    """Those of the runner-up's."""
    conditions: Conditions = ANY
    """How torch computed in its training; it is measured in the same way."""
    section: DataSection = field(default_factory=DataSection)
    """What its sweep says of the data."""
    code: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by place of the code that its sweep names."""
    study_id: str | None = None
    """`layout.study_id` of its study, by which its run is found; None: by the study's name."""

    @cached_property
    def stage_class(self) -> type[Stage]:
        """Its stage."""
        return stage_of(self.stage, self.code)

    @property
    def label(self) -> str:
        """What its stage is called in names."""
        return label_of(self.stage)

    @property
    def comparable(self) -> bool:
        """Whether its setting can be compared with the runner-up's on the test pictures."""
        return bool(self.trainings and self.runner_up_trainings)

    @cached_property
    def pictures(self) -> frozenset[str]:
        """Some of its data set's pictures, which tell it from another of the same name."""
        return pictures_sketch(sha256 for split in self._sha256s.values() for sha256 in split)

    @cached_property
    def splits(self) -> str:
        """A digest of its data set's pictures and their splits, whatever their size and augmentation."""
        return splits_digest(self._sha256s) if self._sha256s else self.data_digest

    @cached_property
    def _sha256s(self) -> Mapping[SplitName, tuple[str, ...]]:
        return read_index(self.data_folder).sha256s if self.stage_class.pictures else {}


def register(
    client: MlflowClient,
    candidate: Candidate,
    line: names.Line,
    description: ModelDescription,
    test: dict[str, float],
    *,
    evidence: Evidence | None,
    model_code: Path,
) -> ModelVersion:
    """Upload the model, then create the version: it never points to half a model."""
    run = upload(client, candidate, model_code=model_code)
    _ensure_registered_model(client, line, candidate.data)
    tags = _tags(candidate, description, test, run_id=run.info.run_id)
    tags |= evidence.as_tags(names.CONFIRMED_PREFIX) if evidence else {}
    created = client.create_model_version(
        line.registered_name,
        source=f"{run.info.artifact_uri}/{layout.MODEL_FOLDER}",
        run_id=run.info.run_id,
        tags=tags,
        description=_text(candidate, description, test, evidence),
    )
    _note_on_run(client, run, f"{line}@{created.version}", test)
    return next(v for v in versions_of(client, line) if v.number == int(created.version))


def upload(client: MlflowClient, candidate: Candidate, *, model_code: Path) -> Run:
    """Put the MLflow model below the artifacts of the trial's run, over what is there."""
    run = _run_of(client, candidate)
    with temporary_folder("promote") as temporary:
        folder = temporary / layout.MODEL_FOLDER
        write_package(folder, model_folder=candidate.model_folder, model_code=model_code, stage=candidate.stage_class)
        client.log_artifacts(run.info.run_id, str(folder), layout.MODEL_FOLDER)
    return run


def carry_evidence(
    client: MlflowClient,
    candidate: Candidate,
    version: ModelVersion,
    description: ModelDescription,
    evidence: Evidence | None,
) -> ModelVersion:
    """Let a version that was there before carry what other seeds say."""
    if evidence is None or version.evidence == evidence:
        return version
    name, number = version.line.registered_name, str(version.number)
    before = version.evidence.as_tags(names.CONFIRMED_PREFIX) if version.evidence else {}
    now = evidence.as_tags(names.CONFIRMED_PREFIX)
    for key, value in now.items():
        client.set_model_version_tag(name, number, key, value)
    for key in before.keys() - now.keys():
        client.delete_model_version_tag(name, number, key)
    text = _text(candidate, description, version.test, evidence)
    client.update_model_version(name, number, description=text)
    return replace(version, evidence=evidence)


def note_data(client: MlflowClient, version: ModelVersion) -> None:
    """Let a version of a time when versions did not name their data set do so from now on."""
    if version.data is not None and not version.pictures:
        client.set_model_version_tag(version.line.registered_name, str(version.number), names.DATA, version.data)


def _run_of(client: MlflowClient, candidate: Candidate) -> Run:
    if candidate.run_id is not None:
        return client.get_run(candidate.run_id)
    return store.trial_run(
        client, stage=candidate.label, study=candidate.study, number=candidate.trial, study_id=candidate.study_id
    )


def _ensure_registered_model(client: MlflowClient, line: names.Line, data: str) -> None:
    from mlflow.exceptions import MlflowException

    of = f" of {data}" if line.name else ""
    about = f"deepcolor's {line.stage}s{of}: see the aliases champion and previous."
    try:
        client.create_registered_model(line.registered_name, tags={names.STAGE: line.stage}, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tags(
    candidate: Candidate, description: ModelDescription, test: dict[str, float], *, run_id: str
) -> dict[str, str]:
    tags = {
        names.WEIGHTS_SHA256: description.weights_sha256,
        names.DATA: candidate.data,
        names.DATA_DIGEST: candidate.data_digest,
        names.SPLITS: candidate.splits,
        names.PICTURES: " ".join(sorted(candidate.pictures)),
        names.STUDY: candidate.study,
        names.TRIAL: str(candidate.trial),
        names.RUN: run_id,
        names.MODEL: json.dumps(description.model.identity()),
    }
    if description.size_px is not None:
        tags[names.SIZE_PX] = str(description.size_px)
    if candidate.stage not in SHIPPED:
        colours = candidate.stage_class.colours_pixels
        tags |= {names.STAGE: candidate.stage, names.COLOURS: str(colours).lower()}
        stage = candidate.stage_class
        tags |= {names.ABOUT: stage.about, names.USE: "\n".join(stage.use), names.UNITS: stage.units}
    if description.code:
        tags[names.CODE] = json.dumps(dict(description.code))
    if candidate.parent:
        tags[names.PARENT] = candidate.parent
    tags |= {f"{names.PARAM_PREFIX}{name}": layout.param_value(value) for name, value in candidate.params.items()}
    return tags | {f"{names.TEST_PREFIX}{name}": repr(value) for name, value in test.items()}


def _note_on_run(client: MlflowClient, run: Run, ref: str, test: dict[str, float]) -> None:
    """Let the run show what became of it. Its recorded time makes a second telling the same as the first."""
    from mlflow.entities import Metric, RunTag

    time_ms = run.info.end_time or run.info.start_time
    metrics = [Metric(f"test/{name}", value, time_ms, 0) for name, value in test.items() if name != "images"]
    before = run.data.tags.get(layout.REGISTERED_AS, "").split(", ")
    refs = ", ".join(dict.fromkeys(each for each in (*before, ref) if each))  # One trial may compete in two lines.
    client.log_batch(run.info.run_id, metrics=metrics, tags=[RunTag(layout.REGISTERED_AS, refs)])


def _text(
    candidate: Candidate, description: ModelDescription, test: dict[str, float], evidence: Evidence | None
) -> str:
    return version_text(
        candidate.stage_class, description, test, study=candidate.study, trial=candidate.trial, evidence=evidence
    )
