"""`deepcolor compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from deepcolor.words import duration, figure_text, param_text, plus_minus, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepcolor.app.compare import Comparison, Side

_SECONDS = {"wall_s": "time of the sweep", "gpu_s": "GPU time", "training_s": "time of training"}


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Studies, or trials as STUDY#NUMBER; two or more.",
            show_default=False,
            autocompletion=completing.trials,
        ),
    ],
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Put studies or trials beside each other: settings that differ, what they gave, what they cost.

    A study stands for its best trial. What is the same in all of them is left out. You are told where figures
    should not be compared, because data or objectives differ. For pictures side by side: deepcolor report STUDY STUDY.

    [bold]Examples[/bold]

      deepcolor compare report1-regressor tpe-regressor

      deepcolor compare tpe-regressor#3 tpe-regressor#17

      deepcolor compare tpe-regressor tpe-regressor#3 --json
    """
    from deepcolor.app.compare import compare as compare_them

    found = compare_them(workspace_at(workspace, storage), names, reporter=ConsoleReporter())
    if console.settings.json:
        console.result("", found.as_dict())
        return
    _show(found)


def _show(found: Comparison) -> None:
    """Print a table for each kind of thing that differs."""
    names = [str(side.name) for side in found.sides]
    for warning in found.warnings:
        console.warn(warning)
    _differences("the sweeps differ in", names, found.asked)
    if any(side.name.trial is None for side in found.sides):
        best = [_best(side) for side in found.sides]
        _table(
            "best trial" if all(side.name.trial is None for side in found.sides) else "trial", names, {"trial": best}
        )
    _differences("their settings differ in", names, found.settings)
    _table("what they gave", names, _figures(found))
    _table("what they cost", names, _costs(found))


def _best(side: Side) -> str:
    return "-" if side.trial is None else str(side.trial.number)


def _differences(title: str, names: list[str], rows: Mapping[str, tuple[Any, ...]]) -> None:
    if rows:
        _table(title, names, {key: [_text(value) for value in values] for key, values in rows.items()}, numeric=False)


def _figures(found: Comparison) -> dict[str, list[str]]:
    """A row for each figure that one of them has; what other seeds said first of all."""
    rows: dict[str, list[str]] = {}
    sides = found.sides
    for name in dict.fromkeys(name for side in sides for name in side.figures):
        first = any(name == side.objectives[0] for side in sides)
        text = value_text if first else figure_text
        rows[name] = [text(side.figures.get(name)) for side in sides]
        if first and any(side.seeds for side in sides):
            rows[f"{name} under other seeds"] = [
                f"{plus_minus(side.seeds[0], side.seeds[1])} ({side.seeds[2]})" if side.seeds else "-" for side in sides
            ]
    return rows


def _costs(found: Comparison) -> dict[str, list[str]]:
    names = dict.fromkeys(name for side in found.sides for name in side.cost)
    rows = {name: [side.cost.get(name) for side in found.sides] for name in names}
    return {
        _SECONDS.get(name, name): ["-" if value is None else _amount(name, value) for value in values]
        for name, values in rows.items()
        if any(values)
    }


def _amount(name: str, value: float) -> str:
    return duration(value) if name in _SECONDS else f"{value:,.0f}"


def _text(value: Any) -> str:
    """A value of a sweep as its file would have it, in short."""
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(each)}" for key, each in value.items()) or "none"
    return "-" if value is None else param_text(value)


def _table(title: str, names: list[str], rows: Mapping[str, list[str]], *, numeric: bool = True) -> None:
    if rows:
        cells = [[name, *values] for name, values in rows.items()]
        console.table(title, ["", *names], cells, numeric=names if numeric else ())
