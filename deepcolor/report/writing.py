"""A study's report: the leaderboard as CSV, the summary, pictures, and a page with all of it, as files in the study's
folder.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.atomic import write_atomically
from deepcolor.plainfile import read_plain
from deepcolor.report.figures import (
    Pictured,
    history_figure,
    importances_figure,
    parallel_figure,
    pictured,
    slices_figure,
)
from deepcolor.report.front import front_figure, fronted
from deepcolor.report.seeds import confirmation_csv, confirmation_png
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.rules.summary import Summary, best_of
from deepcolor.search.study.aims import Aims
from deepcolor.search.study.importances import importances
from deepcolor.search.study.storage import StoredStudy, StoredTrial
from deepcolor.search.study.trials import now_ms

if TYPE_CHECKING:
    import pandas as pd

    from deepcolor.report.shown import ShownFigure

LEADERBOARD = "leaderboard.csv"
CONFIRMATION = "confirmation.csv"
NULL = "null"
SUMMARY = "summary.json"
FRONT = "front.png"
PAGE = "report.html"
STAMP = ".report"
"""File in a study's folder that says of which trials, in which state, its report is."""
_IMPORTS = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "pandas",
    "sklearn.ensemble",
    "jinja2",
    "deepcolor.report.page.rendering",
)
_ENOUGH_TRIALS = 20
"""On a function of three fields, whose most important one is known from 600 trials, fANOVA found it in 3 of 4 draws of
15 trials; PED-ANOVA, which looks at the best tenth, in none of 25 draws of 10."""
_FORM = 5
"""Increased when the form of the reports changes, so that older ones are written again."""


AllShares = dict[str, dict[str, dict[str, float]]]
"""Importances by objective, evaluator and field."""


@dataclass(frozen=True)
class ReportFolder:
    """A study's report in a folder of its own."""

    folder: Path
    """In the study's own."""
    store: Path | None = None
    """The trajectory store, where the page finds epochs and pictures; None: no page is written."""

    def prepare(self) -> None:
        """Import what draws the pictures, which takes seconds."""
        for name in _IMPORTS:
            importlib.import_module(name)

    def write(self, study: StoredStudy, summary: Summary) -> None:
        """Write leaderboard, summary and pictures; nothing is drawn again if no trial has changed since.

        A picture is left out if there is nothing to draw in it; why there are no importances stands in a text.
        """
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        trials = study.trials()
        judged = [] if study.aims == Aims(study.aims.objectives[:1]) else [study.aims, *(t.breaks for t in trials)]
        name = [study.name] if len(study.names) > 1 else []
        known = (_FORM, [(t.number, t.state, t.latest) for t in trials], study.sweep.search.confirm, *judged, *name)
        stamp = hashlib.sha256(repr(known).encode()).hexdigest()
        stamp_file = folder.parent / STAMP
        if (folder / SUMMARY).exists() and _holds(stamp_file, stamp):
            return
        write_atomically(folder / LEADERBOARD, leaderboard_csv(trials).encode(errors="surrogateescape"))
        write_atomically(folder / SUMMARY, json.dumps(summary.as_dict(), indent=2).encode())
        of = pictured(study.sweep, trials)
        reason = too_little(of)
        shares = {} if reason else all_importances(study, of)
        _draw_all(of, folder, shares=shares, reason=reason)
        _draw_front(study, trials, folder)
        _write_confirmation(study, summary, folder)
        if self.store is not None:
            self._write_page(study, summary, shares=shares, reason=reason)
        write_atomically(stamp_file, stamp.encode())

    def _write_page(self, study: StoredStudy, summary: Summary, *, shares: AllShares, reason: str) -> None:
        """Write all of it as one page, which can be mailed."""
        from deepcolor.report.page.rendering import html
        from deepcolor.report.page.study import Sources, study_page

        assert self.store is not None, "asked for a page"
        sources = Sources(self.folder.parent, self.store)
        page = study_page(study, summary, sources=sources, shares=shares, no_importances=reason)
        write_atomically(self.folder / PAGE, html([page], written_ms=now_ms()))


def leaderboard(trials: Sequence[StoredTrial]) -> pd.DataFrame:
    """All trials of the search, the best first. A parameter that a trial does not have is missing (NaN)."""
    import pandas as pd

    names = dict.fromkeys(name for trial in ranked(trials) for name in trial.params)
    front, chosen = {trial.number for trial in front_of(trials)}, best_of(trials)
    rows = [
        {
            "rank": rank,
            "trial": trial.number,
            "state": trial.state,
            **_judged(trial, front=trial.number in front, chosen=trial == chosen),
            "value": trial.latest,
            **{name: trial.params.get(name, math.nan) for name in names},
            "end_epoch": trial.outcome.view.end_epoch if trial.outcome else None,
            "chosen_epoch": trial.outcome.view.chosen_epoch if trial.outcome else None,
            **(trial.outcome.watched if trial.outcome else {}),
            **(trial.outcome.metrics if trial.outcome else {}),
            **(trial.outcome.figures if trial.outcome else {}),
            "error": trial.error,
        }
        for rank, trial in enumerate(ranked(trials), start=1)
    ]
    table = pd.DataFrame(rows)
    for name in names:
        if any(name not in trial.params for trial in trials):
            # Whole numbers stay what they are, where pandas would make fractions of them to leave others out.
            table[name] = pd.Series([row[name] for row in rows], dtype=object)
    return table


def leaderboard_csv(trials: Sequence[StoredTrial]) -> str:
    """The same as comma-separated values: a cell of a parameter is empty if its trial does not have it."""
    return str(_written_out(trials).to_csv(index=False))


def leaderboards_csv(boards: Mapping[str, Sequence[StoredTrial]]) -> str:
    """The same of several studies under each other, with the study's name in the first column.

    Args:
        boards: The trials by study; a column that one of them does not have is empty there.
    """
    import pandas as pd

    tables = []
    for name, trials in boards.items():
        table = _written_out(trials).astype(object)
        table.insert(0, "study", name)
        tables.append(table)
    return str(pd.concat(tables, ignore_index=True).to_csv(index=False))


def _written_out(trials: Sequence[StoredTrial]) -> pd.DataFrame:
    """The leaderboard, with a word for null: it is something else than no value."""
    table = leaderboard(trials)
    for name in {name for trial in trials for name in trial.params}:
        cells = [NULL if name in trial.params and trial.params[name] is None else None for trial in ranked(trials)]
        if any(cells):
            table[name] = [cell or value for cell, value in zip(cells, table[name], strict=True)]
    return table


def _judged(trial: StoredTrial, *, front: bool, chosen: bool) -> dict[str, object]:
    """Where it stands in a search with several objectives or constraints."""
    several = {"front": front, "chosen": chosen} if trial.aims.several else {}
    return {**several, **({"breaks": ", ".join(trial.breaks)} if trial.aims.constraints else {})}


def _draw_front(study: StoredStudy, trials: Sequence[StoredTrial], folder: Path) -> None:
    """Draw the front of several objectives; if there is none, remove what an earlier report drew."""
    of = fronted(study.name, study.aims, trials)
    if of.front:
        write_atomically(folder / FRONT, front_figure(of).png())
    else:
        (folder / FRONT).unlink(missing_ok=True)


def _write_confirmation(study: StoredStudy, summary: Summary, folder: Path) -> None:
    """Write what other seeds showed of the best settings; if nothing, remove what an earlier report wrote."""
    settings = summary.confirmation.settings if summary.confirmation else ()
    png = confirmation_png(summary, objective=study.sweep.search.objectives[0])
    contents = {CONFIRMATION: confirmation_csv(settings).encode() if settings else None, "confirmation.png": png}
    for name, content in contents.items():
        _write_or_remove(folder / name, content)


def _draw_all(of: Pictured, folder: Path, *, shares: AllShares, reason: str) -> None:
    searched_over = bool(of.axes and of.trials)
    _write_or_remove(folder / "importances.txt", f"{reason}\n".encode() if reason and len(of.axes) > 1 else None)
    drawings: dict[str, Callable[[], ShownFigure] | None] = {
        "optimization_history": (lambda: history_figure(of)) if of.trials else None,
        "parallel_coordinates": (lambda: parallel_figure(of)) if searched_over else None,
        "slices": (lambda: slices_figure(of)) if searched_over else None,
        "importances": (lambda: importances_figure(of, shares)) if shares else None,
    }
    for name, draw in drawings.items():
        _write_or_remove(folder / f"{name}.png", draw().png() if draw else None)


def all_importances(study: StoredStudy, of: Pictured) -> AllShares:
    """The share of each searched field in each objective, by objective, evaluator and field."""
    objectives = study.sweep.search.objectives
    return {name: importances(study, of.varying, objective=place) for place, name in enumerate(objectives)}


def _write_or_remove(path: Path, content: bytes | None) -> None:
    """Write a file, or remove what an earlier report wrote there."""
    if content is None:
        path.unlink(missing_ok=True)
    else:
        write_atomically(path, content)


def too_little(of: Pictured) -> str:
    """Say why importances would be meaningless; empty if they are meaningful."""
    if len(of.complete) >= _ENOUGH_TRIALS:
        several = len(of.varying)
        said = f"Importances compare fields with each other; of those searched, {several} took several values."
        return said if several < 2 else ""
    pruned = len(of.trials) - len(of.complete)
    others = f" ({pruned} more ended or wait at a rung, where values are not comparable)" if pruned else ""
    has = f"this study has {len(of.complete)}{others}"
    return f"Importances are meaningful from about {_ENOUGH_TRIALS} complete trials on; {has}."


def _holds(file: Path, text: str) -> bool:
    try:
        return read_plain(file, most_bytes=len(text)) == text.encode()
    except OSError:
        return False
