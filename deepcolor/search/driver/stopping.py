"""End a search when there is little left to find. To tell that takes time, so it is not asked at every event."""

from __future__ import annotations

import time

from deepcolor.config.schema import Limit
from deepcolor.search.study.stored import StoredStudy

_GROWTH = 0.05
"""How many more of the trials have to be complete before it is asked again, as a share."""
_WAIT = 20
"""How many times as long as an answer took the search goes on before the next: a twentieth of its time at most."""
_LONGEST_S = 5.0
"""An answer counts for no longer: the first one waits for libraries to be imported."""


class Stopping:
    """Knows whether a study has been ended by `search.stop`."""

    def __init__(self, study: StoredStudy) -> None:
        """Find out whether an earlier driver ended it.

        Args:
            study: Its sweep says when it ends, if at all.
        """
        self._study = study
        self._stop = study.sweep.search.stop
        self._ended = study.stopped is not None
        self._asked_at = 0
        self._not_before_s = 0.0

    def reached(self, *, complete: int) -> Limit | None:
        """Return the limit if there is little left to find, and record why.

        Args:
            complete: Trials of the search that are complete.
        """
        stop = self._stop
        if stop is None or self._ended:
            return stop.name if stop is not None else None
        due = complete >= max(stop.min_trials, self._asked_at * (1 + _GROWTH), self._asked_at + 1)
        started = time.monotonic()
        if not due or started < self._not_before_s:
            return None
        from deepcolor.search.study.regret import regret_of

        self._asked_at, regret = complete, regret_of(self._study)
        now = time.monotonic()
        self._not_before_s = now + _WAIT * min(now - started, _LONGEST_S)
        if regret is None or not regret.is_within(stop):
            return None
        self._study.put_stopped(regret.sentence)
        self._ended = True
        return stop.name
