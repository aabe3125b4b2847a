"""`deepcolor promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcolor.cli import console
from deepcolor.cli.options import (
    HERE,
    DebugOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    TrackingOption,
    WorkspaceOption,
    tracking_uri,
)
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.config.schema import Setting, Sweep
    from deepcolor.registry.confirmation import Evidence
    from deepcolor.registry.promote import Candidate
    from deepcolor.registry.promotion import Promotion
    from deepcolor.search.study.storage import StoredTrial
    from deepcolor.training.conditions import Conditions


def promote(
    study: Annotated[str, typer.Argument(help="Study whose trial is promoted.", show_default=False)],
    trial: Annotated[int | None, typer.Option("--trial", help="Trial number.", show_default="the winner")] = None,
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
    place = Workspace.at(workspace)
    uri = tracking_uri(place, tracking)
    promotion = promote_trial(
        place, study, uri, number=trial, own_name=own_name, force=force, device=device, retrain=retrain
    )
    for warning in promotion.warnings:
        console.warn(warning)
    evidence = promotion.version.evidence
    told = f"{promotion.sentence}\n{evidence.sentence}" if evidence else promotion.sentence
    console.result(told, promotion_as_dict(promotion))


def promote_trial(
    workspace: Workspace,
    name: str,
    uri: str,
    *,
    number: int | None = None,
    own_name: str | None = None,
    force: bool = False,
    device: str = "auto",
    retrain: bool = False,
) -> Promotion:
    """Promote the winner of a study, or the trial of a number, as `own_name` if given; `retrain` brings back weights
    that were collected.

    Raises:
        StudyError: There is no such study or trial, or the trial has no model to promote.
    """
    from deepcolor.inference.package import MODEL_CODE
    from deepcolor.registry.promote import promote as register
    from deepcolor.search.study.ownership import shared_store

    with shared_store(workspace, on_wait=console.note):  # Nothing of the trial may be removed half way.
        candidate = _candidate(workspace, name, uri, number=number, device=device, retrain=retrain)
        return register(
            candidate,
            tracking_uri=uri,
            model_code=MODEL_CODE,
            force=force,
            name=own_name,
            device=device,
            on_step=console.note,
        )


def _candidate(
    workspace: Workspace, name: str, uri: str, *, number: int | None, device: str, retrain: bool
) -> Candidate:
    """Find the trial that is to be promoted, with all that the registry is told of it."""
    from deepcolor.cli.confirmation import confirmed, confirmed_weights, say_whose_weights
    from deepcolor.cli.retrain import refuse_collected
    from deepcolor.cli.retrain import retrain as train_again
    from deepcolor.data.stored import ensure_cache
    from deepcolor.registry.promote import Candidate
    from deepcolor.search.rules.confirmation import confirmation_of
    from deepcolor.search.study.pictures import manifest_of
    from deepcolor.search.study.storage import StudyStorage

    study = StudyStorage(workspace).load(name)
    trials = study.trials()
    confirmation = confirmation_of(study.sweep, trials, spent=study.spent) if number is None else None
    best = confirmed_weights(confirmation, trials) if confirmation else None
    trial = best or _chosen(name, trials, number)
    if confirmation is not None:
        say_whose_weights(confirmation, trial)
    assert trial.outcome is not None
    assert trial.outcome.result is not None
    assert trial.place is not None
    sweep = study.sweep
    folder = workspace.trajectories / trial.outcome.result
    if retrain and not folder.is_dir():
        train_again(workspace, study, trial, tracking_uri=uri, device=device)
    refuse_collected(name, trial, folder)
    setting = trial.setting(sweep)
    settings = setting.model_dump(mode="json", include={"model", "training", "init"})
    cache = ensure_cache(workspace, manifest_of(workspace, sweep), sweep.data)
    return Candidate(
        stage=sweep.stage,
        model_folder=folder,
        cache_folder=cache,
        study=name,
        trial=trial.number,
        params={key: value for part in settings.values() for key, value in part.items()},
        data=sweep.data.name,
        data_digest=cache.name,
        parent=trial.place.parent,
        confirmed=confirmed(confirmation, study, trials, workspace) if confirmation else None,
        conditions=conditions_of(workspace, sweep, setting, result=folder),
    )


def conditions_of(
    workspace: Workspace, sweep: Sweep, setting: Setting | None = None, *, result: Path | None = None
) -> Conditions:
    """How torch computed in a study's trainings: in that of a result, and where that does not say it, in the last."""
    from deepcolor.search.study.starts import read_start
    from deepcolor.training.conditions import Conditions
    from deepcolor.training.figures import read_threads

    start = read_start(workspace.study(sweep.study))
    threads = read_threads(result) if result else ()
    training = setting.training if setting else sweep.training
    return Conditions.of(training, threads=threads[-1] if threads else start.threads if start else None)


def promotion_as_dict(promotion: Promotion) -> dict[str, object]:
    """A promotion as a JSON object."""
    comparison = promotion.comparison
    return {
        "version": promotion.version.ref,
        "data": promotion.data,
        "verdict": promotion.verdict,
        "promoted": promotion.promoted,
        "registered": promotion.registered,
        "test": promotion.test,
        "champion_before": promotion.champion_before.ref if promotion.champion_before else None,
        "relative": comparison.relative if comparison else None,
        "interval": comparison.interval if comparison else None,
        "confirmation": evidence_as_dict(promotion.version.evidence),
        "warnings": list(promotion.warnings),
    }


def evidence_as_dict(evidence: Evidence | None) -> dict[str, object] | None:
    """What other seeds said of a version's setting, as a JSON object."""
    return {**vars(evidence), "verdict": evidence.verdict} if evidence else None


def _chosen(name: str, trials: list[StoredTrial], number: int | None) -> StoredTrial:
    from deepcolor.search.rules.summary import best_of

    if number is None:
        best = best_of(trials)
        if best is None:
            raise StudyError(
                f"study: {name!r} has no complete trial to promote. Run its sweep first, or see: deepcolor studies"
            )
        return best
    trial = next((trial for trial in trials if trial.number == number), None)
    if trial is None:
        last = max((trial.number for trial in trials), default=0)
        raise StudyError(f"--trial: must be one of 0 to {last}; got {number} (study {name}).")
    if trial.outcome is None or trial.outcome.result is None:
        raise StudyError(f"--trial: trial {number} of {name} is {trial.state} and has no model. Choose another one.")
    return trial
