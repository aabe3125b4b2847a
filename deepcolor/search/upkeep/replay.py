"""Every record of a study, from what is stored, as its driver would have put it: this is how its runs are rebuilt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from deepcolor.errors import StudyError
from deepcolor.plainfile import read_plain
from deepcolor.search.recording import Projection
from deepcolor.search.rules.completion import has_ended
from deepcolor.search.rules.confirmation import confirmation_of
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.summary import Report, Summary, summarise
from deepcolor.search.study.sizes import left_out
from deepcolor.search.study.starts import Start, read_start
from deepcolor.search.study.storage import StoredStudy, StoredTrial
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import EpochMetrics, TrajectoryPaths
from deepcolor.workspace import Workspace


def replay(
    workspace: Workspace, study: StoredStudy, *, report: Report, trials: Sequence[StoredTrial] | None = None
) -> Iterator[StudyRecord | TrialRecord]:
    """Yield the record of a study that no driver owns now, then one for each trial that has a training.

    Args:
        workspace: Where its trajectories are.
        study: The study; its lock is held by the caller.
        report: Its report; a missing one is written.
        trials: Its trials, if they have just been read.
    Raises:
        StudyError: Nothing says what data the study was trained on.
    """
    trials = study.trials() if trials is None else trials
    start = read_start(workspace.study(study.name)) or _reconstructed(workspace, study, trials)
    projection = Projection(
        study=study,
        provenance=start.provenance,
        command=start.command,
        store=workspace.trajectories,
        report=report.folder,
        pictures=workspace.settings.mlflow_pictures,
    )
    digests = {trial.place.trajectory for trial in trials if trial.place}
    histories = {digest: read_history(TrajectoryPaths(workspace.trajectories, digest)) for digest in sorted(digests)}
    yield _parent(projection, trials, histories, report)
    front = {trial.number for trial in front_of(trials)}
    for trial in trials:
        if trial.place is not None:
            history = histories[trial.place.trajectory]
            yield projection.trial(trial, history, front=trial.number in front)


def _parent(
    projection: Projection,
    trials: Sequence[StoredTrial],
    histories: Mapping[str, Sequence[EpochMetrics]],
    report: Report,
) -> StudyRecord:
    study = projection.study
    finished = has_ended(study, trials)
    summary = summary_of(study, trials, histories=histories)
    if not report.folder.is_dir():
        report.write(study, summary)
    ended_ms = max((trial.ended_ms or 0 for trial in trials), default=study.started_ms)
    return projection.parent(trials, summary, state="complete" if finished else "interrupted", ended_ms=ended_ms)


def summary_of(
    study: StoredStudy, trials: Sequence[StoredTrial], *, histories: Mapping[str, Sequence[EpochMetrics]]
) -> Summary:
    """Sum up a study as it is stored: what its driver said when it ended, or would say now.

    Args:
        study: The study.
        trials: All of its trials.
        histories: Epochs by trajectory, which tell their pace; what was saved on others is priced by the mean of these.
    """
    ended = {trial.place.trajectory for trial in trials if trial.place and trial.finished}
    known = {digest: rows for digest in ended if (rows := histories.get(digest))}
    epoch_s = {digest: sum(row.epoch_s for row in rows) / len(rows) for digest, rows in known.items()}
    mean_s = sum(epoch_s.values()) / len(epoch_s) if epoch_s else 0.0
    spent = study.spent
    return summarise(
        study.name,
        trials,
        interrupted=not has_ended(study, trials),
        trained_now=0,
        wall_s=spent.wall_s,
        epoch_s={
            digest: epoch_s.get(digest, mean_s) for digest in ended if digest in epoch_s or digest not in histories
        },
        confirmation=confirmation_of(study.sweep, trials, spent=spent),
        left_out=str(left_out(study.sweep) or ""),
    )


_MOST_BYTES = 2**24


def _reconstructed(workspace: Workspace, study: StoredStudy, trials: Sequence[StoredTrial]) -> Start:
    """What can still be known of a study without a record of its start."""
    for trial in trials:
        if trial.place is None:
            continue
        try:
            identity = TrajectoryPaths(workspace.trajectories, trial.place.trajectory).identity
            data_digest = str(json.loads(read_plain(identity, most_bytes=_MOST_BYTES))["identity"]["data"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        provenance = Provenance(data_digest=data_digest, data_folder="", config_digest=study.digest)
        return Start(provenance, command="deepcolor sweep FILE")
    raise StudyError(
        f"study: {study.name!r} must have a record of what it was trained on; got no record of a start and no training "
        f"({workspace.study(study.name)}). Run its sweep again."
    )
