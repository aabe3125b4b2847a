"""Lay out a registered model: an MLflow pyfunc from code, with safetensors inside and nothing pickled.

artifacts/model/         model.safetensors, model.json, code/: all that `deepcolor pull` takes
artifacts/package.zip    deepcolor's own source, for a server that has PyTorch but not deepcolor
"""

from __future__ import annotations

import functools
import io
import logging
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import deepcolor
from deepcolor.models.description import CODE_FOLDER, DESCRIPTION_FILE, WEIGHTS_FILE, read_description
from deepcolor.models.saved import open_saved
from deepcolor.stages.contract import Stage
from deepcolor.stages.sections import ModelSection

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL_ARTIFACT = "model"
PACKAGE_ARTIFACT = "package"
"""The pyfunc's name for the archive of deepcolor's source; Python imports from it as it is."""
WEIGHTS_BELOW = f"artifacts/{MODEL_ARTIFACT}"
"""Where the model folder lies below the root of the MLflow model."""

_REQUIRED = (
    "mlflow", "torch", "safetensors", "numpy", "opencv-python-headless", "pillow", "pydantic", "pyyaml", "filelock",
    "isal",
)  # fmt: skip
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_package(folder: Path, *, model_folder: Path, model_code: Path, stage: type[Stage]) -> None:
    """Write the MLflow model of a model folder.

    Args:
        folder: Where to; must not exist yet.
        model_folder: Holds `model.safetensors` and `model.json`.
        model_code: The file that MLflow runs to load the model (models from code).
        stage: Of the model.
    """
    from mlflow.pyfunc import save_model

    staging = folder.with_name(f"{folder.name}-parts")
    model, package = staging / MODEL_ARTIFACT, staging / f"{PACKAGE_ARTIFACT}.zip"
    model.mkdir(parents=True)
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        shutil.copyfile(model_folder / name, model / name)
    if (model_folder / CODE_FOLDER).is_dir():
        shutil.copytree(model_folder / CODE_FOLDER, model / CODE_FOLDER)
    package.write_bytes(source_archive())
    example = stage.example()
    with warnings.catch_warnings(), _told_only_of_trouble("mlflow.pyfunc"):
        # MLflow would like type hints, and trips over its own use of pandas.
        warnings.simplefilter("ignore")
        save_model(
            folder,
            python_model=str(model_code),
            # As URIs: MLflow would unquote plain paths.
            artifacts={MODEL_ARTIFACT: model.as_uri(), PACKAGE_ARTIFACT: package.as_uri()},
            pip_requirements=requirements(stage, read_description(model_folder).model),
            signature=_signature(stage, example, model_folder=model_folder),
            input_example=example,
        )
    shutil.rmtree(staging)


def _signature(stage: type[Stage], example: object, *, model_folder: Path) -> ModelSignature | None:
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    if stage.output_columns:
        # No input columns: MLflow would refuse arrays of pictures under any, and the model checks its input by itself.
        known = [ParamSpec("output", "string", "as_input")] if stage.pictures else []
        if stage.pictures and stage.colours_pixels:
            known += [ParamSpec("saturation", "double", 1.0), ParamSpec("flip", "boolean", False)]
        params = {"params": ParamSchema(known)} if known else {}
        return ModelSignature(
            outputs=Schema([ColSpec(kind, name) for name, kind in stage.output_columns.items()]), **params
        )
    if example is None:
        return None
    _, saved = open_saved(model_folder, own=True)
    return infer_signature(example, stage.opened(saved, device="cpu").predict(example))


@contextmanager
def _told_only_of_trouble(name: str) -> Iterator[None]:
    """Keep what a logger says of its progress off the screen of whoever promotes from Python."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@functools.cache
def source_archive() -> bytes:
    """Pack deepcolor's modules; the same source gives the same bytes, and one file goes up faster than a hundred."""
    source, archive = Path(deepcolor.__file__).parent, io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(source.rglob("*.py")):
            name = str(path.relative_to(source.parent))
            packed.writestr(zipfile.ZipInfo(name, date_time=_NO_DATE), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def requirements(stage: type[Stage], form: ModelSection) -> list[str]:
    """Return the packages a model of a stage and form needs, at the versions installed here."""
    lines = []
    for name in dict.fromkeys((*_REQUIRED, *stage.requirements_of(form))):
        try:
            # A local build's suffix (2.9.0+cpu) is on no index.
            lines.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            lines.append(name)
    return lines
