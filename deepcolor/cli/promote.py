"""`deepcolor promote`."""

from __future__ import annotations

from typing import Annotated

import typer

from deepcolor.cli import completing, console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    StorageOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
    workspace_at,
)
from deepcolor.cli.reporter import ConsoleReporter


def promote(
    study: Annotated[
        str,
        typer.Argument(help="Study whose trial is promoted.", show_default=False, autocompletion=completing.studies),
    ],
    trial: Annotated[
        int | None,
        typer.Option("--trial", help="Trial number.", show_default="the winner", autocompletion=completing.numbers),
    ] = None,
    own_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Compete for a champion of its own: fruits, for colorizer-fruits.",
            show_default="with the champion of its data set",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it champion whatever the gate says.")] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train it again first if `deepcolor gc` removed its weights.")
    ] = False,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
    storage: StorageOption = None,
    tracking: TrackingOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Register a study's best trial, and make it champion if it is better than the present one.

    It is measured on the test split, which no search ever looks at. It must be better than predicting the training
    pictures' mean colour, and better than the champion of its data set by more than chance explains; else it is
    registered as candidate. A champion of another data set stays where it is: --as gives a data set one of its own.

    Where the sweep has confirmed its winner under other seeds, the best training of the winning setting is taken, and
    winner and runner-up are compared on the test pictures, over all of their trainings.

    [bold]Examples[/bold]

      deepcolor promote report1-regressor

      deepcolor promote report1-colorizer --trial 7 --force

      deepcolor promote my-fruit-colorizer --as fruits
    """
    place = workspace_at(workspace, storage)
    uri = tracking_uri(place, tracking)
    from deepcolor.app.promote import promote_trial

    promotion = promote_trial(
        place,
        study,
        uri,
        number=trial,
        own_name=own_name,
        force=force,
        device=device,
        retrain=retrain,
        reporter=ConsoleReporter(),
    )
    evidence = promotion.version.evidence
    told = f"{promotion.sentence}\n{evidence.sentence}" if evidence else promotion.sentence
    console.result(told, promotion.as_dict())
