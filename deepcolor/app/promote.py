"""Promote a study's winner, or one of its trials, with all that the registry is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.data import data_of
from deepcolor.app.naming import say_name
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.counting import counted
from deepcolor.errors import StudyError
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.config.schema import Setting, Sweep
    from deepcolor.registry.evidence import Evidence
    from deepcolor.registry.promote import Candidate
    from deepcolor.registry.promotion import Promotion
    from deepcolor.search.rules.confirmation import Confirmation, ConfirmedSetting
    from deepcolor.search.study.trials import StoredTrial
    from deepcolor.training.conditions import Conditions


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
    reporter: Reporter = SILENT,
    heading: str = "",
) -> Promotion:
    """Promote the winner of a study, or the trial of a number.

    Args:
        workspace: Where the study is.
        name: Of the study.
        uri: The MLflow store that holds its runs, and the registry.
        number: Of the trial; None: the winner.
        own_name: Compete for a champion of its own: `fruits`, for `colorizer-fruits`.
        force: Make it champion whatever the gate says.
        device: Where it is measured: `auto`, `cpu`, `cuda` or `cuda:N`.
        retrain: Train it again first if its weights were collected.
        reporter: Is told what is going on, and in the end the promotion's warnings.
        heading: Stands before each of those, where several studies are told of.
    Raises:
        StudyError: There is no such study or trial, or the trial has no model to promote.
    """
    from deepcolor.search.study.ownership import shared_store

    with (
        shared_store(workspace, on_wait=reporter.note),  # Nothing of the trial may be removed half way.
        reporter.starting("promote") as steps,
    ):

        def on_step(what: str) -> None:
            reporter.note(what)
            steps.step(what)

        steps.step("loading libraries")
        from deepcolor.inference.model_code import MODEL_CODE
        from deepcolor.registry.promote import promote as register

        steps.hide()  # Training again, where it is needed, has bars of its own.
        candidate = _candidate(
            workspace, name, uri, number=number, device=device, retrain=retrain, force=force, reporter=reporter
        )
        steps.step("looking at the registry")
        promotion = register(
            candidate,
            tracking_uri=uri,
            model_code=MODEL_CODE,
            force=force,
            name=own_name,
            device=device,
            on_step=on_step,
        )
    for warning in promotion.warnings:
        reporter.warn(f"{heading}{warning}")
    return promotion


def _candidate(
    workspace: Workspace,
    name: str,
    uri: str,
    *,
    number: int | None,
    device: str,
    retrain: bool,
    force: bool,
    reporter: Reporter,
) -> Candidate:
    """Find the trial that is to be promoted, with all that the registry is told of it."""
    from deepcolor.app.retrain import refuse_collected
    from deepcolor.app.retrain import retrain as train_again
    from deepcolor.registry.promote import Candidate
    from deepcolor.search.rules.confirmation import confirmation_of, confirmed_weights
    from deepcolor.search.study.storage import StudyStorage

    study = StudyStorage(workspace).load(name)
    say_name(name, study.name, reporter.note)
    name, trials = study.name, study.trials()
    confirmation = confirmation_of(study.sweep, trials, spent=study.spent) if number is None else None
    best = confirmed_weights(confirmation, trials) if confirmation else None
    trial = best or _chosen(name, trials, number)
    if trial.breaks and not force:
        raise StudyError(
            f"--trial: must keep to search.constraints; trial {trial.number} of {name} has {trial.breaks_text}. "
            "Choose another one, or add --force."
        )
    if confirmation is not None:
        _say_whose_weights(confirmation, trial, reporter)
    assert trial.outcome is not None
    assert trial.outcome.result is not None
    assert trial.place is not None
    sweep = study.sweep
    folder = workspace.trajectories / trial.outcome.result
    if retrain and not folder.is_dir():
        train_again(workspace, study, trial, tracking_uri=uri, device=device, reporter=reporter)
    refuse_collected(name, trial, folder)
    setting = trial.setting(sweep)
    settings = setting.model_dump(mode="json", include={"model", "training", "init"})
    data = data_of(workspace, sweep)
    return Candidate(
        stage=sweep.stage,
        model_folder=folder,
        data_folder=data.folder,
        section=sweep.data,
        code=setting.code,
        study=name,
        trial=trial.number,
        params={key: value for part in settings.values() for key, value in part.items()},
        data=sweep.data.title,
        data_digest=trial.place.data or data.digest,
        parent=trial.place.parent,
        evidence=_evidence(confirmation, sweep.search.objectives[0]) if confirmation else None,
        trainings=_trainings(confirmation.winner, trials, workspace, reporter) if confirmation else (),
        runner_up_trainings=_trainings(confirmation.runner_up, trials, workspace, reporter) if confirmation else (),
        conditions=conditions_of(workspace, sweep, setting, result=folder),
        study_id=study.study_id,
    )


def conditions_of(
    workspace: Workspace, sweep: Sweep, setting: Setting | None = None, *, result: Path | None = None
) -> Conditions:
    """How torch computed in a study's trainings: in that of a result, and where that does not say it, in the last."""
    from deepcolor.search.study.starts import read_start
    from deepcolor.training.conditions import Conditions
    from deepcolor.training.result_files import read_threads

    start = read_start(workspace.study(sweep.study))
    threads = read_threads(result) if result else ()
    training = setting.training if setting else sweep.training
    return Conditions.of(training, threads=threads[-1] if threads else start.threads if start else None)


def _chosen(name: str, trials: list[StoredTrial], number: int | None) -> StoredTrial:
    from deepcolor.search.rules.judging import judged_lines
    from deepcolor.search.rules.summary import best_of

    if number is None:
        best = best_of(trials)
        if best is None and (said := judged_lines(trials)):
            raise StudyError(f"study: {name!r} has no trial to promote. {said[-1]} Promote it with --trial N --force.")
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


def _say_whose_weights(confirmation: Confirmation, trial: StoredTrial, reporter: Reporter) -> None:
    """Say which training of the winning setting is promoted, or that the winner is not confirmed."""
    winner = confirmation.winner
    if winner is None:
        reporter.warn(f"the winner is not confirmed: {confirmation.missing}; trial {trial.number} has the best value")
        return
    seed = f"under seed {trial.confirms.seed}" if trial.confirms else "as the search trained it"
    others = f"the lowest of its {counted(1 + len(winner.trainings), 'training')}"
    reporter.note(f"promoting trial {trial.number}: the setting of trial {winner.trial} {seed}, {others}")


def _evidence(confirmation: Confirmation, objective: str) -> Evidence | None:
    """What a version will carry of a confirmation; None when there is no winner."""
    from deepcolor.registry.evidence import Evidence

    winner, runner_up = confirmation.winner, confirmation.runner_up
    if winner is None:
        return None
    return Evidence(
        objective=objective,
        seeds=len(winner.values),
        trial=winner.trial,
        mean=winner.mean,
        std=winner.std,
        runner_up=runner_up.trial if runner_up else None,
        runner_up_mean=runner_up.mean if runner_up else None,
        runner_up_std=runner_up.std if runner_up else None,
    )


def _trainings(
    one: ConfirmedSetting | None, trials: list[StoredTrial], workspace: Workspace, reporter: Reporter
) -> tuple[Path, ...]:
    """The result folders of all of a setting's trainings; none when one of them is gone."""
    if one is None:
        return ()
    results = {trial.number: trial.outcome.result for trial in trials if trial.outcome}
    folders = [workspace.trajectories / result for number in one.trainings if (result := results.get(number))]
    if len(folders) == len(one.trainings) and all(folder.is_dir() for folder in folders):
        return tuple(folders)
    reporter.warn(f"trial {one.trial} is left out of the comparison on the test pictures: weights are gone")
    return ()
