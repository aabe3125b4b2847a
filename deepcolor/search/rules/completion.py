"""Whether a study has all that its sweep asks for. Used by its driver, to rebuild its runs, and by gc. Pure.

A failed trial has had its turn in the start in which it failed. The next start tries it again, so from then on the
failed one no longer counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepcolor.search.rules.budget import exhausted
from deepcolor.search.rules.confirmation import is_pending
from deepcolor.search.study.sizes import fitting_points
from deepcolor.search.study.space import point_key
from deepcolor.search.study.storage import StoredStudy, StoredTrial
from deepcolor.search.study.trials import searched


def has_ended(study: StoredStudy, trials: Sequence[StoredTrial]) -> bool:
    """Whether there is nothing left to do except retry what failed: a driver that ends now is not interrupted.

    A study whose budget is spent has ended, even if some of its trials are open.

    Raises:
        StudyError: The study was not created by deepcolor, or its creation was interrupted.
    """
    sweep, spent = study.sweep, study.spent
    if is_pending(sweep, trials, spent=spent):
        return False
    if study.stopped is not None or exhausted(sweep.search.budget, spent=spent, trials=trials) is not None:
        return True
    return all(trial.finished for trial in trials) and _has_all(study, trials)


def is_finished(study: StoredStudy, trials: Sequence[StoredTrial]) -> bool:
    """Whether a study has ended and none of its trials is open, so that nothing continues from what they have trained.

    Raises:
        StudyError: As for `has_ended`.
    """
    return all(trial.finished for trial in trials) and has_ended(study, trials)


def _has_all(study: StoredStudy, trials: Sequence[StoredTrial]) -> bool:
    """Whether all trials that the sweep asks for and its budget allows have been tried."""
    sweep = study.sweep
    space = sweep.space
    retried = study.retried
    # A trial with incomplete parameters was interrupted while it was drawn, and does not count.
    tried = [t for t in searched(trials) if t.number not in retried and space.is_whole(t.params)]
    limit = sweep.limit()
    if limit is None:
        return False
    if sweep.search.sampler == "grid":
        there = {point_key(trial.params) for trial in tried}
        return len(there) >= limit or all(point_key(point) in there for point in fitting_points(sweep))
    return len(tried) >= limit
