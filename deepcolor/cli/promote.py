"""`deepcolor promote`."""

from __future__ import annotations

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
    from deepcolor.registry.promote import Promotion
    from deepcolor.search.study import StoredStudy, StoredTrial


def promote(
    study: Annotated[str, typer.Argument(help="Study whose trial is promoted.", show_default=False)],
    trial: Annotated[int | None, typer.Option("--trial", help="Trial number.", show_default="the best")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it champion even if it loses.")] = False,
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
    """Register a study's best trial, and make it champion if it beats the present one.

    Both are measured on the test split, which no search ever looks at. A trial that loses is registered as candidate.

    [bold]Examples[/bold]

      deepcolor promote report1-regressor

      deepcolor promote report1-colorizer --trial 7 --force
    """
    place = Workspace.at(workspace)
    uri = tracking_uri(place, tracking)
    promotion = promote_trial(place, study, uri, number=trial, force=force, device=device, retrain=retrain)
    for warning in promotion.warnings:
        console.warn(warning)
    console.result(promotion.sentence, promotion_as_dict(promotion))


def promote_trial(
    workspace: Workspace,
    name: str,
    uri: str,
    *,
    number: int | None = None,
    force: bool = False,
    device: str = "auto",
    retrain: bool = False,
) -> Promotion:
    """Promote the best trial of a study, or the one of a number; `retrain` brings back weights that were collected.

    Raises:
        StudyError: There is no such study or trial, or the trial has no model to promote.
    """
    from deepcolor.cli.retrain import refuse_collected
    from deepcolor.cli.retrain import retrain as train_again
    from deepcolor.data.manifest import load_manifest
    from deepcolor.data.stored import ensure_cache
    from deepcolor.inference.package import MODEL_CODE
    from deepcolor.registry.promote import Candidate
    from deepcolor.registry.promote import promote as register
    from deepcolor.search.study import StudyStorage

    study = StudyStorage(workspace).load(name)
    trial = _chosen(study, number)
    assert trial.outcome is not None
    assert trial.outcome.result is not None
    assert trial.place is not None
    sweep = study.sweep
    folder = workspace.trajectories / trial.outcome.result
    if retrain and not folder.is_dir():
        train_again(workspace, study, trial, tracking_uri=uri, device=device)
    refuse_collected(name, trial, folder)
    setting = sweep.setting(trial.params)
    settings = setting.model_dump(mode="json", include={"model", "training", "init"})
    cache = ensure_cache(workspace, load_manifest(workspace, sweep.data.name), sweep.data)
    candidate = Candidate(
        stage=sweep.stage,
        model_folder=folder,
        cache_folder=cache,
        study=name,
        trial=trial.number,
        params={key: value for part in settings.values() for key, value in part.items()},
        data_digest=cache.name,
        parent=trial.place.parent,
    )
    return register(
        candidate, tracking_uri=uri, model_code=MODEL_CODE, force=force, device=device, on_step=console.note
    )


def promotion_as_dict(promotion: Promotion) -> dict[str, object]:
    """A promotion as a JSON object."""
    comparison = promotion.comparison
    return {
        "version": promotion.version.ref,
        "verdict": promotion.verdict,
        "promoted": promotion.promoted,
        "registered": promotion.registered,
        "test": promotion.test,
        "champion_before": promotion.champion_before.ref if promotion.champion_before else None,
        "relative": comparison.relative if comparison else None,
        "interval": comparison.interval if comparison else None,
        "warnings": list(promotion.warnings),
    }


def _chosen(study: StoredStudy, number: int | None) -> StoredTrial:
    from deepcolor.search.summary import best_of

    trials = study.trials()
    if number is None:
        best = best_of(trials)
        if best is None:
            raise StudyError(
                f"study: {study.name!r} has no complete trial to promote. "
                "Run its sweep first, or see: deepcolor studies"
            )
        return best
    if not 0 <= number < len(trials):
        raise StudyError(f"--trial: must be one of 0 to {len(trials) - 1}; got {number} (study {study.name}).")
    trial = trials[number]
    if trial.outcome is None or trial.outcome.result is None:
        raise StudyError(
            f"--trial: trial {number} of {study.name} is {trial.state} and has no model. Choose another one."
        )
    return trial
