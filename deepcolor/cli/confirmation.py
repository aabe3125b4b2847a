"""How a confirmation reads on the terminal, and what a promotion takes from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.cli import console
from deepcolor.cli.words import params_line, value_text
from deepcolor.counting import counted

if TYPE_CHECKING:
    from deepcolor.config.schema import Sweep
    from deepcolor.registry.confirmation import Confirmed, Contender
    from deepcolor.search.rules.confirmation import Confirmation, ConfirmedSetting
    from deepcolor.search.study.storage import StoredStudy, StoredTrial
    from deepcolor.workspace import Workspace


_FEW_SEEDS = 2


def warn_of_few_seeds(sweep: Sweep) -> None:
    """Say what two seeds are worth: Welch's interval then rests on two degrees of freedom."""
    confirm = sweep.search.confirm
    if confirm is not None and confirm.seeds <= _FEW_SEEDS:
        console.warn(
            f"search.confirm: {confirm.seeds} seeds can hardly tell two settings apart, whose means must then differ "
            "by 4.3 standard errors (2.8 with 3 seeds, 2.3 with 5). Set seeds to 3 or more."
        )


def show_confirmation(confirmation: Confirmation, *, objective: str) -> None:
    """Print a row a setting: what the search saw of it, and its mean and spread under other seeds."""
    rows = [
        [
            str(one.trial),
            params_line(one.params) or "the one setting",
            value_text(one.searched_value),
            spread_text(one),
            str(len(one.values)),
        ]
        for one in confirmation.settings
    ]
    columns = ["trial", "setting", "value in the search", "mean ± std", "other seeds"]
    if rows:
        console.table(
            f"under other seeds, by mean value ({objective})", columns, rows, numeric=(columns[0], *columns[2:])
        )


def confirmation_lines(confirmation: Confirmation) -> list[str]:
    """Say who won, or why nobody has, and whether the runner-up is told apart."""
    winner, runner_up, difference = confirmation.winner, confirmation.runner_up, confirmation.difference
    if winner is None:
        return [f"{console.bold('winner')}    not confirmed: {confirmation.missing}"]
    seeds = f"{spread_text(winner)} over {counted(len(winner.values), 'other seed')}"
    setting = params_line(winner.params) or "the one setting"
    lines = [f"{console.bold('winner')}    trial {winner.trial}: {seeds} with {setting}"]
    if runner_up is not None and difference is not None:
        low, high = difference.interval
        span = f"{difference.value:+.2e} (95 %: {low:+.2e} to {high:+.2e})"
        lines.append(f"{console.bold('runner-up')} trial {runner_up.trial}: difference {span}: {difference.verdict}")
    return lines


def spread_text(one: ConfirmedSetting) -> str:
    """Mean and standard deviation of a setting: 2.389e-01 ± 6.1e-03."""
    if not one.values:
        return "-"
    if math.isinf(one.mean):
        return "diverged or failed"
    return f"{value_text(one.mean)} ± {one.std:.1e}" if math.isfinite(one.std) else value_text(one.mean)


def confirmed_weights(confirmation: Confirmation, trials: list[StoredTrial]) -> StoredTrial | None:
    """Return the training of the winning setting with the lowest value: the search's, or one under another seed.

    None when there is no winner, or it is not among the trials.
    """
    winner = confirmation.winner
    if winner is None:
        return None
    trainings = [trial for trial in trials if trial.number in {winner.trial, *winner.trainings}]
    return min(
        trainings, key=lambda trial: (math.inf if trial.value is None else trial.value, trial.number), default=None
    )


def say_whose_weights(confirmation: Confirmation, trial: StoredTrial) -> None:
    """Say which training of the winning setting is promoted, or that the winner is not confirmed."""
    winner = confirmation.winner
    if winner is None:
        console.warn(f"the winner is not confirmed: {confirmation.missing}; trial {trial.number} has the lowest value")
        return
    seed = f"under seed {trial.confirms.seed}" if trial.confirms else "as the search trained it"
    others = f"the lowest of its {counted(1 + len(winner.trainings), 'training')}"
    console.note(f"promoting trial {trial.number}: the setting of trial {winner.trial} {seed}, {others}")


def confirmed(
    confirmation: Confirmation, study: StoredStudy, trials: list[StoredTrial], workspace: Workspace
) -> Confirmed | None:
    """Put a confirmation into the registry's terms; None when there is no winner."""
    from deepcolor.registry.confirmation import Confirmed

    winner, runner_up = confirmation.winner, confirmation.runner_up
    if winner is None:
        return None
    results = {trial.number: str(trial.outcome.result) for trial in trials if trial.outcome and trial.outcome.result}
    folders = {number: workspace.trajectories / result for number, result in results.items()}
    for one in (winner, runner_up):
        if one is not None and not _folders(one, folders):
            console.warn(f"trial {one.trial} is left out of the comparison on the test pictures: weights are gone")
    return Confirmed(
        objective=study.sweep.search.objective,
        seeds=len(winner.values),
        winner=_contender(winner, folders),
        runner_up=_contender(runner_up, folders) if runner_up else None,
    )


def _contender(one: ConfirmedSetting, folders: dict[int, Path]) -> Contender:
    from deepcolor.registry.confirmation import Contender

    return Contender(one.trial, one.mean, one.std, _folders(one, folders))


def _folders(one: ConfirmedSetting, folders: dict[int, Path]) -> tuple[Path, ...]:
    """The result folders of all of its trainings; empty when one of them is gone."""
    found = tuple(folders[number] for number in one.trainings if number in folders and folders[number].is_dir())
    return found if len(found) == len(one.trainings) else ()
