"""Which trial is better. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.search.rules.front import front_of
from deepcolor.search.study.storage import StoredTrial
from deepcolor.search.study.trials import searched


def ranked(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """The search's trials by value, best first; then those that break a constraint, the pruned, the waiting and the
    failed ones. Of several objectives the front comes first, and the first objective decides within it and behind it.
    """
    order = {"complete": 0, "pruned": 1, "waiting": 2, "failed": 3}
    front = {trial.number for trial in front_of(trials)}

    def others(trial: StoredTrial) -> tuple[float, ...]:
        return trial.losses_of_all if trial.aims.several else ()

    return sorted(
        searched(trials),
        key=lambda t: (order[t.state], bool(t.breaks), t.number not in front, t.loss, others(t), t.number),
    )
