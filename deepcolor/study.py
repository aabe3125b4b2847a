"""A study as a Python user has it: its trials as tables, its figures, and a page of its own in a notebook."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.app.reporter import Reporter
from deepcolor.errors import StudyError
from deepcolor.notebook import told, trials_html
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from deepcolor.app.report import Form
    from deepcolor.config.schema import Sweep
    from deepcolor.registry.promotion import Promotion
    from deepcolor.report.figures import Pictured
    from deepcolor.search.study.stored import StoredStudy
    from deepcolor.search.study.trials import StoredTrial

Where = str | PathLike[str]


def open_study(
    name: str, *, workspace: Where = ".", storage: str | None = None, tracking_uri: str | None = None
) -> Study:
    """Open a study to look at it, finished or not.

    Args:
        name: Its name.
        workspace: Where it is.
        storage: As for `deepcolor.sweep`.
        tracking_uri: As for `deepcolor.sweep`; where `Study.promote` registers.
    Raises:
        StudyError: There is no such study; the message names the nearest.
    """
    from deepcolor.search.study.storage import StudyStorage

    place = Workspace.at(Path(workspace), storage=storage)
    return Study(StudyStorage(place).load(name), place, place.store_uri(tracking_uri))


def named(
    study: str | Study, *, workspace: Where, storage: str | None, tracking_uri: str | None
) -> tuple[str, Workspace, str]:
    """Return the name of a study that is given as it is, or by its name; its workspace, and the MLflow store meant.

    Args:
        study: The study, which knows its workspace, and a store unless another is named; or its name.
        workspace: Where it is, where it is given by its name.
        storage: As for `deepcolor.sweep`, where it is given by its name.
        tracking_uri: As for `deepcolor.sweep`.
    """
    if isinstance(study, Study):
        return study.name, study.workspace, tracking_uri or study.tracking_uri
    place = Workspace.at(Path(workspace), storage=storage)
    return study, place, place.store_uri(tracking_uri)


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
        """The best complete trial: its number, value, params, chosen epoch and metrics; None while there is none. Of
        several objectives it is the one of the front that `search.choose` chooses; none that breaks a constraint.
        """
        from deepcolor.search.rules.summary import best_as_dict, best_of

        best = best_of(self._stored.trials())
        return best_as_dict(best) if best else None

    def trials(self) -> pd.DataFrame:
        """The trials of the search, the best first: rank, number, state, value, params, epochs and metrics; where there
        are several objectives or constraints, also whether each is on the front, is chosen, and what it breaks.
        """
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
        """The share of each searched field in the differences between the trials, by two evaluators; of several
        objectives, in each of them.

        Raises:
            StudyError: There are too few complete trials, or fields with several values, to say anything.
        """
        import pandas as pd

        shares = self._importances()
        if not self._stored.aims.several:
            return pd.DataFrame(next(iter(shares.values())))
        return pd.DataFrame({f"{name}: {by}": each for name, both in shares.items() for by, each in both.items()})

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

    def plot_front(self) -> Figure:
        """Draw each trial by its figures, the front as steps, and the trial that is chosen.

        Raises:
            StudyError: It has one objective, or no trial on a front yet.
        """
        from deepcolor.report.front import front_figure, fronted

        of = fronted(self.name, self._stored.aims, self._stored.trials())
        if not of.front:
            several = self._stored.aims.several
            why = "no trial is on the front yet" if several else "one objective has no front: its best is Study.best"
            raise StudyError(f"the front of {self.name}: {why}.")
        return front_figure(of)

    def report(self, path: Where = "report.html", *, form: Form | None = None) -> Path:
        """Write its report as one file that can be mailed, as `deepcolor report` does.

        Args:
            path: The file, replaced if there is one.
            form: `html`, `csv`, `json` or `md`; None: as the file's name ends, else `html`.
        Returns:
            The path of the file.
        Raises:
            ConfigError: The file cannot be written, or there is no such form.
        """
        from deepcolor.app.report import form_of, write_report

        file = Path(path)
        write_report(self.workspace, [self.name], to=file, form=form_of(form, to=file))
        return file

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
        from deepcolor.app.promote import promote_trial

        return promote_trial(
            self.workspace,
            self.name,
            self.tracking_uri,
            number=trial,
            own_name=name,
            force=force,
            device=device,
            reporter=told(reporter),
        )

    def __repr__(self) -> str:
        return repr(self._stored)

    def _repr_html_(self) -> str:
        from deepcolor.search.rules.front import front_of
        from deepcolor.search.rules.ranking import ranked
        from deepcolor.search.rules.summary import best_of

        trials = self._stored.trials()
        return trials_html(repr(self).strip("<>"), ranked(trials), best=best_of(trials), front=front_of(trials))

    def _trial(self, number: int) -> StoredTrial:
        trials = {trial.number: trial for trial in self._stored.trials()}
        if number not in trials:
            raise StudyError(f"trial: must be one of 0 to {max(trials, default=0)}; got {number} (study {self.name}).")
        return trials[number]

    def _importances(self) -> dict[str, dict[str, dict[str, float]]]:
        from deepcolor.report.writing import all_importances, too_little

        of = self._pictured()
        if reason := too_little(of):
            raise StudyError(f"importances of {self.name}: {reason}")
        return all_importances(self._stored, of)

    def _pictured(self) -> Pictured:
        from deepcolor.report.figures import pictured

        return pictured(self.sweep, self._stored.trials())
