"""Model folders: `model.safetensors` and `model.json`, checked before anything is built. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from deepcolor.atomic import write_atomically
from deepcolor.config.sections import ModelConfig
from deepcolor.errors import CorruptFileError, ModelError
from deepcolor.models.description import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    ModelDescription,
    model_files,
    read_description,
    unreadable,
)
from deepcolor.models.networks import Network, Target, build, build_from
from deepcolor.models.saved import stage_of_model, take_code
from deepcolor.models.shapes import without_weights
from deepcolor.plainfile import read_plain
from deepcolor.plugins import Code

_MAX_HEADER_BYTES = 2**20
"""Room for names and shapes in a safetensors file beside the tensors themselves."""


def save_model(folder: Path, network: Network, description: ModelDescription) -> ModelDescription:
    """Write a model folder; each file appears whole or not at all, the description last.

    Args:
        folder: Made if missing.
        network: On any device.
        description: Of this network; `weights_sha256` is filled in.
    Returns:
        The description as written.
    Raises:
        OSError: The folder cannot be written to.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    files = model_files(safetensors.torch.save(tensors), description)
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        write_atomically(folder / name, files[name])
    return ModelDescription.model_validate_json(files[DESCRIPTION_FILE])


def load_model(folder: Path, device: str | torch.device = "cpu") -> tuple[Network, ModelDescription]:
    """Load a model folder, which may come from outside.

    Args:
        folder: Holds `model.safetensors` and `model.json`.
        device: Where the network goes.
    Returns:
        The network in evaluation mode, and its description.
    Raises:
        CorruptFileError: The weights do not match the checksum in the description.
        ModelError: A file is missing or none, the weights do not belong to the network described, or are no numbers.
    """
    description = read_description(folder)
    # Built without memory first: the shapes are known, and compared, before anything of their size is allocated.
    take_code(folder, description)
    target, form, size_px = _network_of(description, folder)
    code = Code(description.code)
    with without_weights():
        wanted = build(target, form, size_px, code=code).state_dict()
    content = _checked_content(folder / WEIGHTS_FILE, wanted, description)
    weights = _parsed(folder / WEIGHTS_FILE, content)
    _check_form(folder / WEIGHTS_FILE, weights, wanted)
    _check_numbers(folder / WEIGHTS_FILE, weights)
    network = build_from(target, form, size_px, weights=weights, device=device, code=code)
    return network.eval(), description


def _network_of(description: ModelDescription, folder: Path) -> tuple[Target, ModelConfig, int]:
    """What a description says of a network: what it predicts, its form, and the side of its pictures."""
    stage = stage_of_model(folder, description)
    if not stage.pictures or description.size_px is None or not issubclass(stage.model, ModelConfig):
        raise ModelError(f"model: must be of a network that colours; got one of {description.stage} ({folder}).")
    form = stage.model.model_validate(description.model.model_dump())
    return getattr(stage, "target", "pixels"), form, description.size_px


def _checked_content(path: Path, wanted: Mapping[str, Tensor], description: ModelDescription) -> bytes:
    largest = sum(tensor.nbytes for tensor in wanted.values()) + _MAX_HEADER_BYTES
    try:
        content = read_plain(path, most_bytes=largest)
    except FileNotFoundError as error:
        raise ModelError(f"model: {WEIGHTS_FILE} is missing ({path.parent}). Get the model again.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    found = hashlib.sha256(content).hexdigest()
    if found != description.weights_sha256:
        raise CorruptFileError(
            f"model: the SHA-256 of {WEIGHTS_FILE} must be that in {DESCRIPTION_FILE}, "
            f"{description.weights_sha256[:12]}...; got {found[:12]}... ({path}). It is damaged; get the model again."
        )
    return content


def _parsed(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(
            f"model: {WEIGHTS_FILE} must be a safetensors file; {error} ({path}). Get the model again."
        ) from error


def _check_form(path: Path, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    def form(tensors: Mapping[str, Tensor]) -> dict[str, str]:
        return {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in tensors.items()}

    got, expected = form(weights), form(wanted)
    differing = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
    if differing:
        name = differing[0]
        raise ModelError(
            f"model: {WEIGHTS_FILE} must hold the network that {DESCRIPTION_FILE} describes; {name[:80]} must be "
            f"{expected.get(name, 'absent')}, got {got.get(name, 'nothing')} ({path}). Get the model again."
        )


def _check_numbers(path: Path, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(weights.items()):
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"model: weights must be finite numbers; got NaN or infinity in {name} ({path}). "
                "It would colour every picture black; get the model again, or train it again."
            )
