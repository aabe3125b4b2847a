"""`deepcolor models`, `deepcolor pull` and `deepcolor rollback`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

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
from deepcolor.words import value_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.registry.versions import ModelVersion

_COLUMNS = ("model", "alias", "data", "test MSE", "mean colour", "PSNR dB", "from")
"""What fits a terminal of 80 columns or a little more; --json says the rest."""
_ANY_COLUMNS = ("model", "alias", "data", "test error", "baseline", "PSNR dB", "from")
"""The same where there are models of other stages than the shipped ones."""


def models(
    stage: Annotated[
        str | None,
        typer.Argument(
            help="A stage, such as colorizer; or one such as colorizer-fruits.",
            show_default="all",
            autocompletion=completing.lines,
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the registered models: their versions, aliases, data sets and figures on the test split.

    "mean colour" is what predicting the mean colour of the training pictures gives there: a model that has learned
    something is below it. Of another stage, it is what has learned nothing there.

    [bold]Examples[/bold]

      deepcolor models

      deepcolor models colorizer --json
    """
    from deepcolor.app.models import are_shipped, list_models

    uri = tracking_uri(Workspace.at(workspace), tracking)
    versions = list_models(uri, of=stage or None, reporter=ConsoleReporter())
    if console.settings.json:
        console.result("", [version_as_dict(version) for version in versions])
    elif versions:
        columns = _COLUMNS if are_shipped(version.stage for version in versions) else _ANY_COLUMNS
        console.table("", columns, [_row(version) for version in versions], numeric=columns[3:6])
    else:
        console.result("no models yet: deepcolor promote STUDY registers the best trial of a study", [])


def pull(
    ref: Annotated[
        str,
        typer.Argument(
            help="STAGE@ALIAS or STAGE@VERSION, such as colorizer@champion.",
            show_default=False,
            autocompletion=completing.models,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)],
    registry_stage: Annotated[
        str | None,
        typer.Option(
            "--registry-stage",
            metavar="Production|Staging|Archived",
            help="Take the version in this registry stage.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a registered model to a folder: weights, description, model card.

    Nothing of the model is run, and its checksum is compared.

    [bold]Examples[/bold]

      deepcolor pull colorizer@champion -o model/

      deepcolor pull transfer@3 -o model/

      deepcolor pull colorizer --registry-stage Production -o model/
    """
    from deepcolor.app.models import pull_model

    uri = tracking_uri(Workspace.at(workspace), tracking)
    reporter = ConsoleReporter()
    pulled = pull_model(ref, out=out, tracking_uri=uri, registry_stage=registry_stage, reporter=reporter)
    version, folder = pulled.version, pulled.folder
    console.result(
        f"{version.ref} is in {folder}: use it with `{_use(version, folder)}`",
        {"folder": str(folder), **version_as_dict(version)},
    )


def _use(version: ModelVersion, folder: Path) -> str:
    if version.colours:
        return f"deepcolor colorize PHOTOS -o OUT --model {quote(str(folder))}"
    return f"deepcolor.load({str(folder)!r})"


def rollback(
    stage: Annotated[
        str,
        typer.Argument(
            help="A stage, such as colorizer; or one such as colorizer-fruits.",
            show_default=False,
            autocompletion=completing.lines,
        ),
    ],
    workspace: WorkspaceOption = HERE,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Make the previous champion the champion again; a second rollback undoes the first.

    [bold]Examples[/bold]

      deepcolor rollback colorizer
    """
    from deepcolor.app.models import roll_back

    uri = tracking_uri(Workspace.at(workspace), tracking)
    done = roll_back(stage, tracking_uri=uri, reporter=ConsoleReporter())
    console.result(
        f"{done.champion.ref} is champion again; {done.replaced.ref} is previous now",
        {"champion": version_as_dict(done.champion), "previous": version_as_dict(done.replaced)},
    )


_NOT_SHOWN = ("line", "pictures", "splits", "colours", "about", "use", "units")
"""Of a version as a JSON object: said by other keys, or for its card."""


def version_as_dict(version: ModelVersion) -> dict[str, Any]:
    """A version as a JSON object."""
    data = asdict(version)
    for name in (*_NOT_SHOWN, *(() if version.code else ("code",))):
        del data[name]
    data["model"] = version.model.identity()
    return {"ref": version.ref, "stage": version.stage, "name": version.line.name, **data}


def _row(version: ModelVersion) -> list[str]:
    def figure(name: str) -> str:
        return value_text(version.test.get(name))

    return [
        version.ref,
        ", ".join(version.aliases),
        version.data or "-",
        figure(version.gate_metric),
        figure(f"baseline_{version.gate_metric}"),
        f"{version.test['psnr_db']:.2f}" if "psnr_db" in version.test else "-",
        f"{version.study} t{version.trial:04d}" if version.study and version.trial is not None else "-",
    ]
