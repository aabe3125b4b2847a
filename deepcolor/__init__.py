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
    "delete",
    "draw",
    "export",
    "list_models",
    "list_studies",
    "load",
    "open_study",
    "pipeline",
    "plan",
    "prepare",
    "promote",
    "pull",
    "rename",
    "rollback",
    "serve",
    "submit",
    "sweep",
    "sync",
]

if TYPE_CHECKING:
    from typing import Any

    from deepcolor.api import (
        Cluster,
        SlurmProfile,
        Study,
        delete,
        draw,
        export,
        list_models,
        list_studies,
        open_study,
        pipeline,
        plan,
        prepare,
        promote,
        pull,
        rename,
        rollback,
        serve,
        submit,
        sweep,
        sync,
    )
    from deepcolor.inference import colorize, load


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
