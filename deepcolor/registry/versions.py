"""The versions of the registered models: list them, find one, move the aliases, go back to the previous champion.

Aliases are the truth; MLflow's old registry stages mirror them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from deepcolor.config.stored import read_stored
from deepcolor.errors import ModelError, TrackingError
from deepcolor.printable import shown_uri, tracking_option
from deepcolor.registry import names
from deepcolor.registry.evidence import Evidence, read_evidence
from deepcolor.registry.lock import registry_lock
from deepcolor.sqlite import sqlite_file
from deepcolor.stages.finding import SHIPPED, stage_of
from deepcolor.stages.sections import ModelSection, UnknownModel
from deepcolor.tracking import layout, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
    from mlflow.entities.model_registry import RegisteredModel

_PAGE = 200
_BASELINE = "baseline_"


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    line: names.Line
    """Where it competes: `colorizer`, or `colorizer-fruits` where that has a name of its own."""
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
    data: str | None
    """Name of the data set it was trained and tested on; None where nothing says so."""
    data_digest: str
    """Of the same, in its form: pictures, split, size, augmentation."""
    splits: str
    """Of its pictures and their splits alone; empty where nothing says so."""
    pictures: frozenset[str]
    """Some of its pictures (`data.identity.pictures_sketch`); empty where nothing says so."""
    parent: str | None
    """What its training started from, such as `colorizer@3`."""
    size_px: int | None
    """None for a stage that has no pictures."""
    model: ModelSection
    """The network's form."""
    params: dict[str, str] = field(default_factory=dict)
    """All settings of its training, as written in MLflow."""
    test: dict[str, float] = field(default_factory=dict)
    """Figures on the test split: mse, mse_a, mse_b, psnr_db, ssim, colourfulness, images, baseline_mse."""
    evidence: Evidence | None = None
    """What other seeds said of its setting; None where they were not asked."""
    code: dict[str, str] = field(default_factory=dict)
    """SHA-256 by place of the code that it brings."""
    colours: bool = False
    """Whether it colours pictures."""
    about: str = ""
    use: str = ""
    units: str = ""
    """What its stage says of its models, how they are used, and what their figures mean."""

    @property
    def stage(self) -> str:
        """The label of its stage: `colorizer`, `my_stage`."""
        return self.line.stage

    @property
    def gate_metric(self) -> str:
        """Which of its test figures the gate compared."""
        found = (name.removeprefix(_BASELINE) for name in self.test if name.startswith(_BASELINE))
        return next(found, next(iter(self.test), "mse"))

    @property
    def ref(self) -> str:
        """The reference that always means this version: `colorizer@3`."""
        return f"{self.line}@{self.number}"


@dataclass(frozen=True)
class Rollback:
    """What a rollback did."""

    champion: ModelVersion
    """The champion now."""
    replaced: ModelVersion
    """The champion before; now `previous`, so that a second rollback undoes the first."""


def list_versions(tracking_uri: str, *, stage: str | None = None, line: names.Line | None = None) -> list[ModelVersion]:
    """Return all versions, stage by stage, line by line, the newest first; empty when nothing was ever promoted.

    Args:
        tracking_uri: The MLflow store.
        stage: Of this stage alone, all of its lines.
        line: Of this line alone.
    Raises:
        TrackingError: The store cannot be read.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        return []
    with asking(tracking_uri):
        asked = [line] if line else [each for each in lines(client) if stage in (None, each.stage)]
        return [version for each in asked for version in versions_of(client, each)]


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
        if version.line == parsed.line and (
            version.number == parsed.number
            or parsed.alias in version.aliases
            or (parsed.registry_stage is not None and version.registry_stage == parsed.registry_stage)
        ):
            return version
    raise _missing(parsed, versions, tracking_uri)


def rollback(line: names.Line, *, tracking_uri: str, on_wait: Callable[[str], None] = lambda _: None) -> Rollback:
    """Make the previous champion of a line its champion again; the present one becomes `previous`.

    Args:
        line: The line.
        tracking_uri: The MLflow store.
        on_wait: Told, in words, if a promotion is at work on the same registry.
    Raises:
        ModelError: There is no champion, or none before it.
        TrackingError: The store cannot be written to.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        raise _no_way_back(line, None, tracking_uri)
    with asking(tracking_uri), registry_lock(client, on_wait=on_wait):
        versions = versions_of(client, line)
        champion, previous = (with_alias(versions, alias) for alias in (names.CHAMPION, names.PREVIOUS))
        if champion is None or previous is None or previous.number == champion.number:
            raise _no_way_back(line, champion, tracking_uri)
        set_alias(client, line, names.CHAMPION, previous.number)
        set_alias(client, line, names.PREVIOUS, champion.number)
        mirror_registry_stages(client, line)
        now = {version.number: version for version in versions_of(client, line)}
    return Rollback(champion=now[previous.number], replaced=now[champion.number])


def _no_way_back(line: names.Line, champion: ModelVersion | None, tracking_uri: str) -> ModelError:
    have = f"{champion.ref} and nothing before it" if champion else "no champion"
    return ModelError(
        f"rollback: {line} must have a champion and one before it; got {have} ({shown_uri(tracking_uri)}). "
        "See `deepcolor models`."
    )


def lines(client: MlflowClient) -> list[names.Line]:
    """Return every line there is, in the order of the stages; of each stage the unnamed one first."""
    found: list[names.Line] = []
    token: str | None = None
    while True:
        page = client.search_registered_models(
            f"name LIKE '{names.PREFIX}%'", max_results=_PAGE, order_by=["name ASC"], page_token=token
        )
        found += [line for model in page if (line := names.line_of(model.name)) is not None and _is_ours(line, model)]
        token = page.token
        if not token:
            order = {stage: index for index, stage in enumerate(SHIPPED)}
            return sorted(found, key=lambda line: (order.get(line.stage, len(order)), line.stage, line.name or ""))


def _is_ours(line: names.Line, model: RegisteredModel) -> bool:
    """Whether deepcolor has made a registered model: early releases did not mark those of the shipped stages."""
    return line.stage in SHIPPED or model.tags.get(names.STAGE) == line.stage


def known_line(text: str, *, tracking_uri: str) -> names.Line:
    """Return the line that somebody names, where there is one, or may be one of a shipped stage.

    Raises:
        ModelError: There is none; the message lists what there is.
        TrackingError: The store cannot be read.
    """
    line = names.parse_line(text)
    if line.stage in SHIPPED:
        return line
    client = open_registry(tracking_uri, create=False)
    with asking(tracking_uri):
        there = [known.stage for known in lines(client)] if client else []
    if line.stage not in there:
        known = dict.fromkeys((*SHIPPED, *there))
        meant = get_close_matches(line.stage, known, n=1)
        advice = f"Did you mean {meant[0]}?" if meant else "See `deepcolor models`."
        raise ModelError(f"stage: must be one of {', '.join(known)}; got {text!r}. {advice}")
    return line


def versions_of(client: MlflowClient, line: names.Line) -> list[ModelVersion]:
    """Return the versions of one line, the newest first."""
    name = line.registered_name
    found: list[MlflowModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    aliases: dict[str, Any] = client.get_registered_model(name).aliases if found else {}
    versions = [_version(line, version, aliases) for version in found]
    return sorted(versions, key=lambda version: -version.number)


def data_of(client: MlflowClient, version: ModelVersion) -> str | None:
    """Return the name of the data set a version was trained on; of one made before versions said so, what its run says.

    None where that run is gone.
    """
    from mlflow.exceptions import MlflowException

    if version.data is not None or version.run_id is None:
        return version.data
    try:
        return client.get_run(version.run_id).data.params.get(layout.DATA_NAME_PARAM)
    except MlflowException:
        return None


def with_data(versions: Sequence[ModelVersion], *, tracking_uri: str) -> list[ModelVersion]:
    """Return versions with the names of their data sets filled in, as far as their runs know them (`data_of`).

    Raises:
        TrackingError: The store cannot be read.
    """
    client = open_registry(tracking_uri, create=False)
    if client is None:
        return list(versions)
    with asking(tracking_uri):
        return [replace(version, data=data_of(client, version)) for version in versions]


def painters(tracking_uri: str) -> list[ModelVersion]:
    """Return the champions that colour pictures: those of all colorizers and transfers.

    Raises:
        TrackingError: The store cannot be read.
    """
    versions = [version for version in list_versions(tracking_uri) if version.colours]
    return with_data([v for v in versions if names.CHAMPION in v.aliases], tracking_uri=tracking_uri)


def with_alias(versions: Sequence[ModelVersion], alias: str) -> ModelVersion | None:
    """Return the version that has an alias, if one has."""
    return next((version for version in versions if alias in version.aliases), None)


def set_alias(client: MlflowClient, line: names.Line, alias: str, number: int) -> None:
    """Give an alias to a version; whoever had it before loses it."""
    client.set_registered_model_alias(line.registered_name, alias, str(number))


def drop_alias(client: MlflowClient, line: names.Line, alias: str) -> None:
    """Take an alias away; nothing happens when nobody has it."""
    client.delete_registered_model_alias(line.registered_name, alias)


def mirror_registry_stages(client: MlflowClient, line: names.Line) -> None:
    """Bring MLflow's old registry stages to what the aliases say: `models:/deepcolor-colorizer/Production` resolves."""
    for version in versions_of(client, line):
        alias = next((alias for alias in names.ALIASES if alias in version.aliases), None)
        wanted = names.REGISTRY_STAGES[alias] if alias else names.NO_REGISTRY_STAGE
        if version.registry_stage != wanted:
            with warnings.catch_warnings():
                # MLflow says at every call that registry stages are on their way out; some still use them.
                warnings.simplefilter("ignore", FutureWarning)
                client.transition_model_version_stage(
                    line.registered_name, str(version.number), wanted, archive_existing_versions=False
                )


def open_registry(tracking_uri: str, *, create: bool) -> MlflowClient | None:
    """Open the store; None when it is an SQLite file that is not there and must not be made by a mere look."""
    database = sqlite_file(tracking_uri)
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
            f"Check {tracking_option()}, and that the server runs."
        ) from error


def _version(line: names.Line, version: MlflowModelVersion, aliases: dict[str, Any]) -> ModelVersion:
    tags: dict[str, str] = dict(version.tags)
    number = int(version.version)
    shipped = names.STAGE not in tags and line.stage in SHIPPED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        registry_stage = str(version.current_stage or names.NO_REGISTRY_STAGE)
    return ModelVersion(
        line=line,
        number=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if int(target) == number)),
        registry_stage=registry_stage,
        created_ms=int(version.creation_timestamp or 0),
        run_id=version.run_id or tags.get(names.RUN),
        study=tags.get(names.STUDY),
        trial=int(tags[names.TRIAL]) if names.TRIAL in tags else None,
        weights_sha256=tags.get(names.WEIGHTS_SHA256, ""),
        data=tags.get(names.DATA),
        data_digest=tags.get(names.DATA_DIGEST, ""),
        splits=tags.get(names.SPLITS, ""),
        pictures=frozenset(tags.get(names.PICTURES, "").split()),
        parent=tags.get(names.PARENT),
        size_px=int(tags.get(names.SIZE_PX, 128)) if shipped else _number(tags.get(names.SIZE_PX)),
        model=_form(line.stage if shipped else None, json.loads(tags.get(names.MODEL, "{}"))),
        params=_under(tags, names.PARAM_PREFIX),
        test={name: float(value) for name, value in _under(tags, names.TEST_PREFIX).items()},
        evidence=read_evidence(_under(tags, names.CONFIRMED_PREFIX)),
        code=json.loads(tags.get(names.CODE, "{}")),
        about=tags.get(names.ABOUT, ""),
        use=tags.get(names.USE, ""),
        units=tags.get(names.UNITS, ""),
        colours=stage_of(line.stage).colours_pixels if shipped else tags.get(names.COLOURS) == "true",
    )


def _form(shipped: str | None, content: dict[str, Any]) -> ModelSection:
    """The form of a version; of a stage of somebody's own as it is, for no code is run to look at it."""
    if shipped is None:
        return UnknownModel.model_validate(content)
    return read_stored(stage_of(shipped).model, content).value


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _under(tags: dict[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def _missing(ref: names.Ref, versions: Sequence[ModelVersion], tracking_uri: str) -> ModelError:
    """Say what there is of the same stage, in other lines too."""
    where = shown_uri(tracking_uri)
    if not versions:
        meant = get_close_matches(ref.stage, SHIPPED, n=1) if ref.stage not in SHIPPED else []
        if meant:
            return ModelError(f"model: {ref} must exist; got no stage {ref.stage} ({where}). Did you mean {meant[0]}?")
        return ModelError(
            f"model: {ref} must exist; got no version of {ref.line.registered_name} ({where}). "
            "Promote a trial first: deepcolor promote STUDY."
        )
    known = [f"{v.ref}{' (' + ', '.join(v.aliases) + ')' if v.aliases else ''}" for v in versions]
    near = _nearest(ref, versions)
    hint = f"Did you mean {near}?" if near else "Choose one of these."
    return ModelError(f"model: {ref} must exist; got {', '.join(known)} ({where}). {hint}")


def _nearest(ref: names.Ref, versions: Sequence[ModelVersion]) -> str | None:
    """The same number or alias of another line, or an alias that is spelt almost alike."""
    if ref.number is not None:
        return next((version.ref for version in versions if version.number == ref.number), None)
    choices = [f"{version.line}@{alias}" for version in versions for alias in version.aliases]
    return next(iter(get_close_matches(str(ref), choices, n=1, cutoff=0.8)), None)
