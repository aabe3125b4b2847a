"""Use a model: load it, colour pictures of any size, serve it through MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepcolor.inference.model_code import MODEL_CODE

if TYPE_CHECKING:
    from deepcolor.coloring.color_model import ColorModel
    from deepcolor.coloring.picture import ImageInput
    from deepcolor.inference.loading import colorize, load

__all__ = ["MODEL_CODE", "ColorModel", "ImageInput", "colorize", "load"]

_WHERE = {
    "ColorModel": "deepcolor.coloring.color_model",
    "ImageInput": "deepcolor.coloring.picture",
    "colorize": "deepcolor.inference.loading",
    "load": "deepcolor.inference.loading",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a promotion needs MODEL_CODE alone, and torch takes seconds."""
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what there is, whether it has been used yet or not."""
    return sorted({*globals(), *__all__})
