"""Tell somebody that a submission has ended: a POST to a webhook, a command, or both.

It happens in a thread of its own and holds up nothing. What could not be told while the service was up is told by the
next one, so it may happen twice, and never not at all; after a few tries it is given up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from deepcolor.notify import WAITS_S, Notify, tell
from deepcolor.service.queue import Queue
from deepcolor.service.record import Submission

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
        self, notify: Notify, queue_: Queue, *, warn: Callable[[str], None], waits_s: Sequence[float] = WAITS_S
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
            done = tell(
                self._notify,
                payload_of(submission),
                about=f"{submission.name} is {submission.state}",
                warn=self._warn,
                wait=self._over.wait,
                waits_s=self._waits_s,
            )
            if done and not self._over.is_set():
                self._queue.change(submission.id, lambda now: replace(now, told=True))
