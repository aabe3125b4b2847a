"""Build a driver from its parts and run it: the way of every command that trains."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor import __version__
from deepcolor.cli import console
from deepcolor.cli.confirmation import warn_of_few_seeds
from deepcolor.cli.live import Steps, starting, watching
from deepcolor.cli.signals import StopSignals
from deepcolor.config.schema import Sweep
from deepcolor.counting import counted
from deepcolor.errors import Interrupted
from deepcolor.printable import resume_line, shown_command, shown_uri
from deepcolor.tracking.records import Provenance
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.data.manifest import Manifest
    from deepcolor.execution.devices import Slots
    from deepcolor.execution.executor import Executor
    from deepcolor.search.rules.summary import Summary
    from deepcolor.tracking.projection import MlflowTracker

FLUSH_S = 60.0
_PACKAGES = ("torch", "torchvision", "optuna", "mlflow", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class How:
    """The options of a command that trains."""

    workspace: Workspace
    tracking_uri: str
    executor: str = "local"
    workers: int | None = None
    device: str = "auto"
    command: str = ""
    """The command line that reproduces the work, without what must not be told (see `resume`)."""
    extend: bool = False
    """Let a study grow to a sweep that has changed."""
    resume: str = ""
    """The line that goes on with the work after an interrupt: the command, and the variables it needs; "": as above."""

    def make_executor(self) -> Executor:
        """The executor asked for; its processes start with the first segment."""
        from deepcolor.execution.devices import make_executor, slots

        if self.executor == "local" and (note := slots(workers=self.workers, device=self.device).note):
            console.warn(note)
        return make_executor(self.executor, workers=self.workers, device=self.device)

    def slots(self) -> Slots:
        """How that executor is cut to this machine."""
        from deepcolor.execution.devices import Slots, cores, slots

        if self.executor == "serial":
            return Slots(workers=1, threads=cores(), devices=())
        return slots(workers=self.workers, device=self.device)


def run_sweep(sweep: Sweep, how: How, *, executor: Executor) -> Summary:
    """Create the sweep's study or go on with it, until it is done or stopped.

    Args:
        sweep: As its file gives it.
        how: The options of the command.
        executor: Runs the segments; stays open, so that several sweeps can use its processes one after the other.
    Raises:
        Interrupted: The user stopped it; the message holds the line that resumes.
        WorkspaceError: The disk is full, or the database stays locked; the same command goes on.
    """
    how.workspace.create()
    warn_of_few_seeds(sweep)
    with StopSignals(resume=how.resume or how.command) as stop, starting(sweep.study) as steps:
        steps.step(f"looking at the data set {sweep.data.name}")
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
            cache, manifest = open_data(
                how.workspace,
                sweep,
                child_imports=executor.child_imports,
                before_decoding=get_ready,
                between_steps=stop.heed,
                steps=steps,
            )
        except Exception:
            stop.heed()  # Sent to all processes of a job, as schedulers do, SIGTERM ends those that are just starting.
            raise
        return _drive(sweep, how, stop, executor=executor, tracker=tracker, cache=cache, manifest=manifest, steps=steps)


def _drive(
    sweep: Sweep,
    how: How,
    stop: StopSignals,
    *,
    executor: Executor,
    tracker: MlflowTracker,
    cache: Path,
    manifest: Manifest,
    steps: Steps,
) -> Summary:
    steps.step("loading libraries")
    from deepcolor.report.writing import ReportFolder
    from deepcolor.search.driver.loop import Driver, Places
    from deepcolor.search.driver.refusals import writing_below
    from deepcolor.search.recording import Projection
    from deepcolor.search.study.pictures import note_pictures
    from deepcolor.search.study.starts import Start, write_start
    from deepcolor.search.study.storage import StudyStorage, owned

    workspace = how.workspace
    storage = StudyStorage(workspace)
    parents = parents_of(how, storage)
    steps.step("opening the studies database", slow="waiting for the studies database, which another program may hold")
    with (
        writing_below(workspace),
        owned(workspace, sweep.study, on_wait=console.note, between=stop.heed),
    ):
        study = storage.open(sweep, lambda: parents.adopt(sweep), extend=how.extend)
        folder = workspace.study(sweep.study)
        cut = how.slots()
        start = Start(provenance(study.sweep, manifest, cache, how), how.command, cut.workers, cut.threads)
        write_start(folder, start)
        note_pictures(workspace, sweep.study, manifest)
        report = ReportFolder(workspace.report(sweep.study))
        projection = Projection(
            study=study,
            provenance=start.provenance,
            command=start.command,
            store=workspace.trajectories,
            report=report.folder,
        )
        places = Places(
            store=workspace.trajectories,
            cache=cache,
            stop_file=folder / "stop",
            device=how.device,
        )
        steps.hide()
        with watching(sweep.study) as watcher:
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
            console.warn(
                f"MLflow at {shown_uri(how.tracking_uri)} has not taken everything yet; "
                "nothing is lost, the same command sends the rest."
            )
    return summary


def open_data(
    workspace: Workspace,
    sweep: Sweep,
    *,
    child_imports: Sequence[str] = (),
    before_decoding: Callable[[], None] = lambda: None,
    between_steps: Callable[[], None] = lambda: None,
    steps: Steps | None = None,
) -> tuple[Path, Manifest]:
    """Find the sweep's data set, and make sure that it is unchanged and decoded in the form the sweep asks for.

    Args:
        workspace: Where the data set lies.
        sweep: Names it, its size and its augmentation.
        child_imports: What the processes that train later import beside; all are forked from one server.
        before_decoding: Called if it is not decoded yet, while the processes that decode start: then nothing is
            trained yet either.
        steps: Gives way to the bar of decoding, where there is any to be done.
        between_steps: Called now and then; what it raises ends the work, and nothing is left half done.
    """
    from deepcolor.cli.progress import progress
    from deepcolor.data.manifest import UndecodableError, leave_out, verify
    from deepcolor.data.stored import ensure_cache, is_decoded
    from deepcolor.processes import DECODING, start_server
    from deepcolor.search.study.pictures import is_begun, is_former, manifest_of

    manifest = manifest_of(workspace, sweep)
    former = is_former(workspace, manifest)
    if former:
        console.note(
            f"{sweep.study} goes on with the pictures it was begun with; {sweep.data.name} has been prepared anew. "
            "To train on the new ones, give the sweep another study name."
        )
    if not is_decoded(workspace, manifest, sweep.data):
        # They are looked at before they are decoded.
        if steps is not None:
            steps.step("starting the processes that decode pictures")
        start_server(*DECODING, *child_imports)
        before_decoding()
    elif not former and manifest.source.is_dir():  # The pictures of a former data set may be gone.
        verify(manifest)
    elif not former:  # The workspace or the photos have moved; what was decoded of them is all that is needed.
        console.note(f"{sweep.data.name}: {manifest.source} is not there; going on with what was decoded of it")
    between_steps()
    with progress(f"decoding {sweep.data.name} at {sweep.data.size_px} px") as show:

        def on_progress(done: int, total: int) -> None:
            if steps is not None:
                steps.hide()
            show(done, total)
            between_steps()

        try:
            return ensure_cache(workspace, manifest, sweep.data, on_progress=on_progress), manifest
        except UndecodableError as error:
            if is_begun(workspace, sweep):
                raise  # Without them it would be another study.
            manifest = leave_out(workspace, manifest, error.files)
            console.left_out(f"{error.said} They are left out of {sweep.data.name} from now on.")
        return ensure_cache(workspace, manifest, sweep.data, on_progress=on_progress), manifest


def parents_of(how: How, storage: Any) -> Any:
    """The resolver of `init_from`."""
    from deepcolor.cli.parents import Parents

    return Parents(how.workspace, storage, tracking_uri=how.tracking_uri)


def make_tracker(how: How) -> MlflowTracker:
    """The MLflow projection of the workspace's database, or of the server asked for."""
    from deepcolor.tracking.projection import MlflowTracker

    own = how.tracking_uri == how.workspace.mlflow_uri
    return MlflowTracker(
        tracking_uri=how.tracking_uri, artifact_root=how.workspace.artifacts if own else None, on_warning=console.warn
    )


def provenance(sweep: Sweep, manifest: Manifest, cache: Path, how: How) -> Provenance:
    """Where this start's numbers come from."""
    commit, dirty = git_state(how.workspace.root)
    versions = {"deepcolor": __version__, "python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Provenance(
        data_digest=cache.name,
        data_folder=str(manifest.source),
        config_digest=sweep.digest(),
        git_commit=commit,
        git_dirty=dirty,
        versions=versions,
    )


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """The commit checked out in a folder and whether anything differs from it; (None, None) outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # whichever git the user has
                # A repository may name a program as its monitor of files, which `status` would run.
                ["git", "-c", "core.fsmonitor=false", *arguments],  # noqa: S607  # whichever git the user has
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit, bool(git("status", "--porcelain", "--untracked-files=no"))


def command_lines() -> tuple[str, str]:
    """The command as the user gave it: for a reader to run again, and for its user to go on with."""
    program = Path(sys.argv[0]).name
    arguments = ["deepcolor" if program == "__main__.py" else program, *sys.argv[1:]]
    return shown_command(arguments), resume_line(arguments)
