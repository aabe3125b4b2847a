"""The one loop of all stages: advance a trajectory to an epoch.

training = the furthest usable checkpoint, else the initial weights
until the history shows the segment's view, or the stop file appears:
    train one epoch, validate
    write a checkpoint when the last one is old enough
write the view's contact sheet, where it is asked for in place of a result
write a checkpoint
write the view's result folder, where one is asked for
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from deepcolor.atomic import write_atomically
from deepcolor.errors import StoreError
from deepcolor.stages.session import Job
from deepcolor.training.checkpoint import (
    Record,
    keep,
    last_record,
    read_tensors,
    records,
    write_checkpoint,
    write_identity,
)
from deepcolor.training.device import pick_device, torch_set_up
from deepcolor.training.early_stopping import view_of
from deepcolor.training.result_files import read_result
from deepcolor.training.results import samples_of, write_result
from deepcolor.training.system_metrics import SystemMetrics
from deepcolor.training.training import Training, job_of
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths, View
from deepcolor.workspace import weights_beside

OnEpoch = Callable[[EpochMetrics], None]


def advance(segment: Segment, on_epoch: OnEpoch | None = None) -> SegmentOutcome:
    """Train a trajectory until a trial of `segment.to_epoch` epochs has seen all it looks at, and leave its result.

    What the store holds already is not trained again. Wherever a training was cut, by the end of a segment, a stop or a
    crash, the weights and figures are the same to the last bit on the same machine and number of threads.

    Args:
        segment: What to train, how far, and where its files lie.
        on_epoch: Called after each epoch trained by this call.
    Returns:
        The history, the finished view (None if the stop file ended the segment), and where its result lies (None if it
        diverged, or if the segment asks for none).
    Raises:
        DataError: The cache is missing, or is not that of the trajectory.
        ModelError: The weights to start from do not fit.
        CodeError: Code that the setting names is gone, is not what it was, or does not fit.
        StoreError: A checkpoint or a result could not be written; the checkpoint before it is intact.
    """
    device = pick_device(segment.device)
    training = segment.trajectory.setting.training
    with torch_set_up(threads=segment.threads, reduced_precision=training.reduced_precision):
        return _Advance(segment, device=device, on_epoch=on_epoch).run()


class _Advance:
    """One call of `advance`: what it works on, and how much it has trained so far."""

    def __init__(self, segment: Segment, *, device: torch.device, on_epoch: OnEpoch | None) -> None:
        self.segment = segment
        self.device = device
        self.on_epoch = on_epoch
        self.paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
        self.last = last_record(self.paths)
        self.recorded = self.last.history if self.last else ()
        self.trained_epochs = 0
        self.train_s = 0.0

    def run(self) -> SegmentOutcome:
        history, training = self.recorded, None
        view = self._view(history)
        if view is None:
            training = self._furthest()
            self._train(training, until=lambda training: self._is_seen(training.history))
            history = tuple(training.history)
            view = self._view(history)
        else:
            self._keep_end(view)
        if view is None or view.diverged or not self.segment.result:
            return self._outcome(history, view=view)
        return self._outcome_with_result(history, view=view, training=training)

    def _outcome_with_result(
        self, history: tuple[EpochMetrics, ...], *, view: View, training: Training | None
    ) -> SegmentOutcome:
        folder = self.paths.result(view)
        figures = read_result(folder, self.segment.trajectory.setting.final_metrics)
        if figures is None:
            weights = training.weights(view.chosen_epoch) if training else None
            weights = weights or self._weights_from_store(view.chosen_epoch)
            if weights is None:  # The stop file came while they were trained again.
                return self._outcome(history, view=None)
            with self._writing("result"):
                figures = write_result(
                    folder,
                    self.segment.trajectory,
                    job=self.job,
                    view=view,
                    history=history,
                    weights=weights,
                    session=training.session if training else None,
                    threads=next((record.threads for record in records(self.paths)), ()),
                )
        return self._outcome(history, view=view, result=folder, figures=figures)

    @cached_property
    def job(self) -> Job:
        """What sessions are given."""
        segment = self.segment
        return job_of(
            segment.trajectory,
            folder=segment.cache,
            device=self.device,
            code=segment.code,
            weights=weights_beside(segment.store),
        )

    def _view(self, history: Sequence[EpochMetrics]) -> View | None:
        segment = self.segment
        return view_of(
            history, epochs=segment.to_epoch, patience=segment.patience, objective=segment.trajectory.objective
        )

    def _is_seen(self, history: Sequence[EpochMetrics]) -> bool:
        """Whether the view is there, asked after every epoch."""
        segment = self.segment
        if segment.patience is None and 0 < len(history) < segment.to_epoch:
            return history[-1].diverged(segment.trajectory.objective)  # Nothing but that could end it now.
        return self._view(history) is not None

    def _train(self, training: Training, *, until: Callable[[Training], bool]) -> None:
        """Train epoch after epoch until `until` holds or the stop file appears, and leave a checkpoint."""
        started = last_checkpoint = time.monotonic()
        first_epoch, written_epoch = training.epoch, training.epoch
        system = self._system_metrics()
        done = until(training)
        while not done and not self._stop_asked():
            row = training.train_epoch(recorded=self.recorded, system=system)
            self.trained_epochs += 1
            done = until(training)
            if self.on_epoch is not None:
                self.on_epoch(row)
            if not done and time.monotonic() - last_checkpoint >= self.segment.checkpoint_every_s:
                self._checkpoint(training, kept=False)
                last_checkpoint, written_epoch = time.monotonic(), training.epoch
        if training.epoch > first_epoch and (done or training.epoch > written_epoch):
            if done and self.segment.samples and not self.segment.result:
                # Before the checkpoint, which says that the segment is done.
                self._leave_samples(training)
            self._checkpoint(training, kept=done)
        self.train_s += time.monotonic() - started

    def _leave_samples(self, training: Training) -> None:
        trajectory, view = self.segment.trajectory, self._view(training.history)
        weights = training.weights(view.chosen_epoch) if view is not None and not view.diverged else None
        if view is None or weights is None:
            return
        samples = samples_of(trajectory, self.job, view=view, weights=weights, session=training.session)
        if samples is not None:
            with self._writing("samples"):
                write_atomically(self.paths.sheet(view), samples, durable=False)

    def _system_metrics(self) -> SystemMetrics | None:
        """What samples the machine, and the GPU that is trained on; None where nobody asks for it."""
        every_s = self.segment.system_metrics_every_s
        if every_s is None:
            return None
        if self.device.type != "cuda":
            return SystemMetrics(every_s=every_s)
        number = self.device.index or 0
        # NVML counts the GPUs of the machine, torch those that this process may use.
        uuid = str(torch.cuda.get_device_properties(number).uuid)
        return SystemMetrics(gpu_uuid=uuid, gpu=number, every_s=every_s)

    def _stop_asked(self) -> bool:
        segment = self.segment
        if segment.ends_early is not None and segment.ends_early():
            return True
        return segment.called_off

    def _furthest(self, *, at_most: int | None = None) -> Training:
        """Resume from the furthest usable checkpoint, else begin."""
        if self.last is not None:
            for record in records(self.paths, furthest=self.last):
                training = self._resumed(record) if at_most is None or record.epoch <= at_most else None
                if training is not None:
                    return training
        with self._writing("trajectory"):
            write_identity(self.paths, self.segment.trajectory)
        return Training.begin(self.segment.trajectory, self.job)

    def _resumed(self, record: Record) -> Training | None:
        content = read_tensors(self.paths, record)
        if content is None:
            return None
        return Training.resume(self.segment.trajectory, self.job, record=record, content=content)

    def _weights_from_store(self, epoch: int) -> dict[str, Any] | None:
        """Return the weights after `epoch` epochs: from a checkpoint that holds them, else trained again."""
        for record in records(self.paths):
            training = self._resumed(record) if epoch in {record.epoch, record.best_epoch} else None
            if training is not None:
                return training.weights(epoch)
        training = self._furthest(at_most=epoch)
        self._train(training, until=lambda training: training.epoch >= epoch)
        return training.weights(epoch)

    def _keep_end(self, view: View) -> None:
        with self._writing("checkpoint"):
            for record in records(self.paths):
                if record.epoch <= view.end_epoch:
                    if record.epoch == view.end_epoch:
                        keep(self.paths, record)
                    return

    def _checkpoint(self, training: Training, *, kept: bool) -> None:
        with self._writing("checkpoint"):
            last = kept and self.segment.result
            write_checkpoint(self.paths, training.record(kept=kept), training.tensors(), last=last)

    @contextmanager
    def _writing(self, subject: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{subject}: could not be written; got {error.strerror or error} "
                f"({error.filename or self.paths.folder}). Free disk space or fix the permissions, then run the same "
                "command again: it goes on from the last checkpoint."
            ) from error

    def _outcome(
        self,
        history: tuple[EpochMetrics, ...],
        *,
        view: View | None,
        result: Path | None = None,
        figures: dict[str, float] | None = None,
    ) -> SegmentOutcome:
        return SegmentOutcome(
            digest=self.paths.digest,
            history=history,
            trained_epochs=self.trained_epochs,
            train_s=self.train_s,
            view=view,
            result=result,
            metrics=figures or {},
            host=platform.node(),
            device=str(self.device),
        )
