"""Write a model as an ONNX file, for browsers, phones and programs in other languages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import ConfigError, DataError, ModelError, UserError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.inference.exporting import Exported

_NEEDED = ("onnx", "onnxruntime")
_CALIBRATION, _COMPARISON = 64, 16
"""Pictures, at most: ranges hardly widen beyond, and each costs time."""


def export_model(
    model: str,
    *,
    to: Path,
    workspace: Workspace,
    tracking_uri: str,
    int8: bool = False,
    data: str | None = None,
    reporter: Reporter = SILENT,
) -> Exported:
    """Write a model as an ONNX file, once it has been compared with the model itself on pictures.

    Args:
        model: `colorizer@champion`, `transfer@2`, or a model folder.
        to: The file, which is replaced.
        workspace: Where data sets are.
        tracking_uri: The MLflow store.
        int8: Compute in 8 bits, which is smaller, and not the same.
        data: A prepared data set: its training pictures give the ranges of 8 bits, its validation pictures are compared
            on. None: faces and fruit that are drawn.
        reporter: Is told what is going on.
    Raises:
        ModelError: There is no such model, it cannot be written as ONNX, or the file's colours are not the model's.
        DataError: There is no such data set, or a picture of it cannot be read.
        UserError: The extra `onnx` is not installed.
        ConfigError: The file cannot be written.
    """
    check_installed()
    rule = "export: the file must be in a folder that exists and can be written to"
    if to.is_dir() or not to.absolute().parent.is_dir():
        why = "which is a folder" if to.is_dir() else f"and there is no folder {to.parent}"
        raise ConfigError(f"{rule}; got {to}, {why}. Name another file.")
    from deepcolor.atomic import write_atomically
    from deepcolor.inference import ColorModel, load
    from deepcolor.inference.exporting import export
    from deepcolor.scratch import temporary_folder

    with reporter.starting("export") as steps:
        steps.step(f"loading {model}")
        loaded = load(model, tracking_uri=tracking_uri, device="cpu")
    if not isinstance(loaded, ColorModel):
        raise ModelError(f"export: must be a model with a network that colours; got {model}, {loaded!r}.")
    with temporary_folder("export") as folder, reporter.starting("export") as steps:
        steps.step("preparing pictures")
        calibration, pictures = _drawn(folder) if data is None else _prepared(workspace, data)
        kind = "drawn pictures" if data is None else f"validation pictures of {data}"
        reporter.note(f"comparing the file with {model} on {len(pictures)} {kind}")
        steps.step("writing the file and comparing it")
        made = export(loaded, name=model, calibration=calibration, pictures=pictures, int8=int8)
    try:
        write_atomically(to, made.content)
    except OSError as error:
        raise ConfigError(f"{rule}; got {to} ({error.strerror or error}). Name another file.") from error
    return made


def check_installed() -> None:
    """Raise UserError where what exporting needs is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"export: the extra must be installed; got no {', '.join(missing)}. Run: pip install 'deepcolor[onnx]'"
        )


def _prepared(workspace: Workspace, data: str) -> tuple[Sequence[Path], Sequence[Path]]:
    from deepcolor.data.manifest import load_manifest

    manifest = load_manifest(workspace, data)
    train = [manifest.source / file.path for file in manifest.files if file.split == "train"]
    val = [manifest.source / file.path for file in manifest.files if file.split == "val"]
    if not train or not val:
        raise DataError(f"--data: must have pictures in train and val; got {manifest!r}. Name another data set.")
    return _spread(train, _CALIBRATION), _spread(val, _COMPARISON)


def _drawn(folder: Path) -> tuple[Sequence[Path], Sequence[Path]]:
    from deepcolor.data.drawn import draw_set

    of_each = (_CALIBRATION + _COMPARISON) // 2
    faces, fruit = (draw_set(kind, folder / kind, count=of_each) for kind in ("faces", "fruit"))
    own = _COMPARISON // 2
    return [*faces[own:], *fruit[own:]], [*faces[:own], *fruit[:own]]


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """Some of them, spread evenly."""
    return [paths[place * len(paths) // most] for place in range(most)] if len(paths) > most else list(paths)
