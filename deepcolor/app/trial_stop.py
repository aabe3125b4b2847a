"""End one trial of a study that runs, wherever its driver is."""

from __future__ import annotations

from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.workspace import Workspace


def stop_trial(workspace: Workspace, study: str, number: int, *, by: str) -> str:
    """Ask the driver of a study to end one trial; return in one line what will happen.

    Args:
        workspace: Holds the study.
        study: Its name.
        number: Of the trial.
        by: Who asks.
    Raises:
        StudyError: There is no such study or trial, or the trial has ended already.
        WorkspaceError: The study's folder cannot be written to.
    """
    from deepcolor.search.study.attendance import running_trials
    from deepcolor.search.study.ownership import is_owned
    from deepcolor.search.study.stops import ask_to_stop
    from deepcolor.search.study.storage import StudyStorage

    stored = StudyStorage(workspace).load(study)
    study, trials = stored.name, stored.trials()
    trial = next((one for one in trials if one.number == number), None)
    if trial is None:
        last = max((one.number for one in trials), default=-1)
        there = f"0 to {last}" if last >= 0 else "none yet"
        raise StudyError(f"--trial: must be a trial of {study}; got {number}, and it has {there}. Choose one of them.")
    if trial.finished:
        raise StudyError(
            f"--trial: must be running or waiting; got trial {number} of {study}, which is {trial.state}. "
            "Nothing has changed."
        )
    try:
        ask_to_stop(workspace.study(study), number, by=by)
    except OSError as error:
        raise WorkspaceError(
            f"study: its folder must be writable; got {error.strerror or error} ({workspace.study(study)}). "
            "Fix its permissions."
        ) from error
    if not is_owned(workspace, study):
        return f"trial {number} of {study} ends when the study is next started; nobody drives it now"
    if number in running_trials(workspace, study):
        return f"trial {number} of {study} ends after its epoch; the study goes on"
    return f"trial {number} of {study} ends now; the study goes on"
