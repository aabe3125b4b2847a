"""What the driver hands to tracking: plain records of a study and its trials, complete enough to rebuild every run
from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from deepcolor.config.schema import ParamValue, Setting, Sweep
from deepcolor.training.trajectory import EpochMetrics

State = Literal["running", "waiting", "complete", "failed", "pruned", "interrupted"]
"""Of a trial: `running` is being trained now; `waiting` is open but not being trained: at a rung, before its turn, or
left by a stopped driver; `pruned` ended at a rung. Of a study: `running`, `complete`, or `interrupted`."""
OPEN: frozenset[State] = frozenset({"running", "waiting"})
"""States of a trial that has not ended."""


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from; the same for every trial of one start of a driver."""

    data_digest: str
    data_folder: str
    """The folder the pictures were read from."""
    config_digest: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    """Package versions: deepcolor, torch, torchvision, optuna, mlflow, python."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial as it stands now; putting it twice, or late, gives the same run."""

    study: str
    study_id: str
    """`layout.study_id` of its study."""
    number: int
    state: State
    params: dict[str, ParamValue]
    """The searched parameters; if it confirms another trial, preceded by that trial's number and its own seed."""
    setting: Setting
    """All settings, searched and fixed."""
    trajectory: str
    started_ms: int
    provenance: Provenance
    end_epoch: int
    """The last epoch it may look at as it stands now: its end, its next rung, or where it failed."""
    ended_ms: int | None = None
    history: tuple[EpochMetrics, ...] = ()
    """The epochs this trial looks at, as far as they are trained: from the first one, without gaps."""
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures of the chosen weights: psnr_db, ssim, colourfulness, best_epoch and the like."""
    result: Path | None = None
    """Result folder in the trajectory store: model.safetensors, model.json, metrics.json, samples.png, loss.png."""
    rungs: tuple[tuple[int, Path], ...] = ()
    """(epoch, contact sheet) of each rung that it has reached before its end; the file may be missing."""
    pictures: int = 8
    """How many pictures of a contact sheet are shown each under a key of its own; 0: none."""
    error: str | None = None
    diverged: bool = False
    parent_model: str | None = None
    """`colorizer@3`: what the training started from."""
    host: str = ""
    device: str = ""
    threads: tuple[int, ...] = ()
    """The numbers of CPU threads that its weights were trained with."""
    confirms: tuple[int, int] | None = None
    """(trial, seed): the trial of the search whose setting it trains under another seed; None for one of the search."""
    breaks: str = ""
    """The constraints that it breaks, in words: `epoch_s 3.4 (at most 3)`."""
    front: bool = False
    """Whether it is on the front of several objectives."""


@dataclass(frozen=True)
class StudyRecord:
    """One study as it stands now."""

    sweep: Sweep
    study_id: str
    """`layout.study_id`: does not change when the study grows."""
    resolved_yaml: str
    """The sweep as it is run, with all defaults written out."""
    command: str
    """The command line that reproduces the study."""
    state: State
    started_ms: int
    provenance: Provenance
    ended_ms: int | None = None
    best: tuple[tuple[int, int, float], ...] = ()
    """(trial number, unix ms, best value so far) at each improvement."""
    summary: dict[str, float] = field(default_factory=dict)
    """Counts and figures: trials, complete, failed, requested_epochs, trained_epochs and the like."""
    best_trial: int | None = None
    report: Path | None = None
    """Folder of the report: leaderboard.csv and pictures (optimization_history.png, parallel_coordinates.png, ...)."""
    confirmed_trial: int | None = None
    """The winner by its mean under other seeds."""
    confirmation: str = ""
    """What other seeds showed of the best settings, in one line; empty if there was no confirmation."""
    front: tuple[int, ...] = ()
    """Of several objectives: the trials on the front, by the first objective."""
    judged: tuple[str, ...] = ()
    """What is to be said of front and constraints, a line each."""


class Tracker(Protocol):
    """Receives records as they change; never makes training wait."""

    def put_study(self, study: StudyRecord) -> None:
        """Create or bring up to date the study's parent run."""

    def put_trial(self, trial: TrialRecord) -> None:
        """Create or bring up to date the trial's child run."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is stored; False if the time ran out or the server cannot be reached."""

    def close(self) -> None:
        """Release threads and connections, without waiting for a dead server."""
