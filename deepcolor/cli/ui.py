"""`deepcolor ui`: MLflow's own web pages on the workspace's database, and links that open them in the right place."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    JsonOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.printable import fit_to_print
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.app.ui import Pages


def ui(
    study: Annotated[
        str | None, typer.Argument(help="Open on this study.", show_default=False, autocompletion=completing.studies)
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to serve on.")] = 5000,
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Serve MLflow's pages on the workspace, and print the links to its studies; Ctrl-C ends it.

    The link to a study opens its trials as one sorted table. Of a single study there are more: the charts of its best
    trials, its trainings under other seeds, and its own page. With a server as --tracking-uri, only links are printed.

    [bold]Examples[/bold]

      deepcolor ui

      deepcolor ui report1-colorizer --port 5001

      deepcolor ui report1-colorizer --tracking-uri http://tracker:5000
    """
    from deepcolor.app.ui import find_pages

    place, reporter = Workspace.at(workspace), ConsoleReporter()
    pages = find_pages(place, tracking_uri(place, tracking), study=study, host=host, port=port, reporter=reporter)
    if pages.server is None:
        _print_links(pages)
        return
    try:
        with pages.server.running(aloud=console.settings.debug, reporter=reporter) as server:
            _print_links(pages)
            console.note("Ctrl-C ends it")
            server.wait()
    except KeyboardInterrupt:
        console.note("ended")


def _print_links(pages: Pages) -> None:
    links = pages.studies
    if len(links) == 1:
        # One study: all that is prepared of it.
        (name,) = links
        charts, confirmation = pages.charts.get(name), pages.confirmations.get(name)
        also = {"charts": charts, "other seeds": confirmation, "about it": pages.about[name]}
        links = {name: links[name], **{what: link for what, link in also.items() if link}}
    width = max((len(name) for name in links), default=0)
    lines = [f"{name:<{width}}  {link}" for name, link in links.items()] or [f"{pages.url} (no studies yet)"]
    if console.settings.json:
        said = {"charts": pages.charts, "confirmations": pages.confirmations, "about": pages.about}
        console.result("", {"url": pages.url, "studies": pages.studies, **said})
    else:
        # Not through the console: a link must not be wrapped at the edge of the terminal.
        sys.stdout.write(fit_to_print("\n".join(lines)) + "\n")
    sys.stdout.flush()
