"""`deepcolor storage`: move studies between SQLite and PostgreSQL, and bring a database up to this version."""

from __future__ import annotations

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
    guard_secrets,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.storage import Copied, Upgraded

app = typer.Typer(no_args_is_help=True, help="Move studies to another database, or bring theirs up to this version.")


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="File of SQLite, or URL of a database.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; created if it is a file.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY]...", help="Studies.", show_default="all", autocompletion=completing.studies),
    ] = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Copy studies from SQLite to PostgreSQL, or back.

    Every study is copied as a whole, or not at all, and compared afterwards. One that the other database holds already
    as it is is left alone, so that the same command continues; one that differs is refused, and so is one that is being
    run. Nothing is removed, and trainings stay where they are, below studies/.

    [bold]Examples[/bold]

      deepcolor storage copy studies/optuna.db postgresql+psycopg://ann@db.example.org/deepcolor

      deepcolor storage copy postgresql+psycopg://ann@db.example.org/deepcolor studies/optuna.db report1-regressor
    """
    for uri, option in ((source, "FROM"), (target, "TO")):
        guard_secrets(uri, option=option)
    from deepcolor.app.storage import copy_studies

    place = Workspace.at(workspace)
    _show_copied(copy_studies(place, source, target, names=names or (), reporter=ConsoleReporter()))


@app.command()
def upgrade(
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Bring the database of the studies up to the installed version of Optuna.

    Needed where a command says so, after an upgrade. Nobody may be running a study meanwhile. Of a file of SQLite a
    copy is kept beside it; back up a database of PostgreSQL first, with pg_dump.

    [bold]Examples[/bold]

      deepcolor storage upgrade

      deepcolor storage upgrade --storage postgresql+psycopg://ann@db.example.org/deepcolor
    """
    from deepcolor.app.storage import upgrade_storage

    _show_upgraded(upgrade_storage(workspace_at(workspace, storage)))


def _show_copied(done: Copied) -> None:
    there = f"; {counted(len(done.there), 'study')} there already" if done.there else ""
    told = f"{counted(len(done.copied), 'study')} copied from {done.source} to {done.target}{there}"
    told += f"\nto use it from now on, write this line into deepcolor.yaml in the workspace:\n{done.setting}"
    data = {"from": done.source, "to": done.target, "copied": list(done.copied), "there": list(done.there)}
    console.result(told, data)


def _show_upgraded(done: Upgraded) -> None:
    if done.before == done.now:
        told = f"{done.storage} is up to date ({done.now})"
    else:
        kept = f"; as it was: {done.backup}" if done.backup else ""
        told = f"{done.storage} is now of version {done.now}, after {done.before}{kept}"
    backup = str(done.backup) if done.backup else None
    console.result(told, {"storage": done.storage, "before": done.before, "now": done.now, "backup": backup})
