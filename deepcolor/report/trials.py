"""All trials of a study as comma-separated values, for other programs: the columns follow from its sweep, and last."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from deepcolor.config.aims import figures_needed
from deepcolor.config.schema import Sweep
from deepcolor.search.study.trials import StoredTrial

PARAMS, METRICS = "params.", "metrics."
"""Before the names of parameters and of figures, so that none of them is taken for another column."""
_NULL = "null"
_FIRST = ("study", "trial", "state", "value", "confirms", "confirms_seed", "chosen_epoch", "end_epoch")
_LAST = ("breaks", "trajectory", "host", "device", "started_at", "ended_at", "error")


def trials_csv(sweep: Sweep, trials: Sequence[StoredTrial], *, state_of: Callable[[StoredTrial], str]) -> str:
    """Return the trials of a study by number, those included that confirm its best ones, as comma-separated values.

    The columns are the same from the first trial to the last: those of every study, one for each parameter of the
    search, one for each figure that the sweep asks for. Figures that only trials know, as those of a study that has
    grown, come after these. A cell is empty where a trial has no such thing; a parameter that is null says so.

    Args:
        sweep: Of the study.
        trials: All of its trials.
        state_of: Tells the state of one of them as the command line does.
    """
    params, figures = _params(sweep, trials), _figures(sweep, trials)
    names = [*_FIRST, *(PARAMS + name for name in params), *(METRICS + name for name in figures), *_LAST]
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(names)
    for trial in trials:
        measured = _measured(trial)
        rows.writerow(
            [
                *_first(sweep.study, trial, state_of(trial)),
                *(_param(trial, name) for name in params),
                *(measured.get(name) for name in figures),
                *_last(trial),
            ]
        )
    return written.getvalue()


def _params(sweep: Sweep, trials: Sequence[StoredTrial]) -> list[str]:
    asked = sweep.search_names
    return [*asked, *sorted({name for trial in trials for name in trial.params}.difference(asked))]


def _figures(sweep: Sweep, trials: Sequence[StoredTrial]) -> list[str]:
    """The other objectives and what is bounded, what is watched and measured at the end; then what else there is."""
    asked = dict.fromkeys((*figures_needed(sweep.search), *sweep.search.watch, *sweep.final_metrics))
    asked.pop(sweep.search.objectives[0], None)
    others = {name for trial in trials for name in _measured(trial)}.difference(asked, sweep.search.objectives[:1])
    return [*asked, *sorted(others)]


def _measured(trial: StoredTrial) -> dict[str, float]:
    done = trial.outcome
    return done.known if done else {}


def _param(trial: StoredTrial, name: str) -> object:
    value = trial.params.get(name, "")
    return _NULL if value is None else str(value).lower() if isinstance(value, bool) else value


def _first(study: str, trial: StoredTrial, state: str) -> list[object]:
    view, confirms = (trial.outcome.view if trial.outcome else None), trial.confirms
    confirmed = (confirms.trial, confirms.seed) if confirms else (None, None)
    epochs = (view.chosen_epoch, view.end_epoch) if view else (None, max(trial.reached, default=None))
    return [study, trial.number, state, trial.latest, *confirmed, *epochs]


def _last(trial: StoredTrial) -> list[object]:
    done = trial.outcome
    return [
        " ".join(trial.breaks),
        trial.place.trajectory if trial.place else None,
        done.host if done else None,
        done.device if done else None,
        _moment(trial.started_ms),
        _moment(trial.ended_ms),
        trial.error,
    ]


def _moment(moment_ms: int | None) -> str:
    """In UTC, to the second, as ISO 8601 writes it."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="seconds") if moment_ms else ""
