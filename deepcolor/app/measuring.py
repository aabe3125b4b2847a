"""Find the pace of every form that is to be planned: what the store knows, what is measured now, and what follows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from deepcolor.app.data import FoundData
from deepcolor.app.how import How
from deepcolor.config.schema import Setting, Sweep
from deepcolor.counting import counted
from deepcolor.errors import SegmentError
from deepcolor.plugins import Code, keep
from deepcolor.search.plan.neighbours import ENOUGH, Doubt, doubt, filled
from deepcolor.search.plan.paces import paces_in_store
from deepcolor.search.plan.price import Machine, Pace
from deepcolor.search.plan.workload import Form, Workload
from deepcolor.search.study.storage import StudyStorage
from deepcolor.stages.finding import label_of
from deepcolor.stages.session import Job as TrainingJob
from deepcolor.training.trajectory import Segment, SegmentOutcome, Trajectory
from deepcolor.words import duration, param_text
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.execution.executor import Executor

_CALIBRATION_TIMEOUT_S = 600


@dataclass(frozen=True, eq=False)
class Priced:
    """One sweep, ready to be priced."""

    sweep: Sweep
    """With what it takes over from its parent model."""
    data: FoundData
    work: Workload


class Book:
    """The paces of all sweeps that are planned together, as far as they are known."""

    def __init__(
        self, jobs: Sequence[Priced], workspace: Workspace, storage: StudyStorage, *, machine: Machine
    ) -> None:
        """Look up what the store knows.

        Args:
            jobs: The sweeps, in their order.
            workspace: Whose studies are looked through.
            storage: Of the workspace.
            machine: That they would run on.
        """
        self.jobs = jobs
        self._known: dict[Priced, dict[Form, Pace]] = {}
        self._work: dict[Priced, dict[Form, float]] = {}
        """What an epoch of each form costs, in a unit of its stage's."""
        for job in jobs:
            forms = job.work.forms()
            stored = (
                paces_in_store(
                    workspace,
                    storage,
                    data_digest=job.data.digest,
                    workers=machine.workers,
                    threads=machine.threads,
                    device=machine.device,
                )
                if forms
                else {}
            )
            self._known[job] = {form: stored[form] for form in forms if form in stored}
            self._work[job] = {form: _cost(job, setting) for form, setting in forms.items()}

    @property
    def knows_any(self) -> bool:
        """Whether any pace is known, from which the others can be derived."""
        return any(self._known.values())

    def forms(self) -> list[Form]:
        """All there are, each once."""
        return list(dict.fromkeys(form for work in self._work.values() for form in work))

    def next_wanted(self) -> tuple[Priced, Form] | None:
        """What is worth measuring next: it makes the sum of all sweeps surest. None once that is sure enough."""
        doubts = {job: self._doubt(job) for job in self.jobs if self._work[job]}
        total = sum(doubt.seconds for doubt in doubts.values())
        open_ = [(doubt.unsure, job, doubt.form) for job, doubt in doubts.items() if doubt.form and not doubt.enough]
        unsure, job, form = max(open_, key=lambda each: each[0], default=(0.0, None, None))
        return (job, form) if job and form and unsure > ENOUGH * total / len(self.jobs) else None

    def put(self, job: Priced, form: Form, pace: Pace) -> None:
        """Take over what was measured."""
        self._known[job][form] = pace

    def paces(self, job: Priced) -> dict[Form, Pace]:
        """Return a pace for each form of a sweep, derived from those of the other sweeps where it has none."""
        forms = list(self._work[job])
        if not forms:
            return {}
        known, work = dict(self._known[job]), dict(self._work[job])
        for other in self.jobs if not known else ():
            known |= self._known[other]
            work = {**self._work[other], **work}
        return filled(known, forms, work=work)

    def _doubt(self, job: Priced) -> Doubt:
        epochs: dict[Form, float] = {}
        for chain in job.work.chains:
            epochs[chain.form] = epochs.get(chain.form, 0) + sum(chain.epochs)
        guess = self.paces(job) if self.knows_any else {}
        return doubt(self._known[job], list(self._work[job]), work=self._work[job], epochs=epochs, guess=guess)


def names_of(forms: Sequence[Form]) -> dict[Form, str]:
    """Name each form by its stage and by what tells it from the others."""
    names = dict.fromkeys(name for form in forms for name in form.fields)
    differing = [name for name in names if len({repr(form.fields.get(name)) for form in forms}) > 1]
    return {
        form: " ".join(
            [label_of(form.stage), *(f"{n}={param_text(form.fields[n])}" for n in differing if n in form.fields)]
        )
        for form in forms
    }


def _cost(job: Priced, setting: Setting) -> float:
    """What an epoch of a form costs, in a unit of its stage's."""
    work, steps = setting.stage_class.cost(
        TrainingJob(
            stage=setting.label,
            data=setting.data,
            model=setting.model,
            training=setting.training,
            init=setting.init,
            folder=job.data.of(setting.data)[1],
            data_digest=job.data.of(setting.data)[0],
            code=Code(setting.code),
        )
    )
    return work * steps


class Calibration:
    """Measures forms with the executor a sweep would use; it starts with the first form that has to be measured."""

    def __init__(self, how: How, *, forms: Sequence[Form]) -> None:
        """Start nothing yet.

        Args:
            how: The options of the command.
            forms: All that is to be planned, so that what is said of one names what tells it from the others.
        """
        self._how = how
        self._names = names_of(forms)
        self._executor: Executor | None = None
        self._start_costs: tuple[float, float] | None = None
        self.longest_s = 0.0
        """Seconds of the longest measurement so far, without the workers' start."""
        self.spent_s = 0.0
        """Of all of them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.close()

    def machine(self, machine: Machine) -> Machine:
        """Return a machine with what starting its workers took, as far as that has been seen."""
        if self._start_costs is None:
            return machine
        startup_s, cold_s = self._start_costs
        return replace(machine, startup_s=startup_s, cold_s=cold_s)

    def say_rest_is_derived(self) -> None:
        """Say why the other forms are not measured."""
        self._how.reporter.note(
            "the other forms are derived from these: to measure them would take too much of what is planned"
        )

    def measure(self, job: Priced, form: Form, *, machine: Machine) -> Pace:
        """Measure one form on all workers at once; the first one measured also shows what starting them takes."""
        setting = job.work.forms()[form]
        first = self._executor is None
        if first:
            self._how.reporter.note(f"measuring on {counted(self._how.measured_on(machine.workers), 'worker')}")
        started = time.perf_counter()
        outcomes = self._run(job, setting, machine=machine)
        elapsed_s = time.perf_counter() - started
        figures = _mean_of([outcome.metrics for outcome in outcomes])
        measured_s = max(outcome.train_s for outcome in outcomes)
        self.longest_s = max(self.longest_s, measured_s)
        self.spent_s += measured_s
        if first:
            self._start_costs = max(0.0, elapsed_s - measured_s), figures["cold_s"]
        self._how.reporter.note(f"{self._names[form]}: {duration(figures['epoch_s'])} an epoch")
        return Pace(
            epoch_s=figures["epoch_s"],
            trial_s=figures["begin_s"] + figures["checkpoint_s"] + figures["result_s"],
            checkpoint_bytes=figures["checkpoint_bytes"],
            result_bytes=figures["result_bytes"],
            source="calibration",
        )

    def _run(self, job: Priced, setting: Setting, *, machine: Machine) -> list[SegmentOutcome]:
        from deepcolor.execution.executor import Failed, Finished

        keep(Code(setting.code, self._how.workspace.code))
        executor = self._executor = self._executor or self._start()
        wanted = self._how.measured_on(machine.workers)
        for seed in range(wanted):
            executor.submit(self._segment(job, setting, seed=seed))
        outcomes: list[SegmentOutcome] = []
        # A job may wait in its queue for hours.
        deadline = math.inf if self._how.kind == "slurm" else time.monotonic() + _CALIBRATION_TIMEOUT_S
        while len(outcomes) < wanted:
            for event in executor.events(1.0):
                deadline = min(deadline, time.monotonic() + _CALIBRATION_TIMEOUT_S)
                if isinstance(event, Failed):
                    raise SegmentError(f"calibration: {event.reason}")
                if isinstance(event, Finished):
                    outcomes.append(event.outcome)
            if time.monotonic() > deadline:
                raise SegmentError(
                    f"calibration: must end within {_CALIBRATION_TIMEOUT_S} s; got no end on {setting.label} with "
                    f"{', '.join(f'{k}={v}' for k, v in setting.model.model_dump().items())}. Plan a smaller network."
                )
        return outcomes

    def _start(self) -> Executor:
        from deepcolor.training.calibration import calibrate

        return self._how.make_executor(calibrate)

    def _segment(self, job: Priced, setting: Setting, *, seed: int) -> Segment:
        """A segment of its own for each worker: an executor runs one of a trajectory at a time."""
        training = setting.training.model_copy(update={"seed": seed})
        setting = setting.model_copy(update={"training": training})
        digest, folder = job.data.of(setting.data)
        return Segment(
            Trajectory(setting, data_digest=digest, objective=job.sweep.objective),
            to_epoch=1,
            patience=None,
            store=self._how.workspace.trajectories,
            cache=folder,
            device=self._how.device,
            code=self._how.workspace.code,
        )


def _mean_of(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in figures) / len(figures) for name in figures[0]}
