"""`deepcolor sync`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    COMMON,
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    WorkspaceOption,
    noted,
    tracking_uri,
)
from deepcolor.counting import counted
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.tracking.rebuild import Rebuilt


def sync(
    study: Annotated[str | None, typer.Argument(help="Study to bring up to date.", show_default="all of them")] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--tracking-uri",
            callback=noted,
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow server or database.",
            show_default="sqlite in mlruns/",
            rich_help_panel=COMMON,
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Rebuild the MLflow runs of a study, or of all, from what the workspace holds.

    After an outage, into an empty database, or into another server. What MLflow holds already is left alone, so running
    it twice changes nothing.

    [bold]Examples[/bold]

      deepcolor sync

      deepcolor sync report1-regressor

      deepcolor sync --to http://127.0.0.1:5000
    """
    place = Workspace.at(workspace)
    uri = tracking_uri(place, to)
    rebuilt, skipped = sync_studies(place, uri, study=study)
    show(rebuilt, skipped, uri)


def sync_studies(
    workspace: Workspace, uri: str, *, study: str | None = None
) -> tuple[dict[str, Rebuilt], dict[str, str]]:
    """Rebuild the runs of one study, or of all that no driver is at work on.

    Returns:
        What was done for each study; and the reason for each that was left out.
    Raises:
        StudyError: The one study asked for does not exist, or a driver is at work on it.
        TrackingError: The store cannot be reached, or refuses a record.
    """
    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.study.storage import StudyStorage, owned
    from deepcolor.search.upkeep.replay import replay
    from deepcolor.tracking.rebuild import rebuild

    storage = StudyStorage(workspace)
    done: dict[str, Rebuilt] = {}
    skipped: dict[str, str] = {}
    artifact_root = workspace.artifacts if uri == workspace.mlflow_uri else None
    for name in [study] if study is not None else storage.names():
        try:
            stored = storage.load(name)
            report = ReportFolder(workspace.report(name))
            with owned(workspace, name, on_wait=console.note):
                records = replay(workspace, stored, report=report)
                done[name] = rebuild(records, tracking_uri=uri, artifact_root=artifact_root)
        except StudyError as error:
            if study is not None:
                raise
            skipped[name] = str(error)
            continue
        console.note(f"{name}: {_counts(done[name])}")
    return done, skipped


def show(rebuilt: dict[str, Rebuilt], skipped: dict[str, str], uri: str) -> None:
    """Print what was done, and which studies were left out."""
    from deepcolor.printable import shown_uri
    from deepcolor.tracking.rebuild import Rebuilt

    for reason in skipped.values():
        console.warn(reason)
    total = sum(rebuilt.values(), start=Rebuilt())
    data = {
        "tracking_uri": shown_uri(uri),
        **asdict(total),
        "studies": {name: asdict(one) for name, one in rebuilt.items()},
        "skipped": skipped,
    }
    if rebuilt or skipped:
        console.result(f"{_counts(total)}, in {shown_uri(uri)}", data)
    else:
        console.result("No studies yet. Start one with: deepcolor sweep FILE", data)


def _counts(rebuilt: Rebuilt) -> str:
    return f"{counted(rebuilt.made, 'run')} made, {rebuilt.updated} brought up to date, {rebuilt.unchanged} left alone"
