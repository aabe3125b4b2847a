"""Start the trials that confirm a study's best settings, once its search has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from deepcolor.search.rules.confirmation import left, wanted
from deepcolor.search.study.storage import Plan, StoredStudy, StoredTrial


class Confirming:
    """The part of a study's confirmation that earlier drivers have not done."""

    def __init__(self, study: StoredStudy, trials: Sequence[StoredTrial]) -> None:
        """Find out what is left; nothing is started yet.

        Args:
            study: Its search has ended.
            trials: All of its trials.
        """
        asked = wanted(study.sweep, trials)
        open_ = [trial for trial in trials if trial.confirms is not None and not trial.finished]
        self.trainings = len(asked)
        """How many trainings the confirmation consists of in total."""
        self.open = [trial for trial in open_ if trial.confirms in asked]
        """Trials that an earlier driver started."""
        self.dropped = [trial for trial in open_ if trial.confirms not in asked]
        """Trials of a setting that is no longer one of the best, since the study has grown."""
        self._study = study
        self._params = {trial.number: trial.params for trial in trials}
        self._left = deque(left(study.sweep, trials, failed_too=True))

    def next(self, *, planned: Plan) -> StoredTrial | None:
        """Start one more trial; None if all have been started.

        Args:
            planned: See `StoredStudy.add`.
        """
        if not self._left:
            return None
        confirms = self._left.popleft()
        params = self._params[confirms.trial]
        return self._study.add(params, self._study.sweep.search, confirms=confirms, planned=planned)
