"""What a training is, what a unit of it is, and where its files lie. No torch in here: the search reads it too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deepcolor.config.schema import Setting
from deepcolor.fields.frozen import digest_of
from deepcolor.fields.objective import DEFAULT_OBJECTIVE, Objective
from deepcolor.stages.contract import EPOCH_S
from deepcolor.stages.sections import ModelSection
from deepcolor.stages.session import InitWeights

__all__ = ["InitWeights"]

FORMAT = 1
"""Raised when the same identity would no longer give the same numbers, so that old trajectories are not taken for new
ones."""

_NOT_IDENTITY = {"epochs", "early_stopping", "patience"}


@dataclass(frozen=True)
class Trajectory:
    """The training a setting describes apart from its number of epochs.

    Trials that differ in `epochs`, `patience` or `early_stopping` alone lie on one trajectory: those decide how far a
    trial looks, not what an epoch computes. Under a schedule that depends on the total number of epochs (`cosine`) the
    epochs are part of it.
    """

    setting: Setting
    data_digest: str
    init: InitWeights | None = None
    objective: Objective = DEFAULT_OBJECTIVE
    """The epoch metric by which the weights of the best epoch are kept."""

    @property
    def stage(self) -> str:
        return self.setting.stage

    @property
    def model(self) -> ModelSection:
        return self.setting.model

    def identity(self) -> dict[str, object]:
        """Everything that decides the numbers, as a JSON value; it names neither paths nor machines.

        A field that came later is left out where it has the value that its absence means, so that a training goes on
        under its name.
        """
        training = {k: v for k, v in self.setting.training.identity().items() if k not in _NOT_IDENTITY}
        if self.setting.training.knows_its_end:
            training["epochs"] = self.setting.training.epochs
        init = {k: v for k, v in self.setting.init.identity().items() if k not in {"init_from", "freeze"}}
        stage = self.setting.stage_class
        version, also = stage.version, stage.also_decides(data=self.setting.data, model=self.model)
        return {
            "format": FORMAT,
            "stage": self.stage,
            "data": self.data_digest,
            "model": self.model.identity(),
            "training": training,
            "freeze": getattr(self.setting.init, "freeze", "none"),
            "init": self.init.sha256 if self.init else None,
            "objective": self.objective.metric,
            **({"direction": self.objective.direction} if self.objective.maximized else {}),
            **({"start": init} if init else {}),
            **({"version": version} if version != 1 else {}),
            **({"code": dict(self.setting.code)} if self.setting.code else {}),
            **({"also": dict(also)} if also else {}),
        }

    @cached_property
    def digest(self) -> str:
        """32 hex digits that name the trajectory's folder."""
        return digest_of(self.identity())[:32]


@dataclass(frozen=True)
class Segment:
    """The unit of work: advance one trajectory from its last checkpoint to an epoch.

    Deterministic and idempotent: done twice, it gives the same bytes and harms nothing.
    """

    trajectory: Trajectory
    to_epoch: int
    """Train until this many epochs are done."""
    patience: int | None
    """Stop before `to_epoch` after this many epochs without a better objective; None never does."""
    store: Path
    """The folder of all trajectories (`Workspace.trajectories`)."""
    cache: Path
    """The folder of the data (`Job.folder`)."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    threads: int | None = None
    """CPU threads torch may use; None leaves its default."""
    checkpoint_every_s: float = 30.0
    """Longest time of training that a crash may cost."""
    stop_file: Path | None = None
    """When this file appears, finish the epoch, write a checkpoint and return."""
    code: Path | None = None
    """The folder of the files with a user's code that settings name (`Workspace.code`); None where they name none."""
    result: bool = True
    """Whether to leave the view's result; a trial that is only compared with others here needs none yet."""
    samples: bool = False
    """Whether to leave the view's contact sheet where it leaves no result."""
    trial_stop_file: Path | None = None
    """The same as `stop_file`, for the trial alone that this segment serves."""
    ends_early: Callable[[], bool] | None = field(default=None, compare=False)
    """Asked after every epoch, too: True does what the stop file does. Said by the process that trains, for itself."""
    system_metrics_every_s: float | None = None
    """The shortest time between two samples of what the machine has to do, in seconds; None: none are taken."""

    @property
    def called_off(self) -> bool:
        """Whether one of the stop files is there."""
        return any(file is not None and file.exists() for file in (self.stop_file, self.trial_stop_file))


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of one trajectory, as recorded when it was trained."""

    epoch: int
    """1 after the first pass."""
    metrics: Mapping[str, float]
    """What its stage says of it, by public name, such as `val/mse`; a name that begins with `train/` is of the training
    itself."""
    epoch_s: float
    """Seconds of training and validation."""
    time_ms: int
    """Unix time at the epoch's end, in milliseconds, never before that of the epoch before."""
    system: Mapping[str, float] = field(default_factory=dict)
    """What the machine had to do, by MLflow's names without their prefix (`training.system_metrics`); empty where it
    was not sampled after this epoch. Like the times, it says nothing of what was learned."""

    @property
    def values(self) -> dict[str, float]:
        """All that is shown of it by public name: its metrics, and `epoch_s`."""
        return {**self.metrics, EPOCH_S: self.epoch_s}

    def diverged(self, objective: Objective) -> bool:
        """Whether the training is beyond help: the objective, or what it minimises itself, is no finite number."""
        value = self.metrics.get(objective.metric, math.nan)
        own = (value for name, value in self.metrics.items() if name.startswith(TRAIN_PREFIX))
        return not all(map(math.isfinite, (value, *own)))


TRAIN_PREFIX = "train/"
"""Of the metrics of the training itself."""


@dataclass(frozen=True)
class View:
    """What a trial sees of a trajectory: how far it looks, which epoch's weights it takes, and what they are worth."""

    end_epoch: int
    chosen_epoch: int
    """The best epoch up to `end_epoch` where early stopping is on, else `end_epoch`."""
    value: float
    """The objective at the chosen epoch; infinite when the training diverged (`Objective.worst`)."""
    diverged: bool = False


@dataclass(frozen=True)
class SegmentOutcome:
    """What a segment gives back to the driver."""

    digest: str
    history: tuple[EpochMetrics, ...]
    """All epochs of the trajectory up to where it now stands, the first one first."""
    trained_epochs: int
    """Epochs computed by this call; 0 when the store already held them."""
    train_s: float
    """Seconds this call spent training."""
    view: View | None
    """The finished view; None when a stop file ended the segment before its time."""
    result: Path | None = None
    """The folder of the view's result; None without a view, where it diverged, or where none was asked for."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The stage's final metrics, of the chosen weights."""
    host: str = ""
    device: str = ""


@dataclass(frozen=True)
class TrajectoryPaths:
    """The files of one trajectory: built here and nowhere else."""

    store: Path
    digest: str

    @property
    def folder(self) -> Path:
        return self.store / self.digest

    @property
    def identity(self) -> Path:
        return self.folder / "trajectory.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def checkpoint(self, epoch: int) -> Path:
        """Weights and optimizer state after `epoch` epochs."""
        return self.checkpoints / f"e{epoch:06d}.safetensors"

    def record(self, epoch: int) -> Path:
        """History and checksum that belong to `checkpoint(epoch)`; written last, so its presence says that both are
        whole.
        """
        return self.checkpoints / f"e{epoch:06d}.json"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def result(self, view: View) -> Path:
        """What one view of the trajectory leaves: a model folder with metrics, contact sheet and loss curve."""
        return self.results / _name_of(view)

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    def sheet(self, view: View) -> Path:
        """The contact sheet of a view that leaves no result, because it is only compared with others there."""
        return self.samples / f"{_name_of(view)}.webp"


def _name_of(view: View) -> str:
    return f"e{view.end_epoch:06d}-w{view.chosen_epoch:06d}"
