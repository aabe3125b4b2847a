"""One trajectory at one epoch, in memory: its stage's session, the history, the best weights so far.

Everything an epoch computes follows from this state and from (seed, epoch), so it makes no difference where a training
was cut.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from deepcolor.errors import CodeError
from deepcolor.plugins import Code
from deepcolor.stages.contract import Stage
from deepcolor.stages.session import Arrays, Job, Session
from deepcolor.training.checkpoint import Record
from deepcolor.training.system_metrics import SystemMetrics
from deepcolor.training.trajectory import EpochMetrics, Trajectory

_BEST = "best/"


class Training:
    """Trains a trajectory epoch after epoch; between two epochs it can go into a checkpoint and come back from one."""

    def __init__(self, trajectory: Trajectory, session: Session) -> None:
        self.trajectory = trajectory
        self.session = session
        self.history: list[EpochMetrics] = []
        self.best_epoch = 0
        self.threads: set[int] = set()
        """The numbers of CPU threads that its epochs were trained with."""
        self._best: dict[str, Any] = {}
        self._metrics = frozenset(trajectory.setting.stage_class.metrics_of(trajectory.setting.training))

    @classmethod
    def begin(cls, trajectory: Trajectory, job: Job) -> Self:
        """Start before the first epoch.

        Raises:
            DataError: The data is not that of the trajectory, or is too little.
            ModelError: The weights to start from are not those that were pinned, or do not fit.
            CodeError: Code that the setting names is gone, is not what it was, or does not fit.
        """
        training = cls(trajectory, session_of(trajectory.setting.stage_class, job))
        training.session.begin()
        _check_arrays(
            training.session.state()
        )  # What cannot go into a checkpoint is better known before it is trained.
        return training

    @classmethod
    def resume(cls, trajectory: Trajectory, job: Job, *, record: Record, content: bytes) -> Self:
        """Start from a checkpoint; what the training once started from is not needed any more.

        Args:
            trajectory: That the checkpoint belongs to.
            job: Of the trajectory.
            record: Of the checkpoint.
            content: Its safetensors file, checked already.
        Raises:
            DataError: The data is not that of the trajectory, or is too little.
            CodeError: See `begin`.
        """
        training = cls(trajectory, session_of(trajectory.setting.stage_class, job))
        session = training.session
        arrays = parsed(content, session)
        best = {name.removeprefix(_BEST): arrays.pop(name) for name in list(arrays) if name.startswith(_BEST)}
        session.restore(arrays)
        training.history, training.best_epoch = list(record.history), record.best_epoch
        training.threads = set(record.threads)
        training._best = _copies(best or session.weights())
        return training

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def train_epoch(
        self, *, recorded: Sequence[EpochMetrics] = (), system: SystemMetrics | None = None
    ) -> EpochMetrics:
        """Train and validate one more epoch.

        Args:
            recorded: The trajectory's epochs as far as they were recorded before; where this one gives the same figures
                again, it keeps its recorded times, so that nothing downstream sees it twice.
            system: Samples the machine, once the epoch is over; None: it is not sampled.
        Raises:
            CodeError: The stage did not measure what it says that it measures.
        """
        epoch, started = self.epoch + 1, time.perf_counter()
        metrics = numbers_of(self.session.train_epoch(epoch), of=f"{type(self.session).__name__}.train_epoch")
        if metrics.keys() != self._metrics:
            raise _wrong_metrics(self.trajectory.setting.stage_class, metrics, self._metrics)
        row = EpochMetrics(
            epoch=epoch,
            metrics=metrics,
            epoch_s=time.perf_counter() - started,
            time_ms=max(time.time_ns() // 1_000_000, self.history[-1].time_ms if self.history else 0),
            system=system.sample() if system else {},
        )
        if len(recorded) >= epoch and recorded[epoch - 1].metrics == row.metrics:
            row = recorded[epoch - 1]
        self.history.append(row)
        self.threads.add(torch.get_num_threads())
        self._remember_best()
        return row

    def weights(self, epoch: int) -> dict[str, Any] | None:
        """Return the weights after `epoch` epochs, if it is the present or the best one so far."""
        if epoch == self.epoch:
            return dict(self.session.weights())
        return dict(self._best) if epoch == self.best_epoch else None

    def record(self, *, kept: bool) -> Record:
        """What a checkpoint of this state says about itself."""
        return Record(tuple(self.history), self.best_epoch, kept=kept, threads=tuple(sorted(self.threads)))

    def tensors(self) -> bytes:
        """The state as a safetensors file; the same state gives the same bytes."""
        best = self._best if self.best_epoch != self.epoch else {}  # Not twice, where the present weights are the best.
        return written({**self.session.state(), **{_BEST + name: value for name, value in best.items()}})

    def _remember_best(self) -> None:
        objective = self.trajectory.objective
        best = self._objective_at(self.best_epoch) if self.best_epoch else objective.worst
        if objective.loss(self._objective_at(self.epoch)) < objective.loss(best):
            self.best_epoch = self.epoch
            self._best = _copies(self.session.weights())

    def _objective_at(self, epoch: int) -> float:
        return self.history[epoch - 1].values[self.trajectory.objective.metric]


def job_of(
    trajectory: Trajectory,
    *,
    folder: Path,
    device: torch.device | str,
    code: Path | None = None,
    weights: Path | None = None,
) -> Job:
    """Return what the sessions of a trajectory are given.

    Args:
        trajectory: What is trained.
        folder: Of its data.
        device: Where to train.
        code: See `Segment.code`.
        weights: See `Job.weights`.
    """
    setting = trajectory.setting
    return Job(
        stage=setting.label,
        data=setting.data,
        model=setting.model,
        training=setting.training,
        init=setting.init,
        folder=folder,
        data_digest=trajectory.data_digest,
        device=str(device),
        parent=trajectory.init,
        code=Code(setting.code, code),
        weights=weights,
    )


def session_of(stage: type[Stage], job: Job) -> Session:
    """Return a session of a stage.

    Raises:
        CodeError: The stage gives none, or one that lacks a method.
    """
    try:
        session = stage.session(job)
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise CodeError(f"the session of {stage.__name__} must have all of its methods", got=str(error)) from error
    if not isinstance(session, Session):
        rule = f"{stage.__name__}.session must return a deepcolor.stages.Session"
        raise CodeError(rule, got=type(session).__name__, advice=_FIX)
    return session


def numbers_of(values: object, *, of: str) -> dict[str, float]:
    """Return numbers by name, as a user's code has returned them.

    Raises:
        CodeError: It has returned something else.
    """
    if not isinstance(values, Mapping):
        raise CodeError(f"{of} must return numbers by name", got=type(values).__name__, advice=_FIX)
    for name, value in values.items():
        if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
            raise CodeError(f"{of} must return numbers by name", got=f"{value!r:.40} under {name!r}", advice=_FIX)
    return {str(name): float(value) for name, value in values.items()}


def written(arrays: Arrays) -> bytes:
    """Return arrays as a safetensors file; the same arrays give the same bytes.

    Raises:
        CodeError: One of them is no array of numbers.
    """
    _check_arrays(arrays)
    tensors = {
        name: value.detach().cpu().contiguous()
        if isinstance(value, torch.Tensor)
        else torch.from_numpy(np.array(value, order="C"))
        for name, value in arrays.items()
    }
    return safetensors.torch.save(tensors)


def _check_arrays(arrays: object) -> None:
    rule = "the state and the weights of a session must be arrays of numbers, NumPy's or torch's, by name"
    if not isinstance(arrays, Mapping):
        raise CodeError(rule, got=type(arrays).__name__, advice=_FIX)
    for name, value in arrays.items():
        is_array = isinstance(value, torch.Tensor) or (
            isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf"
        )
        if not is_array:
            kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise CodeError(rule, got=f"{kind} under {name!r}", advice=_FIX)


_FIX = "Fix the stage, and start the sweep again."


def parsed(content: bytes, session: Session) -> dict[str, Any]:
    """Return the arrays of a safetensors file as a session wants them."""
    return dict(safetensors.torch.load(content) if session.framework == "torch" else safetensors.numpy.load(content))


def _copies(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else np.array(value)
        for name, value in arrays.items()
    }


def _wrong_metrics(stage: type[Stage], got: Mapping[str, float], wanted: frozenset[str]) -> CodeError:
    rule = f"{stage.__name__}.train_epoch must return the stage's metrics, {', '.join(sorted(wanted))}"
    return CodeError(rule, got=", ".join(sorted(got)) or "none", advice="Fix the stage.")
