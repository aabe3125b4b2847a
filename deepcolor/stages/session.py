"""What a stage is given to train with, and what it gives back. No torch in here: a stage may do without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from deepcolor.plugins import Code
from deepcolor.stages.sections import DataSection, InitSection, ModelSection, TrainingSection

Arrays = Mapping[str, Any]
"""Arrays by name: NumPy's or torch's, on any device. They travel as safetensors, which hold nothing but numbers."""


@dataclass(frozen=True)
class InitWeights:
    """Weights a training starts from, pinned by content."""

    sha256: str
    """Of the safetensors file; this alone is part of the trajectory's identity."""
    folder: Path
    """A model folder (`model.safetensors`, `model.json`)."""
    ref: str
    """What the user wrote, such as `colorizer@champion`, with the version it stood for: `colorizer@3`."""


@dataclass(frozen=True)
class Job:
    """One training: what it is made of, and where it runs."""

    stage: str
    """As the sweep names it."""
    data: DataSection
    model: ModelSection
    training: TrainingSection
    init: InitSection
    folder: Path
    """The decoded data set, for a stage that trains on pictures; else the folder where the paths of its data begin."""
    data_digest: str
    device: str = "cpu"
    """`cpu` or `cuda:N`."""
    parent: InitWeights | None = None
    """The model it starts from."""
    code: Code = field(default_factory=lambda: Code({}))
    """The code that its setting names."""
    weights: Path | None = None
    """The folder where weights are kept that networks begin with; None: they begin with random ones, as where only the
    time of a training is of interest."""


@dataclass(frozen=True)
class Size:
    """How large a stage's models are, which is known before one is trained."""

    parameters: int
    """Numbers that training adjusts."""
    bytes: int
    """Of the file with its weights (`Session.weights`)."""

    @property
    def mb(self) -> float:
        """The same in megabytes, of 1,000,000 bytes."""
        return self.bytes / 1e6


@dataclass(frozen=True)
class Result:
    """What a training leaves beside its weights."""

    metrics: Mapping[str, float]
    """The stage's `final_metrics`, of the weights that were chosen."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by name, such as `samples.png`."""


@dataclass(frozen=True)
class Measured:
    """What a model is worth on one split."""

    errors: tuple[float, ...]
    """Of each item of the split (a picture, a row of a table), in their order; less is better."""
    metrics: Mapping[str, float]
    """What else is said of it, by name; the mean of the errors under the name `Stage.gate_metric`."""


@dataclass(frozen=True)
class SavedModel:
    """A model folder, checked."""

    folder: Path
    model: ModelSection
    """Its form."""
    arrays: Callable[[], dict[str, Any]]
    """Reads its weights, NumPy arrays by name, and checks them against their checksum."""


class Session(ABC):
    """Trains one job epoch after epoch; between two epochs it can go into a checkpoint and come back from one.

    What an epoch computes must follow from the job, the state and the number of the epoch alone, randomness included:
    draw from a generator made of `(seed, epoch)`. Then it makes no difference where a training was cut.
    """

    framework: ClassVar[Literal["numpy", "torch"]] = "numpy"
    """What `restore` and `finish` are given arrays of."""

    def __init__(self, job: Job) -> None:
        """Take a job; quick, for a session may be made to do no more than `finish`."""
        self.job = job

    @abstractmethod
    def begin(self) -> None:
        """Make what the first epoch starts from, `job.parent` included."""

    @abstractmethod
    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Train one more epoch, the first one being 1, and return the stage's metrics after it."""

    @abstractmethod
    def state(self) -> Arrays:
        """Return all that the next epoch depends on."""

    @abstractmethod
    def restore(self, state: Arrays) -> None:
        """Go on from what `state` has returned, in this process or another one; `begin` is not called."""

    def weights(self) -> Arrays:
        """Return what a model consists of: it goes into the model folder."""
        return self.state()

    def finish(self, weights: Arrays, *, label: str) -> Result:  # noqa: ARG002  # for stages that measure them
        """Say what is to be known of the weights of one epoch, whether the session has begun or not.

        Args:
            weights: As `weights` has returned them.
            label: What they are, in a line, for pictures.
        """
        return Result(metrics={})

    def samples(self, weights: Arrays, *, label: str) -> bytes | None:  # noqa: ARG002  # for stages that draw them
        """Draw what `finish` would leave as `samples.png`, but small and quickly: for a trial that is only compared
        with others here, and goes on or ends without a result.

        Args:
            weights: As `weights` has returned them.
            label: What they are, in a line.
        Returns:
            A WebP file; None: nothing is shown before a trial's end.
        """
        return None

    def timed_epoch_s(self) -> float | None:
        """Return the seconds of a whole epoch from less than one, for `deepcolor plan`; None: it has to train one."""
        return None
