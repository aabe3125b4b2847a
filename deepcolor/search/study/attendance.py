"""Which trials are being trained right now: their study's driver writes it down for whoever reads the study.

    studies/<study>/.driver.lock   held as long as a driver lives
    studies/<study>/running.json   what it last wrote down; it may still be there after a kill, and is then ignored

Where a database server keeps the studies, both are there (`server`).

Optuna's storage knows only that a trial is open, which may be at a rung, before its turn, or left by a stopped driver.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from deepcolor.atomic import write_atomically
from deepcolor.plainfile import read_plain
from deepcolor.search.study.held import Held
from deepcolor.search.study.ownership import is_owned
from deepcolor.search.study.server import server_of
from deepcolor.search.study.trials import StoredTrial
from deepcolor.workspace import Workspace

RUNNING_FILE = "running.json"
_SAID_EVERY_S = 1.0


class Attendance:
    """Writes down which trials a driver is training. If that fails, nothing happens: it is only for people to read."""

    def __init__(self, folder: Path, *, held: Held | None = None) -> None:
        """Write nothing yet.

        Args:
            folder: The study's folder.
            held: Its lock, where that is kept by a database server.
        """
        self._file = folder / RUNNING_FILE
        self._held = held
        self._said: list[int] | None = None
        self._said_at = 0.0

    def say(self, numbers: Collection[int]) -> None:
        """Write down that these trials are being trained, and no others; at most once a second.

        Raises:
            StudyError: Another driver has taken the study meanwhile, as the database server says.
        """
        if self._held is not None:
            self._held.tell()
        now, running = time.monotonic(), sorted(numbers)
        if running != self._said and now - self._said_at >= _SAID_EVERY_S:
            self._said, self._said_at = running, now
            if self._held is not None:
                self._held.say(running)
                return
            with suppress(OSError):
                write_atomically(self._file, json.dumps(running).encode())

    def clear(self) -> None:
        """Write down that none is being trained."""
        if self._held is not None:
            self._held.say(())
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def running_trials(workspace: Workspace, study: str) -> frozenset[int]:
    """Return the numbers of the trials that a living driver is training; none if no driver is running."""
    if (server := server_of(workspace)) is not None:
        return server.running(study) if server.exists() else frozenset()
    try:
        said = json.loads(read_plain(workspace.study(study) / RUNNING_FILE, most_bytes=2**24))
        running = frozenset(int(number) for number in said)
    except (OSError, ValueError, TypeError):
        return frozenset()
    return running if is_owned(workspace, study) else frozenset()


def state_of(trial: StoredTrial, running: Collection[int]) -> str:
    """Return a trial's state in words: running, waiting, complete, pruned or failed."""
    return "running" if trial.number in running and not trial.finished else trial.state
