"""End the trials that somebody has asked to stop, one by one, while the study goes on."""

from __future__ import annotations

import time
from pathlib import Path

from deepcolor.search.driver.board import Board
from deepcolor.search.driver.settling import Settling
from deepcolor.search.study.stops import asked_stops, forget_stop, trial_stop_file

_LOOK_EVERY_S = 0.5


class TrialStops:
    """Looks for requests now and then. The segment of a trial that is being trained has seen its own by itself."""

    def __init__(self, folder: Path, *, board: Board, settling: Settling) -> None:
        """Look for nothing yet.

        Args:
            folder: That of the study.
            board: Knows which trials are open, and which are being trained.
            settling: Ends them.
        """
        self._folder = folder
        self._board = board
        self._settling = settling
        self._looked_at = 0.0

    def heed(self, *, number: int | None = None) -> None:
        """End the trials asked for, except those whose segment has yet to return.

        Args:
            number: Of a trial whose segment has just returned; without it, requests are looked for twice a second.
        """
        now = time.monotonic()
        if number is None and now - self._looked_at < _LOOK_EVERY_S:
            return
        if number is not None and not trial_stop_file(self._folder, number).exists():
            return
        self._looked_at = now
        for asked, by in asked_stops(self._folder).items():
            self._meet(asked, by)

    def _meet(self, number: int, by: str) -> None:
        open_ = self._board.open.get(number)
        if open_ is not None:
            busy = self._board.busy.get(open_.ask.trajectory)
            if busy is not None and busy.number == number:
                return
            self._settling.stop(open_, by=by)
        forget_stop(self._folder, number)
