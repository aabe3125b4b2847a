"""Start the trials that confirm a study's best settings, once its search has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from deepcolor.search.rules.confirmation import left, wanted
from deepcolor.search.study.storage import StoredStudy, StoredTrial


class Confirming:
    """The confirmation of one study, as far as it has not been done by earlier drivers."""

    def __init__(self, study: StoredStudy, trials: Sequence[StoredTrial]) -> None:
        """Find out what is left; nothing is started yet.

        Args:
            study: Its search has ended.
            trials: All of its trials.
        """
        asked = wanted(study.sweep, trials)
        open_ = [trial for trial in trials if trial.confirms is not None and not trial.finished]
        self.trainings = len(asked)
        """What the confirmation consists of in all."""
        self.open = [trial for trial in open_ if trial.confirms in asked]
        """Those an earlier driver started."""
        self.dropped = [trial for trial in open_ if trial.confirms not in asked]
        """Those of a setting that is one of the best no longer, since the study has grown."""
        self._study = study
        self._params = {trial.number: trial.params for trial in trials}
        self._left = deque(left(study.sweep, trials, failed_too=True))

    def next(self) -> StoredTrial | None:
        """Start one more trial; None when all have been."""
        if not self._left:
            return None
        confirms = self._left.popleft()
        return self._study.add(self._params[confirms.trial], self._study.sweep.search, confirms=confirms)
