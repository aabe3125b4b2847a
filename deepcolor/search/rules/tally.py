"""The finished trials of a study, counted as they come: what a driver asks of them at every event must not get slower
with every trial.
"""

from __future__ import annotations

from collections import Counter, UserDict

from deepcolor.search.rules.front import chosen_of, front_with
from deepcolor.search.rules.summary import best_of
from deepcolor.search.study.trials import StoredTrial


class Finished(UserDict[int, StoredTrial]):
    """Finished trials by number. A trial finishes once, so none is replaced or removed."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, bool]] = Counter()
        self.with_outcome = 0
        """How many have an outcome."""
        self.end_epochs = 0
        """The sum of the epochs that these reached."""
        self.best: StoredTrial | None = None
        """The search's best."""
        self.front: list[StoredTrial] = []
        """Of several objectives: the trials on the front."""
        super().__init__()

    def __setitem__(self, number: int, trial: StoredTrial) -> None:
        assert number not in self.data, "a trial finishes once"
        super().__setitem__(number, trial)
        self._counts[trial.state, trial.confirms is None] += 1
        if trial.aims.several:
            self.front = front_with(self.front, trial)
            self.best = chosen_of(self.front)
        else:
            self.best = best_of([trial] if self.best is None else [self.best, trial])
        if trial.outcome is not None:
            self.with_outcome += 1
            self.end_epochs += trial.outcome.view.end_epoch

    def __delitem__(self, number: int) -> None:
        raise TypeError("a finished trial cannot be removed")

    def count(self, state: str, *, searched: bool = True) -> int:
        """How many ended in a state: of the search's own, or of those that confirm its best."""
        return self._counts[state, searched]
