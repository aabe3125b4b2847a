"""The MLflow model of a registered version (models from code): MLflow runs this file, deepcolor itself does not.

Input: pictures, as a DataFrame with a column `image`, a list (of values or of `{"image": value}`), `{"image": values}`,
an array (N, H, W), (N, H, W, 3) or (N, H, W, 4), or one value alone. A value is a picture file's bytes, the same in
base64, an array, or the path of a file (not when served: a client must not read the server's files).

Output: from a regressor a DataFrame with the mean a* and b* of each picture, in CIELAB units. From the others each
picture coloured, in the form it came in: bytes and paths give PNG bytes, base64 gives PNG in base64, arrays give
arrays. The parameter `output` (`png`, `base64`, `array`) asks for another one. A DataFrame gives a DataFrame with the
column `image`. The parameters `saturation` (0 to 3: what the colours are multiplied by) and `flip` (true: the mean with
the mirrored picture's) are those of `deepcolor colorize`.

    mlflow.pyfunc.load_model("models:/deepcolor-colorizer@champion").predict(["photo.jpg"])
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow import environment_variables
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

COLUMN = "image"
OUTPUTS = ("as_input", "png", "base64", "array")
_SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""MLflow's own variable; its server sets it."""


class DeepcolorModel(PythonModel):
    """Colours pictures, or predicts their mean colour."""

    # MLflow reads the type hints of `predict`: without any it warns at every load, under most it refuses arrays of
    # pictures, and under the others it warns when a model is registered. So there are none, and it is told not to look;
    # a version that no longer knows this attribute warns, and takes everything.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights; where deepcolor is not installed, its source comes with the model."""
        if importlib.util.find_spec("deepcolor") is None:
            sys.path.append(context.artifacts["package"])
        from deepcolor.inference import load

        self._model = load(context.artifacts["model"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002  # see above
        """Colour pictures; see this file's docstring for what goes in and comes out."""
        if not hasattr(self._model, "colorize_many"):  # Another stage's, which knows its own input.
            return self._model.predict(model_input)
        given = dict(params or {})
        output = str(given.pop("output", "as_input"))
        if output not in OUTPUTS:
            raise _refusal(f"output: must be one of {', '.join(OUTPUTS)}; got {output!r}.")
        values = _values(model_input)
        from deepcolor.coloring.manner import Manner
        from deepcolor.errors import DeepcolorError

        try:
            manner = Manner(**{name: given[name] for name in ("saturation", "flip") if name in given})
            if self._model.network.target == "mean":
                rows = [self._model.mean_ab(picture) for picture in _pictures(values)]
                return pd.DataFrame(rows, columns=["a", "b"])
            coloured = self._model.colorize_many(_pictures(values), **manner.options())
            results = [_written(pixels, _form(value, output)) for value, pixels in zip(values, coloured, strict=True)]
        except DeepcolorError as error:
            raise _refusal(str(error)) from error
        if isinstance(model_input, pd.DataFrame):
            return pd.DataFrame({COLUMN: results})
        is_stack = isinstance(model_input, np.ndarray) and model_input.dtype != object and model_input.ndim >= 3
        return np.stack(results) if is_stack and output in {"as_input", "array"} else results


def _is_served() -> bool:
    """Whether clients send the pictures; assumed where this MLflow no longer has the variable that says so."""
    return bool(os.environ.get(_SERVED)) or not hasattr(environment_variables, _SERVED)


def _values(model_input: Any) -> list[Any]:
    """Return the pictures, one value each."""
    if isinstance(model_input, pd.DataFrame):
        if COLUMN not in model_input.columns and len(model_input.columns) != 1:
            columns = ", ".join(map(str, model_input.columns))
            raise _refusal(f"input: must have the column {COLUMN!r}; got {columns}. Rename the column of pictures.")
        name = COLUMN if COLUMN in model_input.columns else model_input.columns[0]
        return list(model_input[name])
    if isinstance(model_input, Mapping):
        if COLUMN not in model_input:
            raise _refusal(f"input: must have the key {COLUMN!r}; got {', '.join(map(str, model_input))}. Rename it.")
        column = model_input[COLUMN]
        return [column] if isinstance(column, str | bytes) else _values(column)
    if isinstance(model_input, pd.Series):
        return list(model_input)
    if isinstance(model_input, np.ndarray):
        is_one = model_input.ndim == 0 or (model_input.ndim == 2 and model_input.dtype.kind in "uf")
        return [model_input.item() if model_input.ndim == 0 else model_input] if is_one else list(model_input)
    if isinstance(model_input, list | tuple):
        return [value[COLUMN] if isinstance(value, Mapping) else value for value in model_input]
    return [model_input]


def _pictures(values: list[Any]) -> Iterator[Any]:
    """Yield the decoded pictures; those of one request to a server together may be no larger than one may be."""
    from deepcolor.coloring.picture import as_picture
    from deepcolor.data.decoding.bounds import Limits

    most = Limits.usual().megapixels if _is_served() else math.inf
    pixels = 0
    for value in values:
        picture = as_picture(_picture(value))
        pixels += picture.rgb_HW3.shape[0] * picture.rgb_HW3.shape[1]
        if pixels > most * 10**6:
            raise _refusal(f"input: must have at most {most:g} megapixels a request; got more. Send fewer at a time.")
        yield picture


def _picture(value: Any) -> Any:
    """Return what `ColorModel.colorize` takes."""
    if isinstance(value, str):
        decoded = _decoded(value)
        if decoded is not None:
            return decoded
        if _is_served():
            raise _refusal("input: a served model takes pictures in base64; got text that is none. Encode the file.")
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return _pixels(value)
    return value


def _pixels(rows: Sequence[Any]) -> npt.NDArray[np.uint8]:
    """Return the array that JSON carried as lists of numbers from 0 to 255."""
    array = np.asarray(rows)
    if array.dtype.kind not in "ui" or array.min() < 0 or array.max() > 255:
        raise _refusal("input: a picture as lists must hold whole numbers from 0 to 255. Send it as PNG in base64.")
    return array.astype(np.uint8)


def _decoded(text: str) -> bytes | None:
    """Return the bytes of a base64 text, with or without a `data:` prefix; None when it is none, and so a path."""
    head, comma, tail = text.partition(",")
    body = tail if comma and head.startswith("data:") else text
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    # A short path such as "photo" is valid base64 too; a picture file is longer than any of them.
    return data if len(data) > 64 or comma else None


def _refusal(message: str) -> MlflowException:
    """An error that a server answers with its message, as the client's mistake."""
    error: MlflowException = MlflowException.invalid_parameter_value(message)
    return error


def _form(value: Any, output: str) -> str:
    if output != "as_input":
        return output
    if isinstance(value, str) and _decoded(value) is not None:
        return "base64"
    return "png" if isinstance(value, str | bytes | bytearray | os.PathLike) else "array"


def _written(pixels: npt.NDArray[Any], form: str) -> Any:
    from deepcolor.coloring.picture import png_bytes

    if form == "array":
        return pixels
    data = png_bytes(pixels)
    return data if form == "png" else base64.b64encode(data).decode()


set_model(DeepcolorModel())
