"""deepcolor from Python: what its commands do as functions, and a study to look at.

    import deepcolor

    study = deepcolor.sweep("experiments/quick-regressor.yaml")
    study.trials()
    study.promote()

A script that uses worker processes, as it does by default, must be guarded by `if __name__ == "__main__":`, for every
one of them imports it; `executor="serial"` trains in the script's own process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.how import How
from deepcolor.app.reporter import Reporter
from deepcolor.cli.reporter import ConsoleReporter
from deepcolor.config.load import load_pipeline, sweep_of
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.notebook import NotebookReporter, in_kernel, trials_html, without_widgets
from deepcolor.words import params_line
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from deepcolor.app.pipeline import StageResult
    from deepcolor.data.drawn import DrawnKind
    from deepcolor.data.manifest import Manifest
    from deepcolor.registry.promotion import Promotion
    from deepcolor.report.figures import Pictured
    from deepcolor.search.plan.price import Cost
    from deepcolor.search.study.storage import StoredStudy
    from deepcolor.search.study.trials import StoredTrial

if in_kernel():
    without_widgets()

Where = str | PathLike[str]
_AGAIN = "the same call"
"""What goes on after Ctrl-C."""


def sweep(
    sweep: Sweep | Mapping[str, Any] | Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    extend: bool = False,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Study:
    """Search hyperparameters as `deepcolor sweep` does: create the sweep's study, or go on with it.

    Args:
        sweep: A sweep file, the same as a mapping, or a `Sweep`.
        overrides: `key=value` each, as for `-o`.
        workspace: Where everything is kept.
        executor: `local`: worker processes; `serial`: this process.
        workers: Worker processes; None: as many as this machine has room for.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        extend: Let a study grow to a sweep that has changed.
        tracking_uri: The MLflow store; None: MLFLOW_TRACKING_URI, else the workspace's own.
        reporter: Is told what goes on; None: a notebook's cell, elsewhere standard error.
    Returns:
        The study, finished.
    Raises:
        ConfigError: The sweep is refused; the message names the key.
        Interrupted: Ctrl-C: running segments have finished their epoch and are saved, and the same call goes on.
        StudyError: A study of this name was made from another sweep, or another process is at work on it.
    """
    from deepcolor.app.sweep import run_sweep

    parsed = sweep_of(sweep, overrides)
    called = f"deepcolor sweep {fspath(sweep)}" if isinstance(sweep, str | PathLike) else "deepcolor.sweep(...)"
    place, told = Workspace.at(Path(workspace)), _told(reporter)
    uri = place.store_uri(tracking_uri)
    how = How(place, uri, executor, workers, device, called, extend=extend, resume=_AGAIN, reporter=told)
    runner = how.make_executor()
    try:
        run_sweep(parsed, how, executor=runner)
    finally:
        runner.close()
    return open_study(parsed.study, workspace=workspace, tracking_uri=uri)


def pipeline(
    file: Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    name: str | None = None,
    force: bool = False,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> list[StageResult]:
    """Run the sweeps of a pipeline in order as `deepcolor pipeline` does, and promote the best trial of each.

    Args:
        file: The pipeline file.
        overrides: As for `sweep`; keys start with a stage.
        workspace: As for `sweep`.
        executor: As for `sweep`.
        workers: As for `sweep`.
        device: As for `sweep`.
        name: Let every stage compete for a champion of its own: `fruits`, for `colorizer-fruits`.
        force: Make each best trial champion whatever the gate says.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        ConfigError: The pipeline is refused; the message names the key.
        Interrupted: As for `sweep`.
        ModelError: A sweep starts from a champion that the stage before it did not become.
    """
    from deepcolor.app.pipeline import run_pipeline

    parsed = load_pipeline(Path(file), overrides)
    called = f"deepcolor pipeline {fspath(file)}"
    place, told = Workspace.at(Path(workspace)), _told(reporter)
    how = How(place, place.store_uri(tracking_uri), executor, workers, device, called, resume=_AGAIN, reporter=told)
    return run_pipeline(parsed, how, own_name=name, force=force)


def plan(
    sweep: Sweep | Mapping[str, Any] | Where,
    *,
    overrides: Sequence[str] = (),
    workspace: Where = ".",
    executor: str = "local",
    workers: int | None = None,
    device: str = "auto",
    extend: bool = False,
    reporter: Reporter | None = None,
) -> Cost:
    """Say what a sweep would cost before it is run, as `deepcolor plan` does.

    Args:
        sweep: As for `deepcolor.sweep`, and so are the others.
        overrides: As there.
        workspace: As there.
        executor: As there.
        workers: As there.
        device: As there.
        extend: As there.
        reporter: As there.
    Raises:
        ConfigError: The sweep is refused; the message names the key.
        DataError: Its data set is not prepared, or its pictures have changed.
    """
    from deepcolor.app.plan import estimate

    place, told = Workspace.at(Path(workspace)), _told(reporter)
    how = How(place, place.store_uri(None), executor, workers, device, reporter=told)
    (cost,) = estimate((sweep_of(sweep, overrides),), how, extend=extend)
    return cost


def draw(
    kind: DrawnKind,
    folder: Where,
    *,
    count: int = 300,
    seed: int = 0,
    size_px: int = 128,
    reporter: Reporter | None = None,
) -> tuple[Path, ...]:
    """Draw pictures for a first try without photos, as `deepcolor data draw` does.

    Args:
        kind: `faces` or `fruit`.
        folder: New, empty, or one that an earlier call drew into.
        count: How many pictures.
        seed: Another seed, other pictures.
        size_px: Side of the pictures, 32 to 1024.
        reporter: As for `sweep`.
    Returns:
        Their files, in order.
    Raises:
        DataError: A number is out of range, there is no such kind, or the folder holds other files.
        WorkspaceError: The folder cannot be written to.
    """
    from deepcolor.app.data import draw as draw_pictures

    return draw_pictures(kind, Path(folder), count=count, size_px=size_px, seed=seed, reporter=_told(reporter))


def prepare(
    folder: Where,
    *,
    name: str,
    workspace: Where = ".",
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    strict: bool = False,
    replace: bool = False,
    reporter: Reporter | None = None,
) -> Manifest:
    """Make a data set of a folder of pictures, as `deepcolor data prepare` does.

    Args:
        folder: Of the pictures; it is only read.
        name: Of the data set.
        workspace: As for `sweep`.
        split: Shares of train, val and test.
        seed: Of the split.
        strict: Refuse a folder that holds a picture that cannot be used.
        replace: Put it in the place of other pictures of this name.
        reporter: As for `sweep`.
    Raises:
        DataError: The folder cannot be used, or other pictures have been prepared under this name.
    """
    from deepcolor.app.data import prepare as prepare_pictures

    return prepare_pictures(
        Path(folder),
        name=name,
        workspace=Workspace.at(Path(workspace)),
        split=split,
        seed=seed,
        strict=strict,
        replace=replace,
        reporter=_told(reporter),
    )


def promote(
    study: str | Study,
    *,
    trial: int | None = None,
    name: str | None = None,
    force: bool = False,
    retrain: bool = False,
    device: str = "auto",
    workspace: Where = ".",
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Promotion:
    """Register a study's winner, and make it champion if it is better than the present one; `deepcolor promote`.

    Args:
        study: The study, or its name.
        trial: Number of the trial; None: the winner.
        name: Compete for a champion of its own: `fruits`, for `colorizer-fruits`.
        force: Make it champion whatever the gate says.
        retrain: Train it again first if its weights were collected.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workspace: Where the study is, where it is given by its name.
        tracking_uri: As for `sweep`.
        reporter: As for `sweep`.
    Raises:
        StudyError: There is no such study or trial, or it has no model to promote.
        TrackingError: The store cannot be reached.
    """
    from deepcolor.app.promote import promote_trial

    place = study.workspace if isinstance(study, Study) else Workspace.at(Path(workspace))
    uri = tracking_uri or (study.tracking_uri if isinstance(study, Study) else place.store_uri(None))
    told = _told(reporter)
    promotion = promote_trial(
        place,
        study.name if isinstance(study, Study) else study,
        uri,
        number=trial,
        own_name=name,
        force=force,
        device=device,
        retrain=retrain,
        reporter=told,
    )
    for warning in promotion.warnings:
        told.warn(warning)
    return promotion


def pull(ref: str, folder: Where, *, workspace: Where = ".", tracking_uri: str | None = None) -> Path:
    """Write a registered model to a folder, as `deepcolor pull` does: weights, description, and a model card.

    Args:
        ref: Such as `colorizer@champion`.
        folder: New, empty, or one that an earlier pull wrote.
        workspace: Where the registry is, when no other store is named.
        tracking_uri: As for `sweep`.
    Raises:
        ModelError: There is no such version; the message lists what there is.
        WorkspaceError: The folder holds something else, or cannot be written to.
    """
    from deepcolor.registry.pull import pull as pull_version

    return pull_version(ref, Path(folder), tracking_uri=Workspace.at(Path(workspace)).store_uri(tracking_uri))


def open_study(name: str, *, workspace: Where = ".", tracking_uri: str | None = None) -> Study:
    """Open a study to look at it, finished or not.

    Args:
        name: Its name.
        workspace: Where it is.
        tracking_uri: As for `sweep`; where `Study.promote` registers.
    Raises:
        StudyError: There is no such study; the message names the nearest.
    """
    from deepcolor.search.study.storage import StudyStorage

    place = Workspace.at(Path(workspace))
    return Study(StudyStorage(place).load(name), place, place.store_uri(tracking_uri))


class Study:
    """A study as its database holds it at the moment of each question; a notebook shows its best trials."""

    def __init__(self, stored: StoredStudy, workspace: Workspace, tracking_uri: str) -> None:
        """See `open_study`."""
        self._stored = stored
        self.workspace = workspace
        self.tracking_uri = tracking_uri

    @property
    def name(self) -> str:
        return self._stored.name

    @property
    def sweep(self) -> Sweep:
        """The sweep as it runs, with what it took over from its parent model."""
        return self._stored.sweep

    @property
    def best(self) -> dict[str, Any] | None:
        """The best complete trial: its number, value, params, chosen epoch and metrics; None while there is none."""
        from deepcolor.search.rules.summary import best_as_dict, best_of

        best = best_of(self._stored.trials())
        return best_as_dict(best) if best else None

    def trials(self) -> pd.DataFrame:
        """The trials of the search, the best first: rank, number, state, value, params, epochs and metrics."""
        from deepcolor.report.writing import leaderboard

        return leaderboard(self._stored.trials())

    def history(self, trial: int) -> pd.DataFrame:
        """The epochs of a trial: a column for each metric that its stage measures, by public name, and its seconds.

        Raises:
            StudyError: There is no such trial.
        """
        import pandas as pd

        from deepcolor.training.checkpoint import read_history
        from deepcolor.training.trajectory import TrajectoryPaths

        stored = self._trial(trial)
        if stored.place is None:
            return pd.DataFrame()
        end = stored.outcome.view.end_epoch if stored.outcome else stored.setting(self.sweep).training.epochs
        rows = read_history(TrajectoryPaths(self.workspace.trajectories, stored.place.trajectory))
        shown = [{"epoch": row.epoch, **row.values, "time_ms": row.time_ms} for row in rows if row.epoch <= end]
        return pd.DataFrame(shown)

    def importances(self) -> pd.DataFrame:
        """The share of each searched field in the differences between the trials, by two evaluators.

        Raises:
            StudyError: There are too few complete trials, or fields with several values, to say anything.
        """
        import pandas as pd

        return pd.DataFrame(self._importances())

    def plot_history(self) -> Figure:
        """Draw the value of each trial by its number, and the best so far."""
        from deepcolor.report.figures import history_figure

        return history_figure(self._pictured())

    def plot_slices(self) -> Figure:
        """Draw the value of each trial against each searched field."""
        from deepcolor.report.figures import slices_figure

        return slices_figure(self._pictured())

    def plot_parallel_coordinates(self) -> Figure:
        """Draw each trial as a line through its params to its value."""
        from deepcolor.report.figures import parallel_figure

        return parallel_figure(self._pictured())

    def plot_importances(self) -> Figure:
        """Draw the share of each searched field in the differences between the trials, by two evaluators.

        Raises:
            StudyError: As for `importances`.
        """
        from deepcolor.report.figures import importances_figure

        return importances_figure(self._pictured(), self._importances())

    def promote(
        self,
        *,
        trial: int | None = None,
        name: str | None = None,
        force: bool = False,
        device: str = "auto",
        reporter: Reporter | None = None,
    ) -> Promotion:
        """Register its winner, and make it champion if it is better than the present one: see `deepcolor.promote`."""
        return promote(self, trial=trial, name=name, force=force, device=device, reporter=reporter)

    def __repr__(self) -> str:
        return repr(self._stored)

    def _repr_html_(self) -> str:
        from deepcolor.search.rules.ranking import ranked

        best = self.best
        setting = (params_line(best["params"]) or "the one setting") if best else ""
        found = f"best: trial {best['trial']}, {best['value']:.3e} with {setting}" if best else "no complete trial yet"
        return trials_html(repr(self).strip("<>"), ranked(self._stored.trials()), found=found)

    def _trial(self, number: int) -> StoredTrial:
        trials = {trial.number: trial for trial in self._stored.trials()}
        if number not in trials:
            raise StudyError(f"trial: must be one of 0 to {max(trials, default=0)}; got {number} (study {self.name}).")
        return trials[number]

    def _importances(self) -> dict[str, dict[str, float]]:
        from deepcolor.report.writing import too_little
        from deepcolor.search.study.importances import importances

        of = self._pictured()
        if reason := too_little(of):
            raise StudyError(f"importances of {self.name}: {reason}")
        return importances(self._stored, of.varying)

    def _pictured(self) -> Pictured:
        from deepcolor.report.figures import pictured

        return pictured(self.sweep, self._stored.trials())


def _told(reporter: Reporter | None) -> Reporter:
    """Who is told what goes on, where nobody is named."""
    return reporter or (NotebookReporter() if in_kernel() else ConsoleReporter())
