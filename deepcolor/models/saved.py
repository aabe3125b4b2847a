"""Model folders of any stage: which stage it is, and the code that it brings. No torch in here."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from deepcolor.errors import CodeError, CorruptFileError, ModelError
from deepcolor.models.description import (
    CODE_FOLDER,
    DESCRIPTION_FILE,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_FILE,
    ModelDescription,
    read_description,
    unreadable,
)
from deepcolor.plainfile import read_plain
from deepcolor.plugins import MOST_BYTES, has_run, kept_at, look_in
from deepcolor.stages.contract import Stage
from deepcolor.stages.finding import stage_of
from deepcolor.stages.session import SavedModel

_LOG = logging.getLogger(__name__)
_told: set[str] = set()


def open_saved(folder: Path, *, own: bool = False) -> tuple[type[Stage], SavedModel]:
    """Return the stage of a model folder, and the model as the stage is given it.

    Code that a model brings lies in its folder, and is the code that its description names by content, or is not run.
    Before any is run that this process has not run yet, that is said on the log, where Python shows warnings on the
    standard error.

    Args:
        folder: Of the model.
        own: It was trained here, by code that has been run here; nothing needs to be said.
    Raises:
        ModelError: It is no model folder, or its code is missing, or is not what it was.
    """
    description = read_description(folder)
    take_code(folder, description, own=own)
    stage = stage_of_model(folder, description)
    try:
        form = stage.model.model_validate(description.model.model_dump())
    except ValueError as error:
        text = " ".join(str(error).split())
        raise ModelError(f"model: its form must be one of the stage {description.stage}; {text} ({folder}).") from error
    return stage, SavedModel(folder, form, lambda: _weights(folder, description))


def stage_of_model(folder: Path, description: ModelDescription) -> type[Stage]:
    """Return the stage of a model folder whose code is ready.

    Raises:
        ModelError: There is no such stage here, or it cannot be imported; the message says what is missing.
    """
    try:
        return stage_of(description.stage, description.code)
    except CodeError as error:
        got = f"; got {error.got}" if error.got else ""
        raise ModelError(f"model: the stage {description.stage} is needed: {error.rule}{got} ({folder}).") from error


def take_code(folder: Path, description: ModelDescription, *, own: bool = False) -> None:
    """Make the code that a model brings ready to be imported, once it has been checked; see `open_saved`."""
    if not description.code:
        return
    _check_code(folder, description)
    look_in(folder / CODE_FOLDER)
    if not own:
        _announce(description)


def _check_code(folder: Path, description: ModelDescription) -> None:
    """Make sure that the files are those that the description names; modules are looked at when they are imported."""
    for place, digest in description.code.items():
        if not place.endswith(".py"):
            continue
        path = kept_at(folder / CODE_FOLDER, digest, place)
        try:
            found = hashlib.sha256(read_plain(path, most_bytes=MOST_BYTES)).hexdigest()
        except OSError as error:
            raise ModelError(
                f"model: it needs the code {place}, which must be in its folder; got {error.strerror or error} "
                f"({path}). Get the model again."
            ) from error
        if found != digest:
            raise ModelError(
                f"model: the code {place} must be what it was, SHA-256 {digest[:12]}...; got {found[:12]}... ({path}). "
                "It is not run; get the model again."
            )


def _announce(description: ModelDescription) -> None:
    new = [
        f"{place} (SHA-256 {digest[:12]}...)"
        for place, digest in description.code.items()
        if digest not in _told and not has_run(place, digest)
    ]
    _told.update(description.code.values())
    if new:
        _LOG.warning("running code that a model of %s brings: %s", description.stage, ", ".join(new))


def _weights(folder: Path, description: ModelDescription) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / WEIGHTS_FILE
    try:
        content = read_plain(path, most_bytes=MAX_WEIGHTS_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    found = hashlib.sha256(content).hexdigest()
    if found != description.weights_sha256:
        raise CorruptFileError(
            f"model: the SHA-256 of {WEIGHTS_FILE} must be that in {DESCRIPTION_FILE}, "
            f"{description.weights_sha256[:12]}...; got {found[:12]}... ({path}). It is damaged; get the model again."
        )
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise ModelError(
            f"model: {WEIGHTS_FILE} must be a safetensors file; {error} ({path}). Get the model again."
        ) from error
