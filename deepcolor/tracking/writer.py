"""The process that talks to MLflow: separate from the driver's, so that neither waits for the other's interpreter.

driver: record -> pipe -> this process brings its run up to date -> pipe -> done, or what went wrong
driver gone -> this process ends at once, so that nothing is stored behind the next driver's back
"""

from __future__ import annotations

import atexit
import gc
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.printable import Guarded, environment_of_child, note_secrets, secrets_of_environment
from deepcolor.processes import import_path
from deepcolor.scratch import process_folder
from deepcolor.tracking import store
from deepcolor.tracking.records import StudyRecord, TrialRecord
from deepcolor.tracking.runs import StudyRuns

if TYPE_CHECKING:
    from mlflow import MlflowClient

Record = StudyRecord | TrialRecord

_END_S = 2.0
_PROCESSES_A_RECORD = 2


class StoreFault(Exception):
    """A record could not be stored; the message is one line, without passwords."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        """Say whether trying the same call again cannot help."""
        super().__init__(message)
        self.lasting = lasting


class Writer:
    """Stores records through a process of its own, which starts with the first record and is replaced if it dies."""

    def __init__(self, tracking_uri: str, artifact_root: Path | None) -> None:
        """Start nothing yet; the arguments are those of `MlflowTracker`."""
        self._target = _Target(tracking_uri, artifact_root, secrets_of_environment())
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._killed = False

    def open(self) -> None:
        """Start the process and have it open the store; errors are reported with the first record."""
        with suppress(StoreFault):
            self._ask(None)

    def store(self, record: Record) -> None:
        """Bring a record's run up to date, and wait until it is.

        Raises:
            StoreFault: MLflow cannot be reached or refuses, or the process died.
        """
        self._ask(record)

    def kill(self) -> None:
        """End the process for good, from another thread: the call that waits for it raises."""
        self._killed = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """Let the process end."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _ask(self, record: Record | None) -> None:
        fault = self._answered(record)
        if fault is not None:
            raise StoreFault(fault.message, lasting=fault.lasting)

    def _answered(self, record: Record | None) -> _Fault | None:
        for _ in range(_PROCESSES_A_RECORD):
            if self._killed:
                break
            try:
                return self._answer(record)
            except (OSError, EOFError):
                # It died. Nothing is stored twice: the next process first looks at what is stored.
                self.close()
        raise StoreFault("the process that writes to it has died", lasting=False)

    def _answer(self, record: Record | None) -> _Fault | None:
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send(record)
        fault: _Fault | None = self._pipe.recv()
        return fault

    def _start(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            self._process = _launch(theirs)
        if self._killed:
            self._process.kill()  # `kill` was called before there was a process.
        self._pipe = ours
        ours.send(self._target)


def _launch(pipe: Connection) -> subprocess.Popen[bytes]:
    descriptor = pipe.fileno()
    # It imports from where this process does, and nothing that happens to be in the current folder (-P). In a session
    # of its own: only the driver handles Ctrl-C and a closed terminal.
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({descriptor})"],
        env={**environment_of_child(), "PYTHONPATH": os.pathsep.join(import_path()), "TMPDIR": str(process_folder())},
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


@dataclass(frozen=True)
class _Target:
    """What the process is told through its pipe, as arguments and environment can be seen in the list of processes."""

    tracking_uri: str
    artifact_root: Path | None
    credentials: dict[str, str]


@dataclass(frozen=True)
class _Fault:
    message: str
    lasting: bool


class _Runs:
    """What the process keeps between records."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._client: MlflowClient | None = None
        self._studies: dict[str, StudyRuns] = {}

    def store(self, record: Record | None) -> _Fault | None:
        try:
            if self._client is None:
                self._client = store.open_client(self._target.tracking_uri)
            if record is not None:
                self._store(record, self._client)
        except Exception as error:  # noqa: BLE001  # whatever MLflow, its database or its transport raises is passed on
            # A call whose answer was lost may have done its work: what is stored must be looked up again first. This
            # also gives a run that was deleted behind our back a second try, which creates a new one.
            self._studies.clear()
            return _Fault(store.first_line(error), store.is_lasting(error))
        return None

    def _store(self, record: Record, client: MlflowClient) -> None:
        runs = self._studies.get(record.study_id)
        if runs is None:
            runs = StudyRuns.of(record, client, artifact_root=self._target.artifact_root)
            self._studies[record.study_id] = runs
        if isinstance(record, StudyRecord):
            runs.store_study(record)
        else:
            runs.store_trial(record)


def serve(descriptor: int) -> None:
    """Store what comes through a pipe until the other end is closed: all that the process does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit.register(gc.freeze)  # A last garbage collection would take a second.
    busy = threading.Event()
    threading.Thread(target=_end_with, args=(descriptor, busy), daemon=True).start()
    with suppress(EOFError, OSError), Connection(descriptor) as pipe:
        target: _Target = pipe.recv()
        os.environ.update(target.credentials)
        note_secrets(target.tracking_uri)
        sys.stderr = Guarded(sys.stderr)
        runs = _Runs(target)
        while True:
            record = pipe.recv()
            busy.set()
            fault = runs.store(record)
            busy.clear()
            pipe.send(fault)


def _end_with(descriptor: int, busy: threading.Event) -> None:
    """End the process when the other end of its pipe is gone, even in the middle of storing."""
    poll = select.poll()
    poll.register(descriptor, select.POLLHUP)
    poll.poll()
    if busy.is_set():
        os._exit(1)
