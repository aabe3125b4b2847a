"""The settings a study still has to try: those to try first, then the rest of its grid, or what its sampler draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from deepcolor.search.study.first import first_left
from deepcolor.search.study.sizes import fitting_points
from deepcolor.search.study.space import Params, point_key
from deepcolor.search.study.storage import Plan, StoredStudy, StoredTrial
from deepcolor.search.study.trials import searched


class Proposals:
    """Starts trials until the study has all that its sweep, or its budget, asks for."""

    def __init__(self, study: StoredStudy, *, code: Path | None) -> None:
        """Start nothing yet.

        Args:
            study: Its sweep names the sampler.
            code: See `Segment.code`.
        """
        self._study = study
        self._code = code
        self._search = study.sweep.search
        self._limit = study.sweep.limit()
        self._first: deque[Params] = deque()
        self._points: deque[Params] = deque()

    def take_over(self, trials: Sequence[StoredTrial]) -> None:
        """Continue from what earlier drivers tried; a failed point is tried again."""
        self._study.use_sampler(self._search, code=self._code)
        first = first_left(self._study.sweep, trials)
        if self._search.sampler == "grid":
            there = {point_key(trial.params) for trial in searched(trials) if trial.state != "failed"}
            there |= {point_key(point) for point in first}
            self._points.extend(first)
            self._points.extend(p for p in fitting_points(self._study.sweep) if point_key(p) not in there)
        else:
            self._first.extend(first)

    def left(self, *, started: int) -> bool:
        """Whether there is more to try.

        Args:
            started: Trials that count towards the number asked for.
        """
        if self._search.sampler == "grid":
            return bool(self._points) and (self._search.budget.trials is None or started < self._search.budget.trials)
        return self._limit is None or started < self._limit

    def next(self, *, started: int, planned: Plan) -> StoredTrial | None:
        """Start one more trial; None if the study has them all.

        Args:
            started: See `left`.
            planned: See `StoredStudy.add`.
        Raises:
            StudyError: No setting that is drawn may be trained.
        """
        if not self.left(started=started):
            return None
        if self._search.sampler == "grid":
            return self._study.add(self._points.popleft(), self._search, planned=planned)
        first = self._first.popleft() if self._first else None
        return self._study.ask(self._search, first=first, planned=planned)

    def held_back(self, *, started: int) -> bool:
        """Whether only the budget keeps the study from trying more."""
        search = self._search
        if search.budget.trials is None or started < search.budget.trials:
            return False
        return bool(self._points) if search.sampler == "grid" else started < (search.trials or started + 1)
