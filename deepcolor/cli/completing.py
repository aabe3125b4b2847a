"""What a shell offers when a name is completed: fast, and silent whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import typer

from deepcolor.workspace import Workspace

_LINE = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Variables in which bash, and the other shells, hand over what has been typed."""


def studies(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the studies of the workspace."""
    from deepcolor.app.offered import offered_studies

    return _offered(context, lambda place: offered_studies(place, incomplete))


def trials(context: typer.Context, incomplete: str) -> list[str]:
    """Offer studies, and the trials of one that is named with its `#`."""
    from deepcolor.app.offered import offered_trials

    return _offered(context, lambda place: offered_trials(place, incomplete))


def numbers(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the numbers of the trials of the study that was named before."""
    from deepcolor.app.offered import offered_numbers

    # Where an option waits for its value, nothing of the line has been parsed.
    line = " ".join(os.environ.get(name, "") for name in _LINE)
    return _offered(context, lambda place: offered_numbers(place, line.split(), incomplete))


def models(context: typer.Context, incomplete: str) -> list[str]:
    """Offer references of registered models."""
    from deepcolor.app.offered import offered_models

    return _offered(context, lambda place: offered_models(place, incomplete))


def lines(context: typer.Context, incomplete: str) -> list[str]:
    """Offer what registered models compete as."""
    from deepcolor.app.offered import offered_lines

    return _offered(context, lambda place: offered_lines(place, incomplete))


def _offered(context: typer.Context, find: Callable[[Workspace], list[str]]) -> list[str]:
    named = context.params.get("workspace") or os.environ.get("DEEPCOLOR_WORKSPACE") or ""
    try:
        return find(Workspace.at(Path(named)))
    except Exception:  # noqa: BLE001  # A message would land in the line that somebody is typing.
        return []
