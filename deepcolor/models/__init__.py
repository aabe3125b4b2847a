"""The networks, and the files they travel in: safetensors and a JSON description, never pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ModelDescription", "Network", "build", "load_model", "save_model"]

if TYPE_CHECKING:
    from deepcolor.models.description import ModelDescription
    from deepcolor.models.modelfile import load_model, save_model
    from deepcolor.models.networks import Network, build


def __getattr__(name: str) -> Any:
    """Import on first use, so that reading a description does not import torch."""
    if name == "ModelDescription":
        from deepcolor.models import description

        return description.ModelDescription
    if name in {"load_model", "save_model"}:
        from deepcolor.models import modelfile

        return getattr(modelfile, name)
    if name in {"Network", "build"}:
        from deepcolor.models import networks

        return getattr(networks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
