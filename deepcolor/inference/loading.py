"""Find a model, by reference or in a folder, and make it ready to colour pictures."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, overload

from deepcolor.coloring.color_model import ColorModel
from deepcolor.coloring.manner import Manner
from deepcolor.coloring.picture import ImageInput
from deepcolor.data.images import Pixels
from deepcolor.errors import UserError
from deepcolor.models.description import DESCRIPTION_FILE
from deepcolor.models.saved import open_saved
from deepcolor.registry.champion import the_champion
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
) -> Any:
    """Load a model: a `ColorModel`, which colours pictures, or what another stage makes of its own.

    A model of a stage or network of somebody's own brings the code it needs, which is run: that is logged before.

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
    where = str(pick_device(device))
    if (Path(model) / DESCRIPTION_FILE).is_file() or not is_ref(os.fspath(model)):
        return _opened(Path(model), where)
    uri = Workspace.at(Path(workspace)).store_uri(tracking_uri)
    with temporary_folder("load") as folder:
        return _opened(pull(os.fspath(model), folder / "model", tracking_uri=uri), where)


def _opened(folder: Path, device: str) -> Any:
    stage, saved = open_saved(folder)
    return stage.opened(saved, device=device)


@overload
def colorize(
    image: list[ImageInput] | tuple[ImageInput, ...],
    *,
    model: ColorModel | str | PathLike[str] | None = ...,
    workspace: str | PathLike[str] = ...,
    saturation: float = ...,
    flip: bool = ...,
    bfloat16: bool = ...,
) -> list[Pixels | UserError]: ...


@overload
def colorize(
    image: ImageInput,
    *,
    model: ColorModel | str | PathLike[str] | None = ...,
    workspace: str | PathLike[str] = ...,
    saturation: float = ...,
    flip: bool = ...,
    bfloat16: bool = ...,
) -> Pixels: ...


def colorize(
    image: ImageInput | list[ImageInput] | tuple[ImageInput, ...],
    *,
    model: ColorModel | str | PathLike[str] | None = None,
    workspace: str | PathLike[str] = ".",
    saturation: float = 1.0,
    flip: bool = False,
    bfloat16: bool = False,
) -> Pixels | list[Pixels | UserError]:
    """Colour one picture, or several.

    Args:
        image: A path, a file's bytes, a PIL image, or an array, as `ColorModel.colorize` takes them; or a list of them.
        model: What `load` gave, or what it takes; for several pictures, load it once. None: the one champion that
            colours, where there is one alone.
        workspace: Where the registry is.
        saturation: What the colours are multiplied by, 0 to 3: 0 is grey, 1 what the model says.
        flip: Colour the picture as it is and mirrored, and take the mean: calmer colours.
        bfloat16: Let the network compute in bfloat16, as `ColorModel.colorize` says.
    Returns:
        sRGB of the picture's size, shape (H, W, 3), or (H, W, 4) where it has opacity; uint16 for 16-bit pictures, else
        uint8. For a list, a list of these: a picture that cannot be coloured has its error there, and the rest goes on.
    Raises:
        ModelError: No model is named and there are several champions, or none; the message lists them.
        ConfigError: The saturation is out of range.
    """
    manner = Manner(saturation, flip, bfloat16)  # Before a model is looked for, and loaded.
    if model is None:
        model = the_champion(Workspace.at(Path(workspace)).store_uri(None))
    loaded = model if isinstance(model, ColorModel) else load(model, workspace=workspace)
    if isinstance(image, list | tuple):
        return list(loaded.colorize_each(image, **manner.options()))
    return loaded.colorize(image, **manner.options())
