"""Names that a shell offers while somebody types: quick, and without anything that has to be set up."""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.workspace import Workspace


def offered_studies(workspace: Workspace, begun: str) -> list[str]:
    """Return the studies whose names begin like this."""
    from deepcolor.search.study.glance import glance_at_studies

    return [name for name in glance_at_studies(workspace) if name.startswith(begun)]


def offered_trials(workspace: Workspace, begun: str) -> list[str]:
    """Return the studies whose names begin like this; once one is named with its `#`, its trials: `NAME#3`."""
    from deepcolor.search.study.glance import glance_at_trials

    study, mark, number = begun.partition("#")
    if not mark:
        return offered_studies(workspace, begun)
    return [f"{study}#{each}" for each in glance_at_trials(workspace, study) if str(each).startswith(number)]


def offered_numbers(workspace: Workspace, words: Sequence[str], begun: str) -> list[str]:
    """Return the numbers, that begin like this, of the trials of the study that one of these words names."""
    study = next((name for name in offered_studies(workspace, "") if name in words), None)
    return [] if study is None else [each.partition("#")[2] for each in offered_trials(workspace, f"{study}#{begun}")]


def offered_models(workspace: Workspace, begun: str) -> list[str]:
    """Return the references of registered models that begin like this; those on a server are not asked for."""
    from deepcolor.registry.glance import glance_at_models

    return [name for name in glance_at_models(workspace.mlflow_db) if name.startswith(begun)]


def offered_lines(workspace: Workspace, begun: str) -> list[str]:
    """Return what models compete as, `colorizer` or `colorizer-fruits`, that begins like this."""
    return list(dict.fromkeys(name.partition("@")[0] for name in offered_models(workspace, begun)))
