"""Bring back the weights of a finished trial that `deepcolor gc` removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.app.reporter import Reporter
from deepcolor.errors import StudyError
from deepcolor.plugins import Code, keep
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.search.study.storage import StoredStudy, StoredTrial


def refuse_collected(study: str, trial: StoredTrial, folder: Path) -> None:
    """Raise StudyError when a trial's result folder is gone, with the way to bring it back."""
    if not folder.is_dir():
        raise StudyError(
            f"--trial: trial {trial.number} of {study} must still have its weights; they were collected ({folder}). "
            f"Train them again with: deepcolor promote {study} --trial {trial.number} --retrain"
        )


def retrain(
    workspace: Workspace, study: StoredStudy, trial: StoredTrial, *, tracking_uri: str, device: str, reporter: Reporter
) -> Path:
    """Train a finished trial again, in this process, as far as its weights need it; nothing is told to the study.

    Returns:
        The trial's result folder.
    Raises:
        StudyError: A driver is at work on the study, or the trial's data or parent are not what they were.
        DataError: The pictures are gone or have changed.
        CodeError: Code that the setting names is gone.
    """
    from deepcolor.app.data import open_data
    from deepcolor.app.parents import Parents
    from deepcolor.execution.executor import run_segment
    from deepcolor.search.study.storage import StudyStorage, owned
    from deepcolor.training.trajectory import Segment, Trajectory

    assert trial.place is not None
    assert trial.outcome is not None
    sweep = study.sweep
    setting = trial.setting(sweep)
    parents = Parents(workspace, StudyStorage(workspace), tracking_uri=tracking_uri)
    with owned(workspace, study.name, on_wait=reporter.note):
        digest, folder = open_data(workspace, sweep, reporter=reporter).of(setting.data)
        trajectory = Trajectory(setting, data_digest=digest, init=parents.of(study, setting), objective=sweep.objective)
        if trajectory.digest != trial.place.trajectory:
            raise StudyError(
                f"--retrain: trial {trial.number} of {study.name} must be trained on what it was trained on; got data "
                f"{digest[:12]}: other pictures, another parent or another version of deepcolor than then. "
                "Prepare the data set as it was, or use the version that trained it."
            )
        keep(Code(setting.code, workspace.code))
        sweep.make_ready(workspace.root)
        view = trial.outcome.view
        reporter.note(f"training trial {trial.number} of {study.name} again, to epoch {view.chosen_epoch}")
        run_segment(
            Segment(
                trajectory,
                to_epoch=setting.training.epochs,
                patience=setting.patience,
                store=workspace.trajectories,
                cache=folder,
                device=device,
                code=workspace.code,
            )
        )
    return workspace.trajectories / str(trial.outcome.result)
