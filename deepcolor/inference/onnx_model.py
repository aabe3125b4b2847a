"""A network as an ONNX file, for programs without Python: in float, and in int8. The one place that knows ONNX."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

from deepcolor.errors import ModelError
from deepcolor.models.networks import Network
from deepcolor.scratch import temporary_folder

OPSET = 17
"""Version of the operators; onnxruntime knows it since 1.12."""
INPUT, OUTPUT = "lightness", "ab"
FloatArray = npt.NDArray[np.float32]


class _InUnits(nn.Module):
    """The network, with its output in CIELAB units whatever its activation."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, lightness: Tensor) -> Tensor:
        return self.network.to_ab(self.network(lightness))


class OnnxModel:
    """An ONNX file's content, run by onnxruntime on the CPU."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def __call__(self, lightness_B1HW: FloatArray) -> FloatArray:
        """Return a*, b* in CIELAB units: shape (B, 2, H, W), or (B, 2) from a regressor.

        Args:
            lightness_B1HW: Normalised L*, float32.
        """
        return np.asarray(self._session.run([OUTPUT], {INPUT: lightness_B1HW})[0])


def in_units(network: Network, lightness_B1HW: FloatArray) -> FloatArray:
    """Return what torch says to the same input: a*, b* in CIELAB units."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        seen = torch.from_numpy(lightness_B1HW).to(device)
        return np.asarray(_InUnits(network).eval()(seen).float().cpu().numpy())


def exported(network: Network, *, described: Mapping[str, Any], any_size: bool) -> OnnxModel:
    """Write a network as ONNX, in float.

    Args:
        network: In evaluation mode, on the CPU.
        described: What the file's metadata says, by name; values other than text are written as JSON.
        any_size: Whether height and width stay open; else they are those that the network was trained on.
    Raises:
        ModelError: It computes something that cannot be written as ONNX.
    """
    size = network.size_px
    # Height and width that differ: what took one for the other would show.
    example = torch.rand(1, 1, size, size + 64 if any_size else size, generator=torch.Generator().manual_seed(0))
    open_axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    output_axes = open_axes if network.target == "pixels" else {0: "batch"}
    try:
        with temporary_folder("onnx") as folder, _quiet():
            torch.onnx.export(
                _InUnits(network).eval(),
                (example,),
                folder / "float.onnx",
                dynamo=False,  # The other way refuses these networks with open sizes, and needs further packages.
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: open_axes, OUTPUT: output_axes},
            )
            written = onnx.load(str(folder / "float.onnx"))
    except Exception as error:  # torch raises anything, and so does a user's own network
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"export: the network must be made of operations that ONNX has; got {said}.") from error
    return OnnxModel(_described(written, described))


def in_int8(model: OnnxModel, calibration: Sequence[FloatArray], *, described: Mapping[str, Any]) -> OnnxModel:
    """Turn convolutions into 8-bit ones: weights by channel, what flows between them by the ranges that pictures show.

    Args:
        model: In float.
        calibration: Inputs like those to come, of shape (1, 1, H, W).
        described: As for `exported`.
    """
    with temporary_folder("onnx") as folder, _quiet():
        before, after = folder / "float.onnx", folder / "int8.onnx"
        before.write_bytes(model.content)
        quantize_static(
            str(before),
            str(after),
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "ConvTranspose"],
            per_channel=True,
            # Without VNNI, sums of products of 8 bits each overflow 16; 7 bits of weights do not.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return OnnxModel(_described(onnx.load(str(after)), described))


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped
    def __init__(self, inputs: Sequence[FloatArray]) -> None:
        self._inputs: Iterator[FloatArray] = iter(inputs)

    def get_next(self) -> dict[str, FloatArray] | None:
        found = next(self._inputs, None)
        return None if found is None else {INPUT: found}


def metadata_of(file: Path) -> dict[str, str]:
    """Return what an exported file says of itself."""
    return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


def _described(proto: onnx.ModelProto, described: Mapping[str, Any]) -> bytes:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}
    onnx.helper.set_model_props(proto, texts)
    proto.producer_name = "deepcolor"
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what is said to developers of exporters from users."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().setLevel(level)
