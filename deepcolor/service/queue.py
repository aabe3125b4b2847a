"""The queue of a workspace: a file for each submission, which whoever may write to the workspace adds to.

    studies/.queue/<id>.json      a submission (`record.Submission`)
    studies/.queue/<id>.log       what its process has said
    studies/.queue/events.jsonl   what has happened, a line each
    studies/.queue/.lock          held by whoever changes any of these

All of it is read again at every look, so a service that is killed leaves nothing that another one would not know.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcolor.atomic import TEMPORARY_PREFIX, write_atomically
from deepcolor.errors import StudyError, WorkspaceError
from deepcolor.fields.refusal import nearest
from deepcolor.plainfile import read_plain
from deepcolor.service.record import ACTIVE, ENDED, Submission, read_submission
from deepcolor.waiting import locked
from deepcolor.workspace import Workspace

_MOST_BYTES = 2**22
"""Of a submission's file; the sweep files in it may have a megabyte together."""
_MOST_EVENTS_BYTES = 2**20
_LOCK_S = 60.0


class UnknownSubmissionError(StudyError):
    """Nothing of this name has been submitted."""


@dataclass(frozen=True)
class Happening:
    """Something that has happened to a submission."""

    number: int
    """Grows by one with each."""
    at: float
    """Seconds since 1970."""
    event: str
    """submitted, started, stopped, done, failed, paused, resumed, cancelled."""
    submission: str
    name: str
    user: str
    message: str = ""


class Queue:
    """What has been submitted in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Name it; nothing is read or made yet."""
        self.folder = workspace.queue
        self._read: dict[str, tuple[tuple[int, int], Submission]] = {}

    def all(self) -> list[Submission]:
        """Return all submissions by time; a file that is none is passed over."""
        found: dict[str, tuple[tuple[int, int], Submission]] = {}
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith((TEMPORARY_PREFIX, ".")):
                    with suppress(OSError, ValueError):
                        status = entry.stat()
                        sign = status.st_mtime_ns, status.st_ino
                        known = self._read.get(entry.name)
                        found[entry.name] = known if known and known[0] == sign else (sign, _read(Path(entry.path)))
        self._read = found
        return sorted((one for _, one in found.values()), key=lambda one: (one.submitted_at, one.id))

    def get(self, identity: str) -> Submission:
        """Return a submission as its file holds it now.

        Raises:
            UnknownSubmissionError: There is none.
        """
        try:
            return _read(self._file(identity))
        except (OSError, ValueError) as error:
            raise UnknownSubmissionError(
                f"submission: must be one of this workspace; got {identity!r} ({error}). "
                "List them with: deepcolor studies"
            ) from error

    def find(self, name: str) -> Submission:
        """Return the latest submission of a study, a pipeline, or with an identity.

        Raises:
            UnknownSubmissionError: There is none; the message names the nearest.
        """
        everything = self.all()
        found = [one for one in everything if name in (one.id, one.name)]
        found = found or [one for one in everything if name in one.studies]
        if found:
            return found[-1]
        names = [known for one in everything for known in (one.name, *one.studies)]
        near = nearest(name, names)
        advice = f"Did you mean {near}?" if near else "Submit it with: deepcolor submit FILE"
        raise UnknownSubmissionError(f"study: must have been submitted; got {name!r}, which was not. {advice}")

    def add(self, submission: Submission) -> Submission:
        """Put a submission at the end of the queue.

        Raises:
            StudyError: One that has not ended drives the same study.
            WorkspaceError: The queue cannot be written to.
        """
        with self._changing():
            for other in self.all():
                shared = sorted(set(other.studies) & set(submission.studies))
                if other.state in ACTIVE and (shared or other.name == submission.name):
                    raise StudyError(
                        f"study: {shared[0] if shared else other.name!r} must not be submitted twice at a time; got "
                        f"one that {other.user} has submitted and that is {other.state}. Wait for its end, or cancel "
                        f"it first: deepcolor cancel {other.name}"
                    )
            made = replace(submission, submitted_at=time.time(), state="queued")
            self._write(made, event="submitted")
        return made

    def change(
        self, identity: str, change: Callable[[Submission], Submission | None], *, event: str = ""
    ) -> Submission:
        """Change a submission as it stands now, with nobody in between.

        Args:
            identity: Of the submission.
            change: Returns what it becomes; None: it stays as it is.
            event: What has happened by that; "": what the new state says, where that has changed.
        """
        with self._changing():
            before = self.get(identity)
            after = change(before)
            if after is None:
                return before
            self._write(after, event=event or _event(before, after))
        return after

    def forget(self, *, ended_before: float) -> int:
        """Remove what has ended before a time (in seconds since 1970), with what its process has said.

        Studies stay as they are; whoever was to be told of an end is told first. Returns how many submissions went.
        """
        with self._changing():
            old = [
                one
                for one in self.all()
                if one.state in ENDED and one.told and max(one.submitted_at, one.ended_at or 0.0) < ended_before
            ]
            for one in old:
                self.log(one.id).unlink(missing_ok=True)
                self._file(one.id).unlink(missing_ok=True)
        return len(old)

    def happened(self, *, after: int = 0) -> list[Happening]:
        """Return what has happened since the event of a number; only the last ones of a long time are kept."""
        found = []
        with suppress(OSError):
            lines = read_plain(self._events, most_bytes=4 * _MOST_EVENTS_BYTES).splitlines()
            for line in lines:
                with suppress(ValueError, TypeError):
                    found.append(Happening(**json.loads(line)))
        return [one for one in found if one.number > after]

    def log(self, identity: str) -> Path:
        """Where the process of a submission writes what it says."""
        return self.folder / f"{identity}.log"

    @property
    def _events(self) -> Path:
        return self.folder / "events.jsonl"

    def _file(self, identity: str) -> Path:
        return self.folder / f"{Path(identity).name}.json"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock", until="another process to change the queue", timeout_s=_LOCK_S):
                yield
        except OSError as error:
            raise WorkspaceError(
                f"queue: must be writable; got {error.strerror or error} ({self.folder}). Fix its permissions, free "
                "disk space, or choose another --workspace."
            ) from error

    def _write(self, submission: Submission, *, event: str) -> None:
        write_atomically(self._file(submission.id), submission.as_bytes())
        if event:
            self._append(event, submission)

    def _append(self, event: str, submission: Submission) -> None:
        known = self.happened()
        number = known[-1].number + 1 if known else 1
        happening = Happening(
            number, time.time(), event, submission.id, submission.name, submission.user, submission.message
        )
        with suppress(OSError):
            if self._events.stat().st_size > _MOST_EVENTS_BYTES:
                kept = known[len(known) // 2 :]
                write_atomically(self._events, b"".join(_line(one) for one in kept))
        with self._events.open("ab") as file:
            # After a power cut the last line may be torn: it must not spoil this one.
            file.write((b"" if _ends_line(self._events) else b"\n") + _line(happening))


def _event(before: Submission, after: Submission) -> str:
    if after.state == before.state:
        return ""
    return {"queued": "stopped", "running": "started"}.get(after.state, after.state)


def _read(file: Path) -> Submission:
    return read_submission(read_plain(file, most_bytes=_MOST_BYTES))


def _line(happening: Happening) -> bytes:
    content: dict[str, Any] = vars(happening)
    return json.dumps(content).encode() + b"\n"


def _ends_line(file: Path) -> bool:
    with file.open("rb") as content:
        if content.seek(0, os.SEEK_END) == 0:
            return True
        content.seek(-1, os.SEEK_END)
        return content.read(1) == b"\n"
