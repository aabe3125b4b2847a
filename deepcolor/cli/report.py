"""`deepcolor report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from deepcolor.words import size

_PAGE = Path("report.html")
_PRINTED = Path("-")


def report(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Studies to compare, or a pipeline.",
            show_default=False,
            autocompletion=completing.studies,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it; - prints it.",
            show_default="report.html; tables are printed",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="html|csv|json|md",
            help="A page that can be mailed, or its tables as comma-separated values, JSON or Markdown.",
            show_default="as FILE ends, else html",
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the report of a study as one file that can be mailed: what was asked, the answer, curves, pictures, cost.

    The page needs no network and no other file, and stays below 5 MB. Several studies are compared side by side; a
    pipeline is its studies, and what fine-tuning changed. Each sweep writes the page of its study when it ends, too.

    [bold]Examples[/bold]

      deepcolor report report1-colorizer -o report.html

      deepcolor report report1-colorizer report2-colorizer -o both.html

      deepcolor report report1-colorizer --format csv
    """
    from deepcolor.app.report import form_of, report_of, write_report

    place, chosen = workspace_at(workspace, storage), form_of(form, to=output)
    to = output or (_PAGE if chosen == "html" else _PRINTED)
    if to == _PRINTED:
        text = report_of(place, studies, form=chosen, reporter=ConsoleReporter()).decode("utf-8", "surrogateescape")
        console.result(text.rstrip("\n"), {"format": chosen, "report": text})
        return
    written = write_report(place, studies, to=to, form=chosen, reporter=ConsoleReporter())
    said = f"the report of {', '.join(studies)} is in {to} ({size(written)})"
    console.result(said, {"file": str(to), "format": chosen, "bytes": written, "studies": studies})
