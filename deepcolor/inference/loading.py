"""Find a model, by reference or in a folder, and make it ready to colour pictures."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import overload

from deepcolor.data.images import Pixels
from deepcolor.errors import UserError
from deepcolor.inference.model import ColorModel
from deepcolor.inference.picture import ImageInput
from deepcolor.models.description import DESCRIPTION_FILE
from deepcolor.models.modelfile import load_model
from deepcolor.registry.names import is_ref
from deepcolor.registry.pull import pull
from deepcolor.scratch import temporary_folder
from deepcolor.training.device import pick_device
from deepcolor.workspace import Workspace


def load(
    model: str | PathLike[str],
    *,
    workspace: str | PathLike[str] = ".",
    tracking_uri: str | None = None,
    device: str = "auto",
) -> ColorModel:
    """Load a model that colours pictures.

    Args:
        model: `colorizer@champion`, `transfer@3`, `models:/deepcolor-transfer@champion`, or a model folder (one that
            `deepcolor pull` wrote, or a trial's result).
        workspace: Where the registry is, when no other store is named.
        tracking_uri: The MLflow store; None: MLFLOW_TRACKING_URI, else the workspace's own.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    Raises:
        ModelError: There is no such model; the message lists what there is.
        CorruptFileError: Its weights do not match their checksum.
        TrackingError: The store cannot be reached.
    """
    where = pick_device(device)
    if (Path(model) / DESCRIPTION_FILE).is_file() or not is_ref(os.fspath(model)):
        return ColorModel(*load_model(Path(model), where))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or Workspace.at(Path(workspace)).mlflow_uri
    with temporary_folder("load") as folder:
        return ColorModel(*load_model(pull(os.fspath(model), folder / "model", tracking_uri=uri), where))


@overload
def colorize(
    image: list[ImageInput] | tuple[ImageInput, ...],
    *,
    model: ColorModel | str | PathLike[str] = ...,
    workspace: str | PathLike[str] = ...,
) -> list[Pixels | UserError]: ...


@overload
def colorize(
    image: ImageInput, *, model: ColorModel | str | PathLike[str] = ..., workspace: str | PathLike[str] = ...
) -> Pixels: ...


def colorize(
    image: ImageInput | list[ImageInput] | tuple[ImageInput, ...],
    *,
    model: ColorModel | str | PathLike[str] = "transfer@champion",
    workspace: str | PathLike[str] = ".",
) -> Pixels | list[Pixels | UserError]:
    """Colour one picture, or several.

    Args:
        image: A path, a file's bytes, a PIL image, or an array, as `ColorModel.colorize` takes them; or a list of them.
        model: What `load` gave, or what it takes; for several pictures, load it once.
        workspace: Where the registry is.
    Returns:
        sRGB of the picture's size, shape (H, W, 3), or (H, W, 4) where it has opacity; uint16 for 16-bit pictures, else
        uint8. For a list, a list of these: a picture that cannot be coloured has its error there, and the rest goes on.
    """
    loaded = model if isinstance(model, ColorModel) else load(model, workspace=workspace)
    if isinstance(image, list | tuple):
        return list(loaded.colorize_each(image))
    return loaded.colorize(image)
