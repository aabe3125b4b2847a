"""Tell somebody that a submission has ended: a POST to a webhook, a command, or both.

It happens in a thread of its own and holds up nothing. What could not be told while the service was up is told by the
next one, so it may happen twice, and never not at all; after a few tries it is given up.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from deepcolor.printable import environment_of_child, without_secrets
from deepcolor.service.options import Notify
from deepcolor.service.queue import Queue
from deepcolor.service.record import Submission

_WAITS_S = (1.0, 5.0, 25.0)
"""Before each further try."""
_ANSWER_WITHIN_S = 10.0
_COMMAND_WITHIN_S = 60.0
_LAST_WORDS_S = 5.0


def payload_of(submission: Submission) -> dict[str, Any]:
    """What is sent: which submission has ended, how, and in one line with what."""
    return {
        "event": submission.state,
        "submission": submission.id,
        "kind": submission.kind,
        "name": submission.name,
        "studies": list(submission.studies),
        "user": submission.user,
        "message": submission.message,
        "ended_at": submission.ended_at,
    }


class Teller:
    """Tells of ends, one after the other."""

    def __init__(
        self, notify: Notify, queue_: Queue, *, warn: Callable[[str], None], waits_s: Sequence[float] = _WAITS_S
    ) -> None:
        """Tell nobody anything yet.

        Args:
            notify: Whom to tell.
            queue_: Where it is written down that it has been done.
            warn: Is told in a line what could not be.
            waits_s: Seconds before each further try.
        """
        self._notify = notify
        self._queue = queue_
        self._warn = warn
        self._waits_s = waits_s
        self._due: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
        self._taken: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deepcolor-telling", daemon=True)
        self._thread.start()

    def tell(self, submission: Submission) -> None:
        """Take up a submission that has ended and of which nobody has been told; once is enough."""
        mark = f"{submission.id} {submission.ended_at}"
        if mark not in self._taken:
            self._taken.add(mark)
            self._due.put(submission)

    def close(self) -> None:
        """End, after what can be told in a few seconds; the rest is told by the next service."""
        self._due.put(None)
        self._thread.join(_LAST_WORDS_S)
        self._over.set()

    def _run(self) -> None:
        while (submission := self._due.get()) is not None:
            payload = json.dumps(payload_of(submission)).encode()
            ways = (("webhook", self._notify.webhook, self._post), ("command", self._notify.command, self._call))
            done = [self._tried(name, way, payload, submission) for name, wanted, way in ways if wanted]
            if not self._over.is_set() and all(said is not None for said in done):
                self._queue.change(submission.id, lambda now: replace(now, told=True))

    def _tried(self, name: str, way: Callable[[bytes], None], payload: bytes, submission: Submission) -> bool | None:
        """Try a few times; whether it has worked, and None where the service ended meanwhile."""
        reason = ""
        for wait_s in (0.0, *self._waits_s):
            if self._over.wait(wait_s):
                return None
            try:
                way(payload)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                reason = _reason(error)
            else:
                return True
        self._warn(f"{name}: could not be told that {submission.name} is {submission.state}; got {reason}")
        return False

    def _post(self, payload: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310  # its scheme is checked where it is read
            self._notify.webhook,
            data=payload,
            headers={"Content-Type": "application/json", "User-Agent": "deepcolor"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN_S) as answer:  # noqa: S310  # see above
            answer.read(1)

    def _call(self, payload: bytes) -> None:
        subprocess.run(
            list(self._notify.command),
            input=payload,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_WITHIN_S,
            env=environment_of_child(),
            check=True,
        )


def _reason(error: Exception) -> str:
    """Why, without the URL, any part of which may be a secret."""
    match error:
        case urllib.error.HTTPError():
            return f"HTTP status {error.code}"
        case urllib.error.URLError():
            return without_secrets(str(getattr(error.reason, "strerror", None) or type(error.reason).__name__))
        case subprocess.CalledProcessError():
            return f"exit code {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"no end within {error.timeout:.0f} s"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__
