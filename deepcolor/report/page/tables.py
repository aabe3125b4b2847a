"""The tables of a report: for its page, and as comma-separated values, JSON or Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from deepcolor.config.schema import Sweep
from deepcolor.report.page.thinning import MOST_COLUMNS, MOST_ROWS
from deepcolor.search.rules.confirmation import Confirmation
from deepcolor.search.rules.front import front_of
from deepcolor.search.rules.ranking import ranked
from deepcolor.search.rules.summary import best_of
from deepcolor.search.study.trials import StoredTrial
from deepcolor.words import param_text, params_line, plus_minus, value_text

TITLES = {
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "colourfulness": "colourfulness",
    "ciede2000": "CIEDE2000",
    "bias_a": "bias a*",
    "bias_b": "bias b*",
}
"""How final metrics are called in a table; others by their own names."""


@dataclass(frozen=True)
class Cell:
    """What stands in a table, and what it is sorted by."""

    text: str
    key: float | None = None
    """Of a number; None: of text, or of nothing."""


@dataclass(frozen=True)
class Table:
    """Columns and rows; the first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    sortable: bool = False

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Of each column, whether it holds numbers."""
        columns = zip(*self.rows, strict=True)
        found = tuple(
            any(cell.key is not None for cell in column)
            and all(cell.key is not None or cell.text in ("", "-", "diverged") for cell in column)
            for column in columns
        )
        return found or (False,) * len(self.columns)

    def markdown(self) -> str:
        """The table in Markdown."""
        if not self.columns:
            return ""
        numeric = self.numeric
        lines = [_row(self.columns), _row(["---:" if is_number else "---" for is_number in numeric])]
        lines += [_row([cell.text for cell in row]) for row in self.rows]
        return "\n".join(lines)


def leaderboard_table(sweep: Sweep, trials: Sequence[StoredTrial], *, most_rows: int = MOST_ROWS) -> Table:
    """The trials of a search, the best first, as far as there is room."""
    order, front, best = ranked(trials), {trial.number for trial in front_of(trials)}, best_of(trials)
    shown, objectives = order[:most_rows], sweep.search.objectives
    names = list(sweep.search_names)[:MOST_COLUMNS]
    others = objectives[1:]
    figures = [name for name in _figures(sweep, shown) if name not in others]
    judged = [*(["front"] if front else []), *(["breaks"] if any(trial.breaks for trial in shown) else [])]
    columns = ["rank", "trial", "state", *judged, *map(_title, objectives), *names, *map(_title, figures), "epochs"]
    rows = []
    for rank, trial in enumerate(shown, start=1):
        place = "chosen" if best and trial.number == best.number else "front" if trial.number in front else ""
        said = {"front": Cell(place), "breaks": Cell(", ".join(trial.breaks))}
        rows.append(
            (
                number(rank),
                number(trial.number),
                Cell(trial.state),
                *(said[name] for name in judged),
                value_cell(trial.latest),
                *(value_cell(_figure(trial, name)) for name in others),
                *(_param(trial, name) for name in names),
                *(value_cell(_figure(trial, name)) for name in figures),
                Cell(_epochs(trial), float(trial.outcome.view.end_epoch) if trial.outcome else None),
            )
        )
    whole = f"`deepcolor report {sweep.study} --format csv` has all of them."
    cut = f"The best {most_rows:,} of {len(order):,} trials; {whole}"
    note = cut if len(order) > most_rows else ""
    caption = f"Trials by {objectives[0]}, {'those of the front' if front else 'the best'} first"
    return Table(caption, tuple(columns), tuple(rows), note, sortable=True)


def confirmation_table(confirmation: Confirmation) -> Table:
    """The best settings under other seeds."""
    rows = tuple(
        (
            number(one.trial),
            Cell(params_line(one.params) or "the one setting"),
            value_cell(one.searched_value),
            Cell(plus_minus(one.mean, one.std), _finite(one.mean)) if one.values else Cell("-"),
            number(len(one.values)),
        )
        for one in confirmation.settings
    )
    columns = ("trial", "setting", "value in the search", "mean ± std", "other seeds")
    return Table("The best settings, each trained again under other seeds", columns, rows, sortable=True)


def figures_table(caption: str, columns: Mapping[str, Mapping[str, float]], *, first: str = "figure") -> Table:
    """A column for each of several sets of figures, such as before and after.

    Args:
        caption: What they are.
        columns: The figures of each, by name; those that one lacks are left out there.
        first: What the names are names of.
    """
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    rows = tuple(
        (Cell(_title(name)), *(value_cell(figures.get(name)) for figures in columns.values())) for name in names
    )
    return Table(caption, (first, *columns), rows)


def number(value: int) -> Cell:
    """A whole number."""
    return Cell(str(value), float(value))


def value_cell(value: float | None) -> Cell:
    """A measured figure; a value that is not finite is that of a training that diverged."""
    return Cell("-") if value is None or math.isnan(value) else Cell(value_text(value), _finite(value))


def _title(figure: str) -> str:
    return TITLES.get(figure, figure)


def _figures(sweep: Sweep, trials: Sequence[StoredTrial]) -> list[str]:
    """What else is known of trials: the other objectives, what is watched, what is measured at the end."""
    known = dict.fromkeys(sweep.search.objectives[1:])
    for trial in trials:
        if trial.outcome:
            known |= dict.fromkeys((*trial.outcome.figures, *trial.outcome.watched, *trial.outcome.metrics))
    return [name for name in known if name != sweep.search.objectives[0]][:MOST_COLUMNS]


def _figure(trial: StoredTrial, name: str) -> float | None:
    if trial.outcome is None:
        return None
    return trial.outcome.known.get(name)


def _param(trial: StoredTrial, name: str) -> Cell:
    if name not in trial.params:
        return Cell("-")
    value = trial.params[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(param_text(value), float(value) if is_number else None)  # type: ignore[arg-type]  # one of these


def _epochs(trial: StoredTrial) -> str:
    """Whose weights were taken, of how many epochs; of a trial that waits, how many it has."""
    if trial.outcome is not None:
        return f"{trial.outcome.view.chosen_epoch}/{trial.outcome.view.end_epoch}"
    return f"-/{max(trial.reached)}" if trial.reached else "-"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _row(cells: Sequence[str]) -> str:
    written = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(written)} |"
