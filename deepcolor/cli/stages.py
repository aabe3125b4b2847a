"""`deepcolor stages`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import DebugOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from deepcolor.app.stages import DescribedStage
    from deepcolor.config.reference import Key

_WIDTH = 100
"""Columns of a meaning."""


def stages(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STAGE]",
            help="Show the keys of this one: a name, FILE.py:NAME or package.module:NAME.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the stages, the kinds of training that a sweep can name; or all that a sweep of one may say.

    A stage is shipped, or offered by an installed package, or your own (docs/extending.md). Of one, each key of its
    sections of a sweep file is shown, with what it may be, its default and its meaning.

    [bold]Examples[/bold]

      deepcolor stages

      deepcolor stages colorizer

      deepcolor stages own/diabetes.py:Diabetes
    """
    from deepcolor.app.stages import describe_stage, list_stages

    if name is None:
        found = list_stages()
        rows = [[one.name, ", ".join(one.starts_from) or "-", one.about] for one in found]
        console.table("", ["stage", "starts from", "what its models do"], rows, whole=("stage",))
        if console.settings.json:
            console.result("", [one.as_dict() for one in found])
        return
    one = describe_stage(name)
    console.result("\n".join(_described(one)), one.as_dict())


def _described(one: DescribedStage) -> list[str]:
    lines = [f"{console.bold(one.name)}: {one.about}" if one.about else console.bold(one.name)]
    measured = {"after every epoch": one.metrics, "of the weights": one.final_metrics}
    for when, metrics in measured.items():
        if metrics:
            named = ", ".join(f"{metric} ({direction})" for metric, direction in metrics.items())
            lines.append(f"measured {when}: {named}")
    if one.starts_from:
        lines.append(f"starts from: {', '.join(one.starts_from)}")
    return [*lines, *(line for key in one.keys for line in _shown(key))]


def _shown(key: Key) -> list[str]:
    default = key.default if key.default in {"required", "as below"} else f"default {key.default}"
    meaning = textwrap.wrap(key.meaning, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return ["", f"{console.bold(key.key)}  {key.value}, {default}", *meaning]
