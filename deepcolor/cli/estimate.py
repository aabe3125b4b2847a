"""Gather what a plan needs: the workload of each sweep, what the store knows, and a calibration of the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deepcolor.cli import console
from deepcolor.cli.drive import How, open_data, parents_of
from deepcolor.cli.words import duration
from deepcolor.config.schema import ModelConfig, Setting, Sweep
from deepcolor.counting import counted
from deepcolor.errors import DeepcolorError, ModelError, SegmentError, StudyError
from deepcolor.search.changes import refused
from deepcolor.search.paces import paces_in_store
from deepcolor.search.plan import Cost, Machine, Pace, filled, price, spread
from deepcolor.search.study import StoredStudy, StudyStorage
from deepcolor.search.workload import Form, Workload, workload
from deepcolor.training.trajectory import InitWeights, Segment, SegmentOutcome, Trajectory

if TYPE_CHECKING:
    from deepcolor.cli.parents import Parents
    from deepcolor.execution.executor import Executor

MOST_FORMS = 3
"""Forms that are measured; the others lie between them."""
WORKER_START_S = 4.0
"""Processor seconds until worker processes train, where no calibration has just measured it."""
_CALIBRATION_TIMEOUT_S = 600
_LEAST_BUSY_S = 0.2
"""Of measured work; with less, as in a process that has imported all before, the ratio says nothing."""


@dataclass(frozen=True)
class _Job:
    """One sweep, ready to be priced."""

    sweep: Sweep
    """With what it takes over from its parent model."""
    cache: Path
    work: Workload


def estimate(sweeps: Sequence[Sweep], how: How, *, promoted: bool = False, extend: bool = False) -> list[Cost]:
    """Price sweeps that run one after the other; the workers are started once.

    Args:
        sweeps: In their order; a later one may start from what an earlier one makes.
        how: The options of the command.
        promoted: Whether the best trial of each is promoted before the next one starts.
        extend: Whether a study may be planned as it would be after `deepcolor sweep --extend`.
    Raises:
        DataError: A data set is not prepared, or its pictures have changed.
        ModelError: What a sweep starts from does not exist, and no sweep before it makes it.
        StudyError: A study of the same name was made from another sweep.
        SegmentError: The calibration failed.
    """
    stretch = _stretch()
    storage = StudyStorage(how.workspace.create())
    jobs: list[_Job] = []
    for sweep in sweeps:
        jobs.append(_job(sweep, how, storage, before=[job.sweep for job in jobs], extend=extend))
    cut = how.slots()
    machine = Machine(
        cut.workers, cut.threads, "cuda" if cut.devices else "cpu", WORKER_START_S * stretch, 0.0, stretch
    )
    costs = []
    with _Calibration(how) as calibration:
        for job in jobs:
            paces, machine = _paces(job, how, storage, machine=machine, calibration=calibration)
            costs.append(price(job.sweep, job.work, paces=paces, machine=machine, promoted=promoted))
            if job.work.chains:
                machine = replace(machine, startup_s=0.0, cold_s=0.0)
    return costs


def _stretch() -> float:
    """Seconds by the clock for one of the processor's, seen on what any driver has to do too: import its libraries."""
    began, busy = time.perf_counter(), time.process_time()
    import deepcolor.search.report
    import deepcolor.training.calibration  # noqa: F401

    took_s, busy_s = time.perf_counter() - began, time.process_time() - busy
    return max(1.0, took_s / busy_s) if busy_s > _LEAST_BUSY_S else 1.0


def _job(sweep: Sweep, how: How, storage: StudyStorage, *, before: Sequence[Sweep], extend: bool) -> _Job:
    parents: Parents = parents_of(how, storage)
    stored = storage.load(sweep.study) if sweep.study in storage.names() else None
    changes = stored.changes_to(sweep) if stored else []
    if changes and not extend:
        raise refused(how.workspace, sweep.study, changes)
    resolved = stored.sweep if stored and not changes else _adopted(sweep, parents, before=before)
    cache, _ = open_data(how.workspace, sweep)
    work = workload(
        resolved,
        stored.trials() if stored else [],
        data_digest=cache.name,
        store=how.workspace.trajectories,
        parent_of=_parent_of(parents, stored, can_wait=bool(before)),
    )
    return _Job(resolved, cache, work)


def _adopted(sweep: Sweep, parents: Parents, *, before: Sequence[Sweep]) -> Sweep:
    """Take over the parent's form; of a parent that an earlier sweep has yet to make, the widest form it may have."""
    try:
        return parents.adopt(sweep)
    except (ModelError, StudyError):
        makers = [earlier for earlier in before if _makes(earlier, sweep)]
        if not makers:
            raise
    given = {name: getattr(sweep.model, name) for name in sweep.model.model_fields_set}
    widest = makers[-1].model.model_dump() | {"feature_maps": _most_feature_maps(makers[-1])}
    fields = ModelConfig.model_fields if sweep.stage == "transfer" else ("feature_maps", "growth")
    taken = {name: widest[name] for name in fields if name not in sweep.search_names}
    return sweep.model_copy(update={"model": sweep.model.model_copy(update=taken | given)})


def _makes(earlier: Sweep, sweep: Sweep) -> bool:
    ref = sweep.init.init_from or ""
    return ref == f"study:{earlier.study}" or ref.startswith(f"{earlier.stage}@")


def _most_feature_maps(sweep: Sweep) -> int:
    for dimension in sweep.search.space:
        if dimension.name == "feature_maps":
            values = getattr(dimension, "values", None) or (getattr(dimension, "high", sweep.model.feature_maps),)
            return max(int(value) for value in values)
    return sweep.model.feature_maps


def _parent_of(
    parents: Parents, study: StoredStudy | None, *, can_wait: bool
) -> Callable[[Setting], InitWeights | None]:
    """What a setting starts from; weights that are yet to be made share nothing with what the store holds."""

    def parent_of(setting: Setting) -> InitWeights | None:
        try:
            return parents.peek(study, setting)
        except DeepcolorError:
            if not can_wait:
                raise
            return InitWeights("", Path(), str(setting.init.init_from))

    return parent_of


def _paces(
    job: _Job, how: How, storage: StudyStorage, *, machine: Machine, calibration: _Calibration
) -> tuple[dict[Form, Pace], Machine]:
    """A pace for each form of a sweep: from the store where it knows all of them, else measured now."""
    forms = job.work.forms()
    if not forms:
        return {}, machine
    known = paces_in_store(
        how.workspace,
        storage,
        data_digest=job.cache.name,
        workers=machine.workers,
        threads=machine.threads,
        device=machine.device,
    )
    known = {form: known[form] for form in forms if form in known}
    work = {form: _step_work(setting) for form, setting in forms.items()}
    wanted = [form for form in spread(list(forms), work, most=MOST_FORMS) if form not in known]
    for form in wanted:
        known[form], machine = calibration.measure(job, forms[form], machine=machine)
    return filled(known, list(forms), work=work, steps=_steps(job.cache, forms)), machine


def _step_work(setting: Setting) -> float:
    from deepcolor.training.calibration import work_per_picture

    work = work_per_picture(setting.stage, setting.model, setting.data.size_px)
    return work * setting.training.batch_size


def _steps(cache: Path, forms: Iterable[Form]) -> dict[Form, int]:
    """Steps of an epoch of each form."""
    from deepcolor.data.cache import CachedData

    pictures = len(CachedData.open(cache).train)
    return {form: max(1, math.ceil(pictures / form.batch_size)) for form in forms}


class _Calibration:
    """Measures forms with the executor a sweep would use; it starts with the first form that has to be measured."""

    def __init__(self, how: How) -> None:
        self._how = how
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.close()

    def measure(self, job: _Job, setting: Setting, *, machine: Machine) -> tuple[Pace, Machine]:
        """Measure one form on all workers at once; the first one measured also shows what starting them takes."""
        first = self._executor is None
        if first:
            console.note(f"measuring on {counted(machine.workers, 'worker')}")
        started = time.perf_counter()
        outcomes = self._run(job, setting, machine=machine)
        elapsed_s = time.perf_counter() - started
        figures = _mean_of([outcome.metrics for outcome in outcomes])
        if first:
            startup_s = max(0.0, elapsed_s - max(outcome.train_s for outcome in outcomes))
            machine = replace(machine, startup_s=startup_s, cold_s=figures["cold_s"])
        console.note(f"feature_maps={setting.model.feature_maps}: {duration(figures['epoch_s'])} an epoch")
        pace = Pace(
            epoch_s=figures["epoch_s"],
            trial_s=figures["begin_s"] + figures["checkpoint_s"] + figures["result_s"],
            checkpoint_bytes=figures["checkpoint_bytes"],
            result_bytes=figures["result_bytes"],
            source="calibration",
        )
        return pace, machine

    def _run(self, job: _Job, setting: Setting, *, machine: Machine) -> list[SegmentOutcome]:
        from deepcolor.execution.executor import Failed, Finished

        executor = self._executor = self._executor or self._start()
        for seed in range(machine.workers):
            executor.submit(self._segment(job, setting, seed=seed))
        outcomes: list[SegmentOutcome] = []
        deadline = time.monotonic() + _CALIBRATION_TIMEOUT_S
        while len(outcomes) < machine.workers:
            for event in executor.events(1.0):
                if isinstance(event, Failed):
                    raise SegmentError(f"calibration: {event.reason}")
                if isinstance(event, Finished):
                    outcomes.append(event.outcome)
            if time.monotonic() > deadline:
                raise SegmentError(
                    f"calibration: must end within {_CALIBRATION_TIMEOUT_S} s; got no end on {setting.stage} with "
                    f"feature_maps={setting.model.feature_maps}. Plan a smaller network."
                )
        return outcomes

    def _start(self) -> Executor:
        from deepcolor.execution.devices import make_executor
        from deepcolor.training.calibration import calibrate

        how = self._how
        return make_executor(how.executor, workers=how.workers, device=how.device, run=calibrate)

    def _segment(self, job: _Job, setting: Setting, *, seed: int) -> Segment:
        """A segment of its own for each worker: an executor runs one of a trajectory at a time."""
        training = setting.training.model_copy(update={"seed": seed})
        setting = setting.model_copy(update={"training": training})
        return Segment(
            Trajectory(setting, data_digest=job.cache.name, objective=job.sweep.search.objective),
            to_epoch=1,
            patience=None,
            store=self._how.workspace.trajectories,
            cache=job.cache,
            device=self._how.device,
        )


def _mean_of(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in figures) / len(figures) for name in figures[0]}
