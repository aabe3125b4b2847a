"""What finished trials say about the cost of a form; only those trained on this machine and in the same way count."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from pydantic import ValidationError

from deepcolor.errors import StudyError
from deepcolor.search.plan.price import Pace
from deepcolor.search.plan.workload import Form
from deepcolor.search.study.starts import read_start
from deepcolor.search.study.storage import StoredStudy, StoredTrial, StudyStorage
from deepcolor.training.checkpoint import read_history, records
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths
from deepcolor.workspace import Workspace

_LONGEST_TRIAL_S = 120.0
"""Between a trial's last epoch and its end; if it took longer, the machine was asleep or the driver was not running."""


@dataclass(frozen=True)
class _Seen:
    epoch_s: float
    trial_s: float | None
    """None if the trial took its epochs from the store."""
    checkpoint_bytes: int
    result_bytes: int


def paces_in_store(
    workspace: Workspace,
    storage: StudyStorage,
    *,
    data_digest: str,
    workers: int,
    threads: int,
    device: str,
    host: str = platform.node(),
) -> dict[Form, Pace]:
    """Return the pace of every form that was trained here on the same data, with as many workers and threads.

    Args:
        workspace: Whose studies are read.
        storage: Of the workspace.
        data_digest: Of the data in the form that would be trained on.
        workers: Segments at a time.
        threads: CPU threads of each.
        device: `cpu` or `cuda`.
        host: The machine; this one by default.
    """
    seen: dict[Form, list[_Seen]] = {}
    for study in map(storage.load, storage.names()):
        start = read_start(workspace.study(study.name))
        if start is None or start.provenance.data_digest != data_digest:
            continue
        if (start.workers, start.threads) == (workers, threads):
            for form, one in _of_study(workspace, study, device=device, host=host):
                seen.setdefault(form, []).append(one)
    return {form: pace for form, all_ in seen.items() if (pace := _pace(all_)) is not None}


def _of_study(workspace: Workspace, study: StoredStudy, *, device: str, host: str) -> Iterable[tuple[Form, _Seen]]:
    for trial in study.trials():
        outcome = trial.outcome
        if trial.place is None or outcome is None or outcome.result is None:
            continue
        if outcome.host != host or not outcome.device.startswith(device):
            continue
        try:
            form = Form.of(trial.setting(study.sweep), main=study.sweep.data_forms[0])
        except (StudyError, ValidationError):
            continue  # Written by another version; its figures may mean something else.
        one = _seen(workspace, trial)
        if one is not None:
            yield form, one


def _seen(workspace: Workspace, trial: StoredTrial) -> _Seen | None:
    assert trial.place is not None
    assert trial.outcome is not None
    paths = TrajectoryPaths(workspace.trajectories, trial.place.trajectory)
    history = read_history(paths)[: trial.outcome.view.end_epoch]
    if not history:
        return None
    result = workspace.trajectories / str(trial.outcome.result)
    files = [path.stat().st_size for path in result.iterdir()] if result.is_dir() else []
    record = next(records(paths), None)
    return _Seen(
        # The first epoch of a process is slower than the others.
        epoch_s=median(row.epoch_s for row in history[1:] or history),
        trial_s=_trial_s(trial, history),
        checkpoint_bytes=record.tensors_bytes if record else 0,
        result_bytes=sum(files),
    )


def _trial_s(trial: StoredTrial, history: tuple[EpochMetrics, ...]) -> float | None:
    assert trial.outcome is not None
    seconds = (trial.outcome.ended_ms - history[-1].time_ms) / 1000
    trained_here = history[-1].time_ms >= trial.started_ms
    return seconds if trained_here and 0 <= seconds < _LONGEST_TRIAL_S else None


def _pace(seen: list[_Seen]) -> Pace | None:
    trial_s = [one.trial_s for one in seen if one.trial_s is not None]
    if not trial_s:
        return None
    return Pace(
        epoch_s=sum(one.epoch_s for one in seen) / len(seen),
        trial_s=median(trial_s),
        checkpoint_bytes=max(one.checkpoint_bytes for one in seen),
        result_bytes=max(one.result_bytes for one in seen),
        source="store",
    )
