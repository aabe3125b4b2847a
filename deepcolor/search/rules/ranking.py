"""Which trial is better. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.search.study.storage import StoredTrial
from deepcolor.search.study.trials import searched


def ranked(trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    """The search's trials by value, best first; then the pruned, the waiting and the failed ones."""
    order = {"complete": 0, "pruned": 1, "waiting": 2, "failed": 3}
    return sorted(searched(trials), key=lambda t: (order[t.state], t.loss, t.number))
