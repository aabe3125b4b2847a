"""What a model folder says about itself in `model.json`. No torch in here: the command line reads it too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from deepcolor.config.schema import ModelConfig, StageName
from deepcolor.errors import CorruptFileError, ModelError
from deepcolor.fields.frozen import Frozen, absent_value
from deepcolor.plainfile import read_plain

DESCRIPTION_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
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
    stage: StageName
    """Which training the weights come from; `transfer` is a colorizer in form."""
    model: ModelConfig
    """The network's form."""
    size_px: int = Field(ge=64, le=1024, multiple_of=64)
    """Side of the square the network was trained on, in pixels."""
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
        known = {name: value for name, value in content.items() if name in cls.model_fields}
        if isinstance(form := known.get("model"), Mapping):
            known["model"] = {**{name: absent_value(field) for name, field in ModelConfig.model_fields.items()}, **form}
        return known


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
