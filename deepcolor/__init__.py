"""Experiment-tracked hyperparameter search for networks that colour grey photos."""

from __future__ import annotations

TYPE_CHECKING = False
"""As in `typing`, which is not imported here: `python -m deepcolor` would take a file of that name from the current
folder.
"""

__version__ = "0.1.0"
__all__ = [
    "Cluster",
    "SlurmProfile",
    "Study",
    "__version__",
    "colorize",
    "draw",
    "load",
    "open_study",
    "pipeline",
    "plan",
    "prepare",
    "promote",
    "pull",
    "serve",
    "submit",
    "sweep",
]

if TYPE_CHECKING:
    from typing import Any

    from deepcolor.api import Cluster, SlurmProfile, draw, pipeline, plan, prepare, promote, pull, serve, submit, sweep
    from deepcolor.inference import colorize, load
    from deepcolor.study import Study, open_study


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use, so that `import deepcolor` stays free of torch and MLflow."""
    if name not in __all__:
        raise AttributeError(f"module 'deepcolor' has no attribute {name!r}")
    from importlib import import_module

    room = "deepcolor.inference" if name in {"colorize", "load"} else "deepcolor.api"
    return getattr(import_module(room), name)


def __dir__() -> list[str]:
    """List every public name, used yet or not: this is what a notebook completes after `deepcolor.`."""
    return sorted({*globals(), *__all__})
