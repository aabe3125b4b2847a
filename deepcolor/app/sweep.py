"""Build a driver from its parts and run it: the way of every use case that trains."""

from __future__ import annotations

import importlib
from contextlib import closing
from typing import TYPE_CHECKING

from deepcolor.app.data import FoundData, open_data
from deepcolor.app.how import How
from deepcolor.app.provenance import provenance
from deepcolor.app.reporter import Reporter, Steps
from deepcolor.app.signals import StopSignals
from deepcolor.config.schema import Sweep
from deepcolor.counting import counted
from deepcolor.errors import Interrupted
from deepcolor.plugins import Code, keep
from deepcolor.printable import shown_uri

if TYPE_CHECKING:
    from deepcolor.execution.executor import Executor
    from deepcolor.search.rules.summary import Summary
    from deepcolor.tracking.projection import MlflowTracker

FLUSH_S = 60.0
_FEW_SEEDS = 2


def run_sweep(sweep: Sweep, how: How, *, executor: Executor | None = None) -> Summary:
    """Create the sweep's study or continue it, until it is done or stopped.

    Args:
        sweep: As its file gives it.
        how: The options of the command.
        executor: Runs the segments; stays open, so that several sweeps can use its processes one after the other.
            None: one of its own, as `how` asks for.
    Raises:
        Interrupted: The user stopped it; the message holds the line that resumes.
        WorkspaceError: The disk is full, or the database stays locked; the same command continues.
    """
    if executor is None:
        with closing(how.make_executor()) as own:
            return run_sweep(sweep, how, executor=own)
    how.workspace.create()
    warn_of_few_seeds(sweep, how.reporter)
    for line in sweep.said:
        how.reporter.note(line)
    stop_signals = StopSignals(resume=how.resume or how.command, tell=how.reporter.tell)
    with stop_signals as stop, how.reporter.starting(sweep.study) as steps:
        steps.step(f"looking at the data set {sweep.data.title}".rstrip())
        summary = _ready_and_drive(sweep, how, stop, executor=executor, steps=steps)
    if summary.state == "interrupted":
        done = counted(summary.complete, "trial")
        raise Interrupted(f"stopped; {done} complete. Resume with: {how.resume or how.command}")
    return summary


def _ready_and_drive(sweep: Sweep, how: How, stop: StopSignals, *, executor: Executor, steps: Steps) -> Summary:
    with closing(make_tracker(how)) as tracker:

        def get_ready() -> None:
            executor.prepare()
            tracker.prepare()
            importlib.import_module("deepcolor.search.driver.loop")

        try:
            data = open_data(
                how.workspace,
                sweep,
                reporter=how.reporter,
                child_imports=executor.child_imports,
                before_decoding=get_ready,
                between_steps=stop.heed,
                steps=steps,
            )
        except Exception:
            stop.heed()  # Sent to all processes of a job, as schedulers do, SIGTERM ends those that are just starting.
            raise
        return _drive(sweep, how, stop, executor=executor, tracker=tracker, data=data, steps=steps)


def _drive(
    sweep: Sweep,
    how: How,
    stop: StopSignals,
    *,
    executor: Executor,
    tracker: MlflowTracker,
    data: FoundData,
    steps: Steps,
) -> Summary:
    steps.step("loading libraries")
    from deepcolor.app.parents import Parents
    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.driver.loop import Driver, Places
    from deepcolor.search.driver.refusals import writing_below
    from deepcolor.search.plan.workload import refuse_if_nothing_fits
    from deepcolor.search.recording import Projection
    from deepcolor.search.rules.completion import is_finished
    from deepcolor.search.study.ownership import unkept_locks
    from deepcolor.search.study.pictures import note_pictures
    from deepcolor.search.study.sizes import left_out
    from deepcolor.search.study.starts import Start, write_start
    from deepcolor.search.study.storage import StudyStorage, owned

    workspace = how.workspace
    storage = StudyStorage(workspace)
    parents = Parents(workspace, storage, tracking_uri=how.tracking_uri)
    if (unkept := unkept_locks(workspace)) is not None:
        how.reporter.warn(unkept)
    steps.step("opening the studies database", slow="waiting for the studies database, which another program may hold")
    with (
        writing_below(workspace),
        owned(workspace, sweep.study, on_wait=how.reporter.note, between=stop.heed, say=how.reporter.warn),
    ):
        keep(Code(sweep.code, workspace.code))
        study = storage.open(
            sweep, lambda: refuse_if_nothing_fits(parents.adopt(sweep).with_sampler()), extend=how.extend
        )
        trials = study.trials()
        if not is_finished(study, trials) or any(trial.state == "failed" for trial in trials):
            study.sweep.make_ready(workspace.root)
        if (chosen := sweep.why_sampler()) and not trials:
            how.reporter.note(f"{sweep.study}: {chosen}")
        if (unfit := left_out(study.sweep)) is not None:
            how.reporter.note(f"{sweep.study}: {unfit}")
        folder = workspace.study(sweep.study)
        cut = how.slots(executor)
        start = Start(provenance(study, data, root=workspace.root), how.command, cut.workers, cut.threads)
        write_start(folder, start)
        if data.manifest is not None:
            note_pictures(workspace, sweep.study, data.manifest)
        report = ReportFolder(workspace.report(sweep.study), store=workspace.trajectories)
        projection = Projection(
            study=study,
            provenance=start.provenance,
            command=start.command,
            store=workspace.trajectories,
            report=report.folder,
            pictures=workspace.settings.mlflow_pictures,
        )
        places = Places(
            store=workspace.trajectories,
            cache=data.folder,
            stop_file=folder / "stop",
            device=how.device,
            system_metrics_every_s=how.system_metrics_every_s,
            code=workspace.code,
            samples=projection.pictures > 0,
            forms=data.forms,
        )
        steps.hide()
        with how.reporter.watching(sweep.study) as watcher:
            driver = Driver(
                study,
                executor=executor,
                tracker=tracker,
                watcher=watcher,
                projection=projection,
                places=places,
                report=report,
                parent_of=lambda setting: parents.of(study, setting),
                learn_from=[storage.load(name) for name in study.sweep.search.warm_start],
            )
            stop.hand_to(driver.request_stop)
            summary = driver.run()
        stop.hurry()  # All is saved: from here on one Ctrl-C cuts the wait for MLflow short.
        steps.step("storing the last runs", slow="waiting for MLflow to store the last runs; Ctrl-C cuts it short")
        if not tracker.flush(FLUSH_S):
            how.reporter.warn(
                f"MLflow at {shown_uri(how.tracking_uri)} has not taken everything yet; "
                "nothing is lost, the same command sends the rest."
            )
    return summary


def make_tracker(how: How) -> MlflowTracker:
    """The MLflow projection of the workspace's database, or of the server asked for."""
    from deepcolor.tracking.projection import MlflowTracker

    own = how.tracking_uri == how.workspace.mlflow_uri
    return MlflowTracker(
        tracking_uri=how.tracking_uri,
        artifact_root=how.workspace.artifacts if own else None,
        on_warning=how.reporter.warn,
    )


def warn_of_few_seeds(sweep: Sweep, reporter: Reporter) -> None:
    """Say what two seeds are worth: Welch's interval then rests on two degrees of freedom."""
    confirm = sweep.search.confirm
    if confirm is not None and confirm.seeds <= _FEW_SEEDS:
        reporter.warn(
            f"search.confirm: {confirm.seeds} seeds can hardly tell two settings apart, whose means must then differ "
            "by 4.3 standard errors (2.8 with 3 seeds, 2.3 with 5). Set seeds to 3 or more."
        )
