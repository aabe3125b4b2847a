"""Experiment-tracked hyperparameter search for networks that colour grey photos."""

from __future__ import annotations

TYPE_CHECKING = False
"""As in `typing`, which is not imported here: `python -m deepcolor` takes one of that name from the present folder.
"""

__version__ = "0.1.0"
__all__ = ["__version__", "colorize", "load"]

if TYPE_CHECKING:
    from typing import Any

    from deepcolor.inference import colorize, load


def __getattr__(name: str) -> Any:
    """Import `load` and `colorize` on first use, so that `import deepcolor` stays free of torch and MLflow."""
    if name in {"colorize", "load"}:
        from deepcolor import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'deepcolor' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what there is, whether it has been used yet or not: what a notebook offers after `deepcolor.`."""
    return sorted({*globals(), *__all__})
