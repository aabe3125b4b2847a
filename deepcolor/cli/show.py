"""`deepcolor show`."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    StorageOption,
    WorkspaceOption,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.cli.sparkline import sparkline
from deepcolor.words import figure_text, params_line, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepcolor.app.show import ShownTrial

_CURVE_WIDTH = 40
_MOST_CURVES = 8


def show(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="STUDY[#TRIAL]",
            help="A trial, such as tpe-colorizer#3.",
            show_default="the best one",
            autocompletion=completing.trials,
        ),
    ],
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Show one trial: its setting, its figures, its curve, and its pictures.

    Pictures are drawn in terminals that say that they can (kitty, Ghostty, iTerm2, WezTerm, foot, mlterm and others
    with sixels). Elsewhere, and inside tmux, you are told where they are.

    [bold]Examples[/bold]

      deepcolor show tpe-colorizer#3

      deepcolor show tpe-colorizer

      deepcolor show tpe-colorizer#3 --json
    """
    from deepcolor.app.naming import say_name
    from deepcolor.app.show import show_trial

    shown = show_trial(workspace_at(workspace, storage), trial, reporter=ConsoleReporter())
    say_name(trial.partition("#")[0], shown.name.study, console.note)
    if console.settings.json:
        console.result("", shown.as_dict())
        return
    console.result("\n".join(_lines(shown)), {})
    _pictures(shown)


def _lines(shown: ShownTrial) -> Iterator[str]:
    trial, done = shown.trial, shown.trial.outcome
    yield f"{console.bold(str(shown.name))}  {shown.state}"
    if trial.confirms is not None:
        yield _line("confirms", f"trial {trial.confirms.trial}, under seed {trial.confirms.seed}")
    yield _line("setting", params_line(trial.params) or "the one setting")
    yield _line(shown.objectives[0], value_text(trial.latest) + (f" (epoch {done.view.chosen_epoch})" if done else ""))
    for name, value in shown.figures.items():
        yield _line(name, figure_text(value))
    if trial.breaks:
        yield _line("breaks", trial.breaks_text)
    if trial.error:
        yield _line("ended", trial.error)
    if shown.traceback is not None:
        yield _line("traceback", str(shown.traceback))
    curves = list(shown.curves.items())
    for name, points in curves[:_MOST_CURVES]:
        yield _line(name, _curve([value for _, value in points]))
    if len(curves) > _MOST_CURVES:
        yield f"({len(curves) - _MOST_CURVES} more curves with --json)"


def _curve(values: list[float]) -> str:
    ends = f"{figure_text(values[0])} → {figure_text(values[-1])}"
    finite = [value for value in values if math.isfinite(value)]
    span = f", {figure_text(min(finite))} to {figure_text(max(finite))}" if len(finite) > 2 else ""
    return f"{sparkline(values, width=_CURVE_WIDTH)}  {ends}{span}; {len(values)} epochs" if len(values) > 1 else ends


def _line(name: str, text: str) -> str:
    return f"  {name:<14} {text}"


def _pictures(shown: ShownTrial) -> None:
    """Show the pictures, or say where they are."""
    from deepcolor.app.show import picture_codes

    if shown.result is None:
        if shown.trial.outcome is not None:
            console.note("its pictures are gone: a clean-up has removed its result")
        return
    for file in shown.pictures:
        drawn = picture_codes(file, environment=os.environ) if sys.stdout.isatty() else None
        console.plain(f"{_line(file.stem, str(file))}\n")
        if drawn is not None:
            sys.stdout.write(f"{drawn}\n")
            sys.stdout.flush()
