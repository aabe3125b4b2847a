"""All that a page shows of one study, gathered from where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepcolor.config.load import to_yaml
from deepcolor.report.figures import Pictured, pictured
from deepcolor.report.front import fronted
from deepcolor.report.page.charts import Chart, Curve, curves_chart, history_chart, slice_charts
from deepcolor.report.page.comparing import confirmation_chart, front_chart, importances_chart, parallel_chart
from deepcolor.report.page.sheets import Sheet, sheets_of
from deepcolor.report.page.tables import Table, confirmation_table, leaderboard_table
from deepcolor.report.page.telling import Rows, answer, asked_rows, cost_rows, provenance_rows, space_table
from deepcolor.report.page.thinning import MOST_CURVES, MOST_ERRORS
from deepcolor.search.rules.confirmation import confirmation_line
from deepcolor.search.rules.judging import judged_lines
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.rules.summary import Summary
from deepcolor.search.study.importances import importance_ranges
from deepcolor.search.study.starts import Start, read_start
from deepcolor.search.study.stored import StoredStudy
from deepcolor.search.study.trials import StoredTrial, finite
from deepcolor.training.checkpoint import read_history
from deepcolor.training.trajectory import TrajectoryPaths
from deepcolor.words import params_line, value_text

MOST_PICTURE_BYTES = 2_400_000
"""Of all contact sheets of a page."""
_MOST_ERROR_CHARS = 400

Importances = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Shares by objective, evaluator and field."""


@dataclass(frozen=True)
class Sources:
    """Where a study's report looks beside the database of the studies."""

    folder: Path
    """The study's own folder."""
    store: Path
    """The trajectory store."""


@dataclass(frozen=True)
class StudyPage:
    """What a page shows of a study, part by part."""

    name: str
    description: str
    state: str
    answer: str
    asked: Rows
    space: Table | None
    judged: tuple[str, ...]
    leaderboard: Table
    errors: tuple[str, ...]
    """Why trials failed: the first ones."""
    history: Chart | None
    curves: Chart | None
    front: Chart | None
    parallel: Chart | None
    importances: tuple[Chart, ...]
    no_importances: str
    """Why there are none; empty if there are."""
    slices: tuple[Chart, ...]
    sheets: tuple[Sheet, ...]
    confirmation: Table | None
    confirmation_chart: Chart | None
    confirmed: str
    """What other seeds showed, in one line; empty where that was not asked."""
    cost: Rows
    command: str
    """That reproduces it; empty if it is not known."""
    sweep_yaml: str
    provenance: Rows
    summary: Summary = field(repr=False)
    pictured: Pictured = field(repr=False)
    trials: tuple[StoredTrial, ...] = field(repr=False)
    study: StoredStudy = field(repr=False)


def study_page(
    study: StoredStudy,
    summary: Summary,
    *,
    sources: Sources,
    shares: Importances,
    no_importances: str = "",
    most_picture_bytes: int = MOST_PICTURE_BYTES,
) -> StudyPage:
    """Gather what a page shows of a study.

    Args:
        study: The study.
        summary: How it stands.
        sources: Where its trainings and its start are recorded.
        shares: The importances of its searched fields; empty if they would mean nothing.
        no_importances: Why they would.
        most_picture_bytes: That its contact sheets may take in the page.
    """
    trials, sweep = tuple(study.trials()), study.sweep
    of = pictured(sweep, trials)
    start = read_start(sources.folder)
    objective, confirmation = sweep.objective, summary.confirmation
    best = _best(trials, summary)
    fronts = fronted(study.name, study.aims, trials)
    return StudyPage(
        name=study.name,
        description=sweep.description,
        state=_state(summary),
        answer=answer(study, trials, summary),
        asked=asked_rows(sweep),
        space=space_table(sweep),
        judged=judged_lines(trials),
        leaderboard=leaderboard_table(sweep, trials),
        errors=_errors(trials),
        history=history_chart(of),
        curves=curves_chart(
            [_curve(trial, sources.store) for trial, _ in best], metric=objective.metric, maximized=objective.maximized
        ),
        front=front_chart(fronts.front, fronts.behind, chosen=fronts.chosen.number if fronts.chosen else None),
        parallel=parallel_chart(of),
        importances=tuple(
            importances_chart(importance_ranges(study, each, objective=place), objective=name, trials=len(of.complete))
            for place, (name, each) in enumerate(shares.items())
        ),
        no_importances=no_importances,
        slices=tuple(slice_charts(of)),
        sheets=tuple(sheets_of(best, sources.store, most_bytes=most_picture_bytes)),
        confirmation=confirmation_table(confirmation) if confirmation and confirmation.settings else None,
        confirmation_chart=confirmation_chart(confirmation, objective=objective.metric, maximized=objective.maximized)
        if confirmation
        else None,
        confirmed=confirmation_line(confirmation) if confirmation else "",
        cost=cost_rows(trials, summary, study.spent),
        command=_command(start),
        sweep_yaml=to_yaml(sweep),
        provenance=provenance_rows(study, trials, start),
        summary=summary,
        pictured=of,
        trials=trials,
        study=study,
    )


def _best(trials: Sequence[StoredTrial], summary: Summary) -> list[tuple[StoredTrial, str]]:
    """The trials whose trainings and pictures are shown, the most interesting first, with what is said of each."""
    winner = summary.confirmation.winner if summary.confirmation else None
    order = ranked(finite(trials))
    first = [trial for trial in order if winner and trial.number == winner.trial]
    first += [trial for trial in order if summary.best and trial.number == summary.best.number and trial not in first]
    chosen = [*first, *(trial for trial in order if trial not in first)][:MOST_CURVES]
    titles = {trial.number: f"trial {trial.number}, {value_text(trial.value)}" for trial in chosen}
    if winner and winner.trial in titles:
        titles[winner.trial] += ", confirmed under other seeds"
    return [(trial, f"{titles[trial.number]}: {params_line(trial.params) or 'the one setting'}") for trial in chosen]


def _curve(trial: StoredTrial, store: Path) -> Curve:
    if trial.place is None or trial.outcome is None:
        return Curve(trial, ())
    return Curve(trial, read_history(TrajectoryPaths(store, trial.place.trajectory))[: trial.outcome.view.end_epoch])


def _state(summary: Summary) -> str:
    if summary.state == "complete":
        return "complete"
    return f"not finished: {summary.complete} of {summary.trials} trials complete"


def _errors(trials: Sequence[StoredTrial]) -> tuple[str, ...]:
    failed = [trial for trial in trials if trial.error]
    said = [f"Trial {trial.number} failed: {(trial.error or '')[:_MOST_ERROR_CHARS]}" for trial in failed]
    more = [f"{len(said) - MOST_ERRORS} more failed."] if len(said) > MOST_ERRORS else []
    return (*said[:MOST_ERRORS], *more)


def _command(start: Start | None) -> str:
    return start.command if start else ""
