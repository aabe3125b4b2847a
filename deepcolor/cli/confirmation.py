"""How a confirmation reads on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from deepcolor.cli import console
from deepcolor.counting import counted
from deepcolor.words import params_line, plus_minus, value_text

if TYPE_CHECKING:
    from deepcolor.search.rules.confirmation import Confirmation, ConfirmedSetting


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
    """Mean and standard deviation of a setting: 0.2389 ± 0.0061."""
    if not one.values:
        return "-"
    if math.isinf(one.mean):
        return "diverged or failed"
    return plus_minus(one.mean, one.std)
