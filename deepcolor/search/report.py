"""A study's report: the leaderboard as CSV and the pictures of Optuna's analyses, as files in the study's folder."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from deepcolor.atomic import write_atomically
from deepcolor.search.confirmation_report import confirmation_csv, confirmation_png
from deepcolor.search.study import StoredStudy, StoredTrial
from deepcolor.search.summary import Summary
from deepcolor.search.trials import CONFIRMS, FOREIGN, searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEADERBOARD = "leaderboard.csv"
CONFIRMATION = "confirmation.csv"
SUMMARY = "summary.json"
_STAMP = ".report"
_FIGURE_INCHES = (9, 5)
_LOG_NAME = "log10 objective"
_FANOVA_TRIALS = 200
"""fANOVA takes 5 s on 200 trials and a minute on 1,000; its shares differ little."""
_DECADES = 10
"""Numbers whose largest is this many times the smallest are drawn on a logarithmic axis."""


def write_report(study: StoredStudy, summary: Summary, folder: Path) -> Path:
    """Write leaderboard, summary and pictures; nothing is drawn again when no trial has changed since the last time.

    A picture that needs more trials than there are, or a parameter that varies, is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = study.trials()
    known = ([(t.number, t.state, t.value) for t in trials], study.sweep.search.confirm)
    stamp = hashlib.sha256(repr(known).encode()).hexdigest()
    stamp_file = folder.parent / _STAMP
    if (folder / SUMMARY).exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
        return folder
    write_atomically(folder / LEADERBOARD, leaderboard_csv(trials).encode())
    write_atomically(folder / SUMMARY, json.dumps(summary.as_dict(), indent=2).encode())
    _draw_all(study, folder)
    _write_confirmation(study, summary, folder)
    write_atomically(stamp_file, stamp.encode())
    return folder


def import_drawing() -> None:
    """Import what draws the pictures, which takes seconds; to be called ahead, from a thread."""
    for name in ("matplotlib.pyplot", "optuna.visualization.matplotlib", "pandas", "sklearn.ensemble"):
        importlib.import_module(name)


def ranked(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """The search's trials by value, the best first; then the pruned, the waiting and the failed ones."""
    order = {"complete": 0, "pruned": 1, "waiting": 2, "failed": 3}
    return sorted(searched(trials), key=lambda t: (order[t.state], _known(t.latest), t.number))


def leaderboard_csv(trials: Sequence[StoredTrial]) -> str:
    """All trials of the search as CSV, the best first."""
    import pandas as pd

    rows = [
        {
            "rank": rank,
            "trial": trial.number,
            "state": trial.state,
            "value": trial.latest,
            **trial.params,
            "end_epoch": trial.outcome.view.end_epoch if trial.outcome else None,
            "chosen_epoch": trial.outcome.view.chosen_epoch if trial.outcome else None,
            **(trial.outcome.metrics if trial.outcome else {}),
            "error": trial.error,
        }
        for rank, trial in enumerate(ranked(trials), start=1)
    ]
    return str(pd.DataFrame(rows).to_csv(index=False))


def _known(value: float | None) -> float:
    return math.inf if value is None else value


def _write_confirmation(study: StoredStudy, summary: Summary, folder: Path) -> None:
    """Write what other seeds said of the best settings; take away what is there of an earlier time when none did."""
    settings = summary.confirmation.settings if summary.confirmation else ()
    png = confirmation_png(summary, objective=study.sweep.search.objective)
    contents = {CONFIRMATION: confirmation_csv(settings).encode() if settings else None, "confirmation.png": png}
    for name, content in contents.items():
        if content is not None:
            write_atomically(folder / name, content)
        else:
            (folder / name).unlink(missing_ok=True)


def _draw_all(study: StoredStudy, folder: Path) -> None:
    finite = _finite_copy(study.optuna_study)
    complete = finite.get_trials(deepcopy=False)
    varying = [
        name for name in study.sweep.search_names if len({repr(trial.params.get(name)) for trial in complete}) > 1
    ]
    drawings: list[tuple[str, Callable[[], Any], bool]] = [
        ("optimization_history", lambda: _history(finite), bool(complete)),
        ("parallel_coordinates", lambda: _parallel(finite, varying), bool(varying)),
        ("slices", lambda: _slices(finite, varying), bool(varying)),
        ("importances", lambda: _importances(finite, varying), len(varying) > 1 and len(complete) > 3),
    ]
    for name, draw, possible in drawings:
        path = folder / f"{name}.png"
        if possible:
            _save(draw, path, study.name)
        else:
            path.unlink(missing_ok=True)


def _save(draw: Callable[[], Any], path: Path, title: str) -> None:
    """Draw one picture. Optuna draws through pyplot, which keeps figures open until told otherwise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental-API notes of Optuna, layout notes of matplotlib
        draw()
        figure = plt.gcf()
        figure.suptitle(title, fontsize=9, x=0.99, ha="right", color="0.4")
        figure.set_size_inches(*_FIGURE_INCHES)
        figure.savefig(path, dpi=110, bbox_inches="tight")
        plt.close("all")


def _history(study: Study) -> Axes:
    from optuna.visualization.matplotlib import plot_optimization_history

    axes: Axes = plot_optimization_history(study, target_name="objective")
    axes.set_yscale("log")
    return axes


def _parallel(study: Study, params: list[str]) -> Any:
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    return plot_parallel_coordinate(study, params=params, target=_log10, target_name=_LOG_NAME)


def _slices(study: Study, params: list[str]) -> Any:
    from optuna.visualization.matplotlib import plot_slice

    return plot_slice(study, params=params, target=_log10, target_name=_LOG_NAME)


def _log10(trial: FrozenTrial) -> float:
    """The objective spans decades; on a linear scale all good trials would be one colour."""
    return math.log10(max(trial.values[0], 1e-300))


def _importances(study: Study, params: list[str]) -> Any:
    """Both evaluators in one picture: they can disagree, and then neither should be believed alone."""
    from matplotlib import pyplot as plt

    some = _spread(study, count=_FANOVA_TRIALS)
    fanova = "fANOVA" if some is study else f"fANOVA of {_FANOVA_TRIALS} trials"
    evaluators = {
        "PED-ANOVA": (study, optuna.importance.PedAnovaImportanceEvaluator()),
        fanova: (some, optuna.importance.FanovaImportanceEvaluator(seed=0)),
    }
    shares = {
        name: optuna.importance.get_param_importances(trials, evaluator=evaluator, params=params)
        for name, (trials, evaluator) in evaluators.items()
    }
    order = sorted(params, key=lambda param: shares[fanova].get(param, 0.0))
    figure, axes = plt.subplots()
    height = 0.8 / len(shares)
    for index, (name, values) in enumerate(shares.items()):
        places = [row + index * height for row in range(len(order))]
        bars = axes.barh(places, [values.get(param, 0.0) for param in order], height=height, label=name)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks([row + height / 2 for row in range(len(order))], order)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("share of the importance")
    axes.set_title("Parameter importances")
    axes.legend(loc="lower right")
    return figure


def _spread(study: Study, *, count: int) -> Study:
    """Return a study with `count` of a longer one's trials, spread evenly from its first to its last."""
    trials = study.get_trials(deepcopy=False)
    if len(trials) <= count:
        return study
    some = optuna.create_study(direction="minimize")
    some.add_trials([trials[round(index * (len(trials) - 1) / (count - 1))] for index in range(count)])
    return some


def _finite_copy(study: Study) -> Study:
    """Copy the complete trials with a finite value: diverged ones would leave no scale for the others.

    Numbers that were searched as a list of choices get numeric axes, logarithmic where they span decades.
    """
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.values and math.isfinite(trial.values[0]) and not {FOREIGN, CONFIRMS} & trial.user_attrs.keys()
    ]
    scales = {name: _scale([trial.params[name] for trial in trials]) for name in (trials[0].params if trials else ())}
    copy = optuna.create_study(direction="minimize")
    for trial in trials:
        copy.add_trial(
            optuna.trial.create_trial(
                params=trial.params,
                distributions={name: scales[name] or trial.distributions[name] for name in trial.params},
                value=trial.values[0],
            )
        )
    return copy


def _scale(values: Sequence[object]) -> BaseDistribution | None:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return None
    low, high = min(numbers), max(numbers)
    log = low > 0 and high / low >= _DECADES
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)
