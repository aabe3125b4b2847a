"""The versions of the registered models: list them, find one, move the aliases, go back to the previous champion.

Aliases are the truth; MLflow's old registry stages mirror them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from deepcolor.config.schema import STAGES, ModelConfig, Stage
from deepcolor.config.stored import read_stored
from deepcolor.errors import ModelError, TrackingError
from deepcolor.printable import shown_uri
from deepcolor.registry import names
from deepcolor.registry.confirmation import Evidence, read_evidence
from deepcolor.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion

_PAGE = 200


@dataclass(frozen=True)
class ModelVersion:
    """One version of a stage's registered model."""

    stage: Stage
    number: int
    aliases: tuple[str, ...]
    registry_stage: str
    """`Production`, `Staging`, `Archived` or `None`: the mirror of the aliases."""
    created_ms: int
    run_id: str | None
    """The MLflow run of the trial it was promoted from."""
    study: str | None
    trial: int | None
    weights_sha256: str
    data_digest: str
    """Of the data it was trained and tested on."""
    parent: str | None
    """What its training started from, such as `colorizer@3`."""
    size_px: int
    model: ModelConfig
    """The network's form."""
    params: dict[str, str] = field(default_factory=dict)
    """All settings of its training, as written in MLflow."""
    test: dict[str, float] = field(default_factory=dict)
    """Figures on the test split: mse, mse_a, mse_b, psnr_db, ssim, colourfulness, images, baseline_mse."""
    evidence: Evidence | None = None
    """What other seeds said of its setting; None where they were not asked."""

    @property
    def ref(self) -> str:
        """The reference that always means this version: `colorizer@3`."""
        return f"{self.stage}@{self.number}"


@dataclass(frozen=True)
class Rollback:
    """What a rollback did."""

    champion: ModelVersion
    """The champion now."""
    replaced: ModelVersion
    """The champion before; now `previous`, so that a second rollback undoes the first."""


def list_versions(tracking_uri: str, *, stage: Stage | None = None) -> list[ModelVersion]:
    """Return all versions, stage by stage, the newest first; empty when nothing was ever promoted.

    Raises:
        TrackingError: The store cannot be read.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        return []
    with asking(tracking_uri):
        return [version for each in ([stage] if stage else STAGES) for version in versions_of(client, each)]


def resolve(ref: str, *, tracking_uri: str, registry_stage: str | None = None) -> ModelVersion:
    """Return the version that a reference stands for now.

    Args:
        ref: `colorizer@champion`, `colorizer@3`, or MLflow's `models:/deepcolor-colorizer@champion`.
        tracking_uri: The MLflow store.
        registry_stage: `Production`, `Staging` or `Archived`; then `ref` is the stage alone.
    Raises:
        ModelError: The reference cannot be read, or there is no such version; the message lists what there is.
        TrackingError: The store cannot be read.
    """
    parsed = names.parse_ref(ref, registry_stage=registry_stage)
    versions = list_versions(tracking_uri, stage=parsed.stage)
    for version in versions:
        if (
            version.number == parsed.number
            or parsed.alias in version.aliases
            or (parsed.registry_stage is not None and version.registry_stage == parsed.registry_stage)
        ):
            return version
    raise _missing(parsed, versions, tracking_uri)


def rollback(stage: Stage, *, tracking_uri: str) -> Rollback:
    """Make the previous champion the champion again; the present one becomes `previous`.

    Raises:
        ModelError: There is no champion, or none before it.
        TrackingError: The store cannot be written to.
    """
    client = open_registry(tracking_uri, create=False)
    versions = list_versions(tracking_uri, stage=stage)
    champion, previous = (with_alias(versions, alias) for alias in (names.CHAMPION, names.PREVIOUS))
    if client is None or champion is None or previous is None or previous.number == champion.number:
        have = champion.ref if champion else "no champion"
        raise ModelError(
            f"rollback: {stage} must have a champion and one before it; got {have} and nothing before it "
            f"({shown_uri(tracking_uri)}). See `deepcolor models`."
        )
    with asking(tracking_uri):
        set_alias(client, stage, names.CHAMPION, previous.number)
        set_alias(client, stage, names.PREVIOUS, champion.number)
        mirror_registry_stages(client, stage)
        now = {version.number: version for version in versions_of(client, stage)}
    return Rollback(champion=now[previous.number], replaced=now[champion.number])


def versions_of(client: MlflowClient, stage: Stage) -> list[ModelVersion]:
    """Return the versions of one stage, the newest first."""
    name = names.registered_name(stage)
    found: list[MlflowModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    aliases: dict[str, Any] = client.get_registered_model(name).aliases if found else {}
    versions = [_version(stage, version, aliases) for version in found]
    return sorted(versions, key=lambda version: -version.number)


def with_alias(versions: Sequence[ModelVersion], alias: str) -> ModelVersion | None:
    """Return the version that has an alias, if one has."""
    return next((version for version in versions if alias in version.aliases), None)


def set_alias(client: MlflowClient, stage: Stage, alias: str, number: int) -> None:
    """Give an alias to a version; whoever had it before loses it."""
    client.set_registered_model_alias(names.registered_name(stage), alias, str(number))


def drop_alias(client: MlflowClient, stage: Stage, alias: str) -> None:
    """Take an alias away; nothing happens when nobody has it."""
    client.delete_registered_model_alias(names.registered_name(stage), alias)


def mirror_registry_stages(client: MlflowClient, stage: Stage) -> None:
    """Bring MLflow's old registry stages to what the aliases say: `models:/deepcolor-colorizer/Production` resolves."""
    for version in versions_of(client, stage):
        alias = next((alias for alias in names.ALIASES if alias in version.aliases), None)
        wanted = names.REGISTRY_STAGES[alias] if alias else names.NO_REGISTRY_STAGE
        if version.registry_stage != wanted:
            with warnings.catch_warnings():
                # MLflow says at every call that registry stages are on their way out; some still use them.
                warnings.simplefilter("ignore", FutureWarning)
                client.transition_model_version_stage(
                    names.registered_name(stage), str(version.number), wanted, archive_existing_versions=False
                )


def open_registry(tracking_uri: str, *, create: bool) -> MlflowClient | None:
    """Open the store; None when it is an SQLite file that is not there and must not be made by a mere look."""
    database = store.sqlite_file(tracking_uri)
    if not create and database is not None and not database.exists():
        return None
    return store.open_client(tracking_uri)


@contextmanager
def asking(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow raises into the line the user sees."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingError(
            f"MLflow: the registry must answer; got {store.first_line(error)} ({shown_uri(tracking_uri)}). "
            "Check --tracking-uri, and that the server runs."
        ) from error


def _version(stage: Stage, version: MlflowModelVersion, aliases: dict[str, Any]) -> ModelVersion:
    tags: dict[str, str] = dict(version.tags)
    number = int(version.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        registry_stage = str(version.current_stage or names.NO_REGISTRY_STAGE)
    return ModelVersion(
        stage=stage,
        number=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if int(target) == number)),
        registry_stage=registry_stage,
        created_ms=int(version.creation_timestamp or 0),
        run_id=version.run_id or tags.get(names.RUN),
        study=tags.get(names.STUDY),
        trial=int(tags[names.TRIAL]) if names.TRIAL in tags else None,
        weights_sha256=tags.get(names.WEIGHTS_SHA256, ""),
        data_digest=tags.get(names.DATA_DIGEST, ""),
        parent=tags.get(names.PARENT),
        size_px=int(tags.get(names.SIZE_PX, 128)),
        model=read_stored(ModelConfig, json.loads(tags.get(names.MODEL, "{}"))).value,
        params=_under(tags, names.PARAM_PREFIX),
        test={name: float(value) for name, value in _under(tags, names.TEST_PREFIX).items()},
        evidence=read_evidence(_under(tags, names.CONFIRMED_PREFIX)),
    )


def _under(tags: dict[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def _missing(ref: names.Ref, versions: Sequence[ModelVersion], tracking_uri: str) -> ModelError:
    where = shown_uri(tracking_uri)
    if not versions:
        return ModelError(
            f"model: {ref} must exist; got no version of {names.registered_name(ref.stage)} ({where}). "
            "Promote a trial first: deepcolor promote STUDY."
        )
    known = [f"{v.ref}{' (' + ', '.join(v.aliases) + ')' if v.aliases else ''}" for v in versions]
    choices = [str(v.number) for v in versions] + [alias for v in versions for alias in v.aliases]
    asked = str(ref.number if ref.number is not None else ref.alias or "")
    near = get_close_matches(asked, choices, n=1, cutoff=0.5)
    hint = f"Did you mean {ref.stage}@{near[0]}?" if near else "Choose one of these."
    return ModelError(f"model: {ref} must exist; got {', '.join(known)} ({where}). {hint}")
