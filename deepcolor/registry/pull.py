"""Take a model out of the registry: weights, description, the code it brings and a model card. Nothing of it is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from deepcolor.atomic import write_atomically
from deepcolor.errors import CorruptFileError, ModelError, WorkspaceError
from deepcolor.models.description import (
    CODE_FOLDER,
    DESCRIPTION_FILE,
    MAX_DESCRIPTION_BYTES,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_FILE,
    ModelDescription,
    read_description,
)
from deepcolor.plainfile import NotPlainError, check_plain, open_plain, read_plain
from deepcolor.plugins import MOST_BYTES, kept_at
from deepcolor.registry.card import model_card
from deepcolor.registry.package import WEIGHTS_BELOW
from deepcolor.registry.versions import ModelVersion, asking, list_versions, resolve
from deepcolor.scratch import temporary_folder
from deepcolor.stages.finding import SHIPPED, stage_of
from deepcolor.tracking import store
from deepcolor.tracking.relocation import local_path

CARD_FILE = "README.md"
_MOST_ANCESTORS = 20


def pull(ref: str, out: Path, *, tracking_uri: str, registry_stage: str | None = None) -> Path:
    """Write a registered model to a folder: `model.safetensors`, `model.json`, and a model card; where its stage or
    network is somebody's own, the files in `code/` that it needs.

    Only these files are taken out of the version's artifacts, under these names, whatever else lies there; the
    weights' checksum is compared with the description's and the registry's, and so is that of each file of code.

    Args:
        ref: `colorizer@champion`, `colorizer@3`, or MLflow's `models:/deepcolor-colorizer@champion`.
        out: The folder: new, empty, or one that an earlier pull wrote.
        tracking_uri: The MLflow store.
        registry_stage: `Production`, `Staging` or `Archived`; then `ref` is the stage alone.
    Returns:
        `out`.
    Raises:
        ModelError: There is no such version (the message lists what there is), or what it holds is no model.
        CorruptFileError: The weights do not match their checksum.
        WorkspaceError: `out` holds something else, or cannot be written to.
        TrackingError: The store cannot be reached.
    """
    _check_target(out)
    version = resolve(ref, tracking_uri=tracking_uri, registry_stage=registry_stage)
    with temporary_folder("pull") as temporary:
        fetched = temporary
        _fetch(version, fetched, tracking_uri=tracking_uri)
        description = _checked(version, fetched)
        files = _fetch_code(version, description, fetched, tracking_uri=tracking_uri)
        stage = stage_of(description.stage) if description.stage in SHIPPED else None
        card = model_card(version, description, stage=stage, lineage=_lineage(version, tracking_uri))
        try:
            for name, content in files.items():
                write_atomically(out / name, content)
            for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
                write_atomically(out / name, read_plain(fetched / name, most_bytes=MAX_WEIGHTS_BYTES))
            write_atomically(out / CARD_FILE, card.encode())
        except OSError as error:
            raise WorkspaceError(
                f"pull: the folder must be writable; got {error.strerror or error} ({out}). Choose another one with -o."
            ) from error
    return out


def _check_target(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTION_FILE).exists():
        raise WorkspaceError(
            f"pull: the folder must be new, empty or a pulled model; got {out}. Choose another one with -o."
        )
    if out.exists() and not out.is_dir():
        raise WorkspaceError(f"pull: must be a folder; got the file {out}. Choose another one with -o.")


def _fetch(version: ModelVersion, folder: Path, *, tracking_uri: str) -> None:
    wanted = {DESCRIPTION_FILE: MAX_DESCRIPTION_BYTES, WEIGHTS_FILE: MAX_WEIGHTS_BYTES}
    _download(version, wanted, folder, tracking_uri=tracking_uri)


def _fetch_code(
    version: ModelVersion, description: ModelDescription, folder: Path, *, tracking_uri: str
) -> dict[str, bytes]:
    """The files of code that a version needs, by their path; each is the one that was there when it was registered."""
    if dict(description.code) != version.code:
        raise CorruptFileError(
            f"model: {DESCRIPTION_FILE} must name the code that {version.ref} was registered with; got other code. "
            "It is damaged, or was tampered with; promote the trial again."
        )
    files: dict[str, bytes] = {}
    for place, digest in description.code.items():
        if not place.endswith(".py"):
            continue
        name = str(kept_at(Path(CODE_FOLDER), digest, place))
        _download(version, {name: MOST_BYTES}, folder / Path(name).parent, tracking_uri=tracking_uri)
        files[name] = read_plain(folder / name, most_bytes=MOST_BYTES)
        found = hashlib.sha256(files[name]).hexdigest()
        if found != digest:
            raise CorruptFileError(
                f"model: the code {place} of {version.ref} must be what it was registered with, SHA-256 "
                f"{digest[:12]}...; got {found[:12]}... Promote the trial again with --force."
            )
    return files


def _download(version: ModelVersion, wanted: Mapping[str, int], folder: Path, *, tracking_uri: str) -> None:
    """Fetch files, each of so many bytes at most, from below the model folder of a version."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    client = store.open_client(tracking_uri)
    with asking(tracking_uri):
        source = client.get_model_version_download_uri(version.line.registered_name, str(version.number))
        for name, most_bytes in wanted.items():
            uri = f"{source.rstrip('/')}/{WEIGHTS_BELOW}/{name}"
            try:
                _check_artifact(uri, most_bytes=most_bytes, tracking_uri=client.tracking_uri)
                download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=client.tracking_uri)
            except NotPlainError as error:
                raise ModelError(
                    f"model: {name} of {version.ref} must be an ordinary file; got {error.strerror} ({uri}). "
                    "Promote the trial again with --force."
                ) from error
            except (OSError, MlflowException) as error:
                raise ModelError(
                    f"model: {version.ref} must have its artifacts; got no {name} ({store.first_line(error)}). "
                    "If they were deleted, promote the trial again with --force."
                ) from error


def _check_artifact(uri: str, *, most_bytes: int, tracking_uri: str) -> None:
    """Refuse what a download would wait for, or fill the disk with."""
    from mlflow.artifacts import list_artifacts

    if (path := local_path(uri)) is not None:
        check_plain(path, most_bytes=most_bytes)
        return
    folder, _, name = uri.rpartition("/")
    for file in list_artifacts(artifact_uri=folder, tracking_uri=tracking_uri):
        if file.path.rpartition("/")[2] == name and (file.is_dir or (file.file_size or 0) > most_bytes):
            raise NotPlainError(uri, "a folder" if file.is_dir else f"{file.file_size:,} bytes")


def _checked(version: ModelVersion, folder: Path) -> ModelDescription:
    description = read_description(folder)
    with open_plain(folder / WEIGHTS_FILE) as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    for wanted, where in ((description.weights_sha256, DESCRIPTION_FILE), (version.weights_sha256, "the registry")):
        if found != wanted:
            raise CorruptFileError(
                f"model: the SHA-256 of {WEIGHTS_FILE} must be that in {where}, {wanted[:12]}...; got {found[:12]}... "
                f"({version.ref}). It is damaged; promote the trial again."
            )
    return description


def _lineage(version: ModelVersion, tracking_uri: str) -> list[str]:
    """References from this version back to its first ancestor; one that is not in the registry ends the line."""
    known = {other.ref: other for other in list_versions(tracking_uri)}
    line = [version.ref]
    parent = version.parent
    while parent and parent not in line and len(line) < _MOST_ANCESTORS:
        line.append(parent)
        parent = known[parent].parent if parent in known else None
    return line
