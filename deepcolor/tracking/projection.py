"""MLflow as a projection of records: takes them at once, stores them in the background, never makes training wait.

    put -> newest record of each run waits in a table
    thread: take the most urgent -> have the writer's process bring its run up to date -> next
            store unreachable? keep the newest records, wait, try again, longer each time

It can be late, down, or rebuilt: a record is complete, and putting it again gives the same run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from deepcolor.printable import note_secrets, shown_uri
from deepcolor.tracking.records import OPEN, StudyRecord, TrialRecord
from deepcolor.tracking.writer import Record, StoreFault, Writer

_Key = tuple[str, str, int]
"""(study, its id, trial number); -1 means the study itself."""
_STUDY = -1
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_CLOSE_S = 2.0


class MlflowTracker:
    """Projects the records of studies into the runs of an MLflow store. A `Tracker`."""

    def __init__(
        self,
        *,
        tracking_uri: str,
        artifact_root: Path | None = None,
        on_warning: Callable[[str], None] | None = None,
        live_interval_s: float = 2.0,
    ) -> None:
        """Start the thread that stores; MLflow is not contacted before the first record.

        Args:
            tracking_uri: Where runs go: `sqlite:///...`, another database, or a server.
            artifact_root: Folder for the artifacts of an SQLite store; None: next to the database. A server has its
                own.
            on_warning: Gets one line when the store cannot be reached or refuses a record; called from the thread.
            live_interval_s: Shortest time between two updates of one *open* run; finished ones are stored at once. It
                lets a short trial be stored once, complete, instead of epoch by epoch.
        """
        note_secrets(tracking_uri)
        self._uri = tracking_uri
        self._on_warning = on_warning or (lambda _: None)
        self._live_interval_s = live_interval_s
        self._changed = threading.Condition()
        self._waiting: dict[_Key, Record] = {}
        self._due_s: dict[_Key, float] = {}
        self._busy = False
        self._flushing = 0
        self._closed = False
        self._opening = False
        self._refused: set[_Key] = set()
        self._tried_twice: set[_Key] = set()
        self._failures = 0
        self._attempts = 0
        self._last_failed = 0
        # Only the thread touches the rest.
        self._said: set[str] = set()
        self._writer = Writer(tracking_uri, artifact_root)
        self._thread = threading.Thread(target=self._run, name="deepcolor-tracking", daemon=True)
        self._thread.start()

    def prepare(self) -> None:
        """Open the store before the first record, which would otherwise have to wait; returns at once."""
        with self._changed:
            self._opening = True
            self._changed.notify_all()

    def put_study(self, study: StudyRecord) -> None:
        """Create or bring up to date the study's parent run. Returns at once."""
        self._put((study.sweep.study, study.study_id, _STUDY), study)

    def put_trial(self, trial: TrialRecord) -> None:
        """Create or bring up to date the trial's child run. Returns at once."""
        self._put((trial.study, trial.study_id, trial.number), trial)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is stored.

        Returns:
            False if the time ran out, the store cannot be reached (an attempt in that time failed), or it refused a
            record.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._flushing += 1
            before = self._attempts
            self._changed.notify_all()
            try:
                while (self._waiting or self._busy) and self._thread.is_alive():
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0 or self._last_failed > before:
                        return False
                    self._changed.wait(left_s)
            finally:
                self._flushing -= 1
            return not self._refused and not self._waiting

    def close(self) -> None:
        """Stop the thread and process without waiting for a dead store; what is not stored yet is not (see `flush`)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self._writer.kill()
            self._thread.join()

    def _put(self, key: _Key, record: Record) -> None:
        with self._changed:
            self._waiting[key] = record
            self._due_s.setdefault(key, time.monotonic() + self._live_interval_s)
            self._changed.notify_all()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            if task == "open":
                self._writer.open()
                continue
            key, record = task
            try:
                self._writer.store(record)
            except StoreFault as fault:
                self._after_failure(key, record, fault)
            else:
                self._after_success(key)
        self._writer.close()

    def _next(self) -> tuple[_Key, Record] | Literal["open"] | None:
        """Wait for the most urgent record; None once the tracker is closed."""
        with self._changed:
            while not self._closed:
                if self._opening:
                    self._opening = False
                    return "open"
                now_s = time.monotonic()
                key = min(self._waiting, key=self._urgency, default=None)
                if key is not None and self._is_due(key, now_s):
                    self._busy = True
                    self._attempts += 1
                    return key, self._waiting.pop(key)
                self._changed.wait(None if key is None else max(0.001, self._due_s[key] - now_s))
            return None

    def _urgency(self, key: _Key) -> tuple[bool, bool, float]:
        """Finished records first, a study before its trials, then whichever is due first."""
        return self._waiting[key].state in OPEN, key[2] != _STUDY, self._due_s[key]

    def _is_due(self, key: _Key, now_s: float) -> bool:
        """Finished records at once, open ones when due; after a failure all wait until due, unless flushed."""
        at_once = self._flushing or (self._waiting[key].state not in OPEN and not self._failures)
        return bool(at_once) or self._due_s[key] <= now_s

    def _after_success(self, key: _Key) -> None:
        self._said.discard("outage")
        with self._changed:
            self._busy = False
            self._failures = 0
            self._refused.discard(key)
            self._tried_twice.discard(key)
            self._due_s.pop(key, None)
            if key in self._waiting:
                self._due_s[key] = time.monotonic() + self._live_interval_s
            self._changed.notify_all()

    def _after_failure(self, key: _Key, record: Record, fault: StoreFault) -> None:
        with self._changed:
            self._busy = False
            if not fault.lasting:
                self._waiting.setdefault(key, record)
                self._last_failed = self._attempts
                pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
                self._failures += 1
                self._due_s = {waiting: time.monotonic() + pause_s for waiting in self._waiting}
                warning = _outage(self._uri, fault)
            elif key not in self._tried_twice:
                self._waiting.setdefault(key, record)
                self._tried_twice.add(key)
                warning = None
            else:
                self._refused.add(key)
                warning = _refusal(self._uri, key, fault)
            self._changed.notify_all()
        self._warn(warning)

    def _warn(self, warning: tuple[str, str] | None) -> None:
        """Pass on a (reason, message), unless the reason has been given since the store last worked."""
        if warning is not None and warning[0] not in self._said:
            self._said.add(warning[0])
            self._on_warning(warning[1])


def _outage(uri: str, fault: StoreFault) -> tuple[str, str]:
    return "outage", (
        f"MLflow: {shown_uri(uri)} cannot be used at the moment ({fault}). Training continues; "
        "the runs are stored once it is back, or when the sweep is run again."
    )


def _refusal(uri: str, key: _Key, fault: StoreFault) -> tuple[str, str]:
    what = key[0] if key[2] == _STUDY else f"{key[0]} trial {key[2]}"
    return str(fault), f"MLflow: {shown_uri(uri)} refused {what}, and possibly others: {fault}"
