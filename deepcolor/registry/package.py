"""Lay out a registered model: an MLflow pyfunc from code, with safetensors inside and nothing pickled.

artifacts/model/         model.safetensors, model.json: all that `deepcolor pull` takes
artifacts/package.zip    deepcolor's own source, for a server that has PyTorch but not deepcolor
"""

from __future__ import annotations

import base64
import io
import logging
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import deepcolor
from deepcolor.config.schema import StageName
from deepcolor.models.description import DESCRIPTION_FILE, WEIGHTS_FILE
from deepcolor.stages.finding import stage_named

MODEL_ARTIFACT = "model"
PACKAGE_ARTIFACT = "package"
"""The pyfunc's name for the archive of deepcolor's source; Python imports from it as it is."""
WEIGHTS_BELOW = f"artifacts/{MODEL_ARTIFACT}"
"""Where the model folder lies below the root of the MLflow model."""

_REQUIRED = (
    "mlflow", "torch", "safetensors", "numpy", "opencv-python-headless", "pillow", "pydantic", "pyyaml", "filelock",
)  # fmt: skip
_EXAMPLE_PX = 64
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_package(folder: Path, *, model_folder: Path, model_code: Path, stage: StageName) -> None:
    """Write the MLflow model of a model folder.

    Args:
        folder: Where to; must not exist yet.
        model_folder: Holds `model.safetensors` and `model.json`.
        model_code: The file that MLflow runs to load the model (models from code).
        stage: Decides the signature of the output.
    """
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    staging = folder.with_name(f"{folder.name}-parts")
    model, package = staging / MODEL_ARTIFACT, staging / f"{PACKAGE_ARTIFACT}.zip"
    model.mkdir(parents=True)
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        shutil.copyfile(model_folder / name, model / name)
    _write_source(package)
    mean = [ColSpec("double", "a"), ColSpec("double", "b")]
    columns = [ColSpec("string", "image")] if stage_named(stage).colours_pixels else mean
    with warnings.catch_warnings(), _told_only_of_trouble("mlflow.pyfunc"):
        # MLflow would like type hints, and trips over its own use of pandas.
        warnings.simplefilter("ignore")
        save_model(
            folder,
            python_model=str(model_code),
            # As URIs: MLflow would unquote plain paths.
            artifacts={MODEL_ARTIFACT: model.as_uri(), PACKAGE_ARTIFACT: package.as_uri()},
            pip_requirements=requirements(),
            # No input columns: MLflow would refuse arrays of pictures under any, and the model checks its input by
            # itself.
            signature=ModelSignature(
                outputs=Schema(list(columns)),
                params=ParamSchema([ParamSpec("output", "string", "as_input")]),
            ),
            input_example=_example(),
        )
    shutil.rmtree(staging)


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


def _write_source(archive: Path) -> None:
    """Pack deepcolor's modules; the same source gives the same bytes, and one file goes up faster than a hundred."""
    source = Path(deepcolor.__file__).parent
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(source.rglob("*.py")):
            name = str(path.relative_to(source.parent))
            packed.writestr(zipfile.ZipInfo(name, date_time=_NO_DATE), path.read_bytes(), zipfile.ZIP_DEFLATED)


def requirements() -> list[str]:
    """Return the packages the model needs, at the versions installed here."""
    lines = []
    for name in _REQUIRED:
        try:
            # A local build's suffix (2.9.0+cpu) is on no index.
            lines.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            lines.append(name)
    return lines


def _example() -> object:
    """One small grey picture in the form a server is sent it: PNG in base64."""
    import pandas as pd
    from PIL import Image

    ramp = bytes(4 * (row + column) // 2 for row in range(_EXAMPLE_PX) for column in range(_EXAMPLE_PX))
    file = io.BytesIO()
    Image.frombytes("L", (_EXAMPLE_PX, _EXAMPLE_PX), ramp).save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})
