"""`deepcolor delete`."""

from __future__ import annotations

import sys
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.counting import counted
from deepcolor.errors import UserError
from deepcolor.printable import shown_uri
from deepcolor.words import size

if TYPE_CHECKING:
    from deepcolor.app.delete import Deleting

_WHY = {
    "registered": "a registered version came from it",
    "pinned": "another study starts from its weights",
    "shared": "another study has trials on it",
}


def delete(
    study: Annotated[
        str, typer.Argument(help="The study to delete.", show_default=False, autocompletion=completing.studies)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Delete a study: its trials, its runs in MLflow, and the files that nothing else needs.

    What it will remove is said first. Nothing of a registered version goes: its training and its run stay. So do
    trainings that other studies share. MLflow keeps deleted runs until `mlflow gc` removes them, and can restore them;
    everything else is gone for good. If it is interrupted, run it again. Nothing may be training in the workspace
    meanwhile.

    [bold]Examples[/bold]

      deepcolor delete tpe-regressor --dry-run

      deepcolor delete tpe-regressor

      deepcolor delete tpe-regressor --yes
    """
    from deepcolor.app.delete import delete_study, plan_deletion
    from deepcolor.app.naming import say_name

    place = workspace_at(workspace, storage)
    uri = tracking_uri(place, tracking)
    planned = plan_deletion(place, study, tracking_uri=uri)
    say_name(study, planned.files.study, console.note)
    study = planned.files.study
    if dry_run:
        _tell(planned, to_come=True)
        console.result("nothing was removed", {**planned.as_dict(), "removed": False})
        return
    if not yes:
        _ask(planned)
    done = delete_study(place, study, tracking_uri=uri, planned=planned, reporter=ConsoleReporter())
    if yes:
        _tell(done, to_come=False)
    restore = f"; its {counted(len(done.runs.going), 'run')} can be restored in MLflow" if done.runs.going else ""
    console.result(
        f"{study} is deleted: {counted(done.files.trials, 'trial')}, {size(done.files.bytes)} freed{restore}",
        {**done.as_dict(), "removed": True},
    )


def _ask(planned: Deleting) -> None:
    """Let the user agree, or end.

    Raises:
        UserError: There is nobody to ask.
        Exit: The answer was no.
    """
    name = planned.files.study
    if console.settings.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            f"delete: needs somebody to ask; got no terminal. Look with --dry-run, then: "
            f"deepcolor delete {quote(name)} --yes"
        )
    _tell(planned, to_come=True)
    if not typer.confirm(f"Delete {name}?"):
        console.result("nothing was removed", {})
        raise typer.Exit


def _tell(found: Deleting, *, to_come: bool) -> None:
    """Print what goes and what stays."""
    if console.settings.quiet or console.settings.json:
        return
    files, runs = found.files, found.runs
    goes = [
        ("trials", files.trials, "", "for good"),
        ("runs", len(runs.going), "", f"in {shown_uri(found.asked[0])}, where they can be restored until `mlflow gc`"),
        (
            "trainings",
            len(files.trajectories),
            size(sum(files.trajectories.values())),
            "that nothing else needs; for good",
        ),
        ("folder", int(not files.elsewhere), size(files.folder_bytes), "its report, sweep and logs; for good"),
    ]
    rows = [[what, str(count), amount, why] for what, count, amount, why in goes if count]
    console.table("", ["what goes" if to_come else "what went", "count", "size", ""], rows, numeric=("count", "size"))
    stays = [[str(count), _WHY[reason]] for reason, count in files.reasons.most_common()]
    if stays:
        console.table("", ["trainings that stay", ""], stays, numeric=("trainings that stay",))
    if found.versions:
        console.note(f"registered from it, and kept with {counted(len(runs.kept), 'run')}: {', '.join(found.versions)}")
    if files.elsewhere:
        console.note("another database has a study of this name, so its runs and its folder stay")
