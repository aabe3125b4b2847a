"""A model folder, and what it says about itself. No torch in here: the command line reads it too.

model.safetensors   the weights
model.json          what they are of
code/               the files that the model needs where its stage, or a part of it, is a user's own
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator, model_validator

from deepcolor.errors import CorruptFileError, ModelError
from deepcolor.fields.frozen import Frozen, absent_value
from deepcolor.plainfile import read_plain
from deepcolor.stages.finding import SHIPPED, stage_of
from deepcolor.stages.sections import ModelSection, UnknownModel

DESCRIPTION_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
CODE_FOLDER = "code"
MAX_DESCRIPTION_BYTES = 2**20
MAX_WEIGHTS_BYTES = 2**32
"""More than the largest network that can be described has; for those who cannot ask the network itself."""

_Short = Annotated[str, Field(max_length=200)]


class ModelDescription(Frozen):
    """All that is needed to build the network and to say where its weights come from.

    A model folder may come from outside, so every field is bounded before anything is built from it.
    """

    format: Literal[1] = 1
    """Of the model folder."""
    stage: _Short
    """Which training the weights come from, as its sweep names it; `transfer` is a colorizer in form."""
    code: Mapping[_Short, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default_factory=dict, max_length=20)
    """SHA-256 of the code that the model needs, by the place that the sweep names."""
    model: SerializeAsAny[ModelSection]
    """The network's form."""
    size_px: int | None = Field(default=None, ge=64, le=1024, multiple_of=64)
    """Side of the square the network was trained on, in pixels; None for a stage that has no pictures."""
    weights_sha256: str = Field(default="", pattern=r"^(?:[0-9a-f]{64})?$")
    """Of the safetensors file; filled in when the model is saved."""
    deepcolor_version: _Short
    """That trained the weights."""
    trajectory: _Short
    """Digest of the training."""
    epoch: int = Field(ge=0)
    """How many epochs of the trajectory the weights have seen."""
    data_digest: _Short
    """Of the data trained on."""
    parent: _Short | None = None
    """What the training started from, such as `colorizer@3`."""
    metrics: dict[_Short, float] = Field(default_factory=dict, max_length=100)
    """Figures of these weights; MSE in the normalised units (value + 128) / 255."""

    @model_validator(mode="before")
    @classmethod
    def _by_any_version(cls, content: Any) -> Any:
        # What a later version says beside is passed over, but not what it says of the network's form.
        if not isinstance(content, Mapping):
            return content
        return {name: value for name, value in content.items() if name in cls.model_fields}

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_stage(cls, form: Any, info: ValidationInfo) -> Any:
        # To look at a model runs no code that it brings: of a stage of somebody's own the form is taken as it is.
        if not isinstance(form, Mapping):
            return form
        if (stage := info.data.get("stage")) not in SHIPPED:
            return UnknownModel.model_validate(form)
        kind = stage_of(stage).model
        return kind.model_validate({**{name: absent_value(f) for name, f in kind.model_fields.items()}, **form})

    @model_validator(mode="after")
    def _has_size(self) -> Self:
        if self.size_px is None and self.stage in SHIPPED and stage_of(self.stage).pictures:
            raise ValueError("size_px: is required")
        return self


def model_files(weights: bytes, description: ModelDescription) -> dict[str, bytes]:
    """Return the content of a model folder by file name; the same weights and description give the same bytes.

    Args:
        weights: Content of the safetensors file.
        description: Of these; their checksum is filled in.
    """
    described = description.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    unused = type(described.model).model_fields.keys() - described.model.identity().keys()
    left_out: Any = {"model": set(unused), **({} if described.code else {"code": True})}
    text = described.model_dump_json(indent=2, exclude=left_out)
    return {WEIGHTS_FILE: weights, DESCRIPTION_FILE: text.encode() + b"\n"}


def read_description(folder: Path) -> ModelDescription:
    """Read `model.json` of a model folder.

    Raises:
        ModelError: The folder is no model folder, or its description is not one deepcolor can build.
    """
    path = folder / DESCRIPTION_FILE
    try:
        return ModelDescription.model_validate_json(read_plain(path, most_bytes=MAX_DESCRIPTION_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"model: must be a folder with {DESCRIPTION_FILE} and {WEIGHTS_FILE}; got {folder}. "
            "Pull a model with `deepcolor pull`, or name a folder that was pulled."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError as error:
        raise _invalid(path, error) from error


def unreadable(path: Path, error: OSError) -> ModelError:
    """Say that a file of a model folder cannot be read."""
    return ModelError(
        f"model: {path.name} must be a file that can be read; got {error.strerror or error} ({path}). "
        "Get the model again."
    )


def _invalid(path: Path, error: ValidationError) -> ModelError | CorruptFileError:
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return CorruptFileError(
            f"model: {DESCRIPTION_FILE} must be JSON; {first['msg']} ({path}). Get the model again."
        )
    key = ".".join(str(part) for part in first["loc"])
    got = repr(first["input"])[:100]
    return ModelError(
        f"model: {DESCRIPTION_FILE} must describe a network deepcolor can build; {key}: {first['msg']}; got {got} "
        f"({path}). Get the model again, or use the version of deepcolor that wrote it."
    )
