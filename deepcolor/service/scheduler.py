"""What a service does at every look: see who has ended, heed what was asked for, start who is due.

Everything it decides by is read from the queue and the system anew, so it can be replaced at any moment by another one,
also after `kill -9`: processes that still run are found again by what their submissions say of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from deepcolor.app.reporter import Reporter
from deepcolor.app.supply import Slots, Supply
from deepcolor.counting import counted
from deepcolor.service.options import Options
from deepcolor.service.orders import Child, Order, is_alive, launch
from deepcolor.service.queue import Queue
from deepcolor.service.record import Process, Submission
from deepcolor.service.shares import Claim, settle, worth_growing
from deepcolor.service.telling import Teller

_MOST_CRASHES = 3
_GROW_AFTER_S = 300.0
"""Since the last start of any: who has just come may soon end, or not be alone for long."""


class Scheduler:
    """Runs what a queue holds, within the slots that there are."""

    def __init__(
        self,
        queue: Queue,
        *,
        supply: Supply,
        options: Options,
        order: Callable[[Submission, Slots, tuple[int, ...]], Order],
        teller: Teller,
        reporter: Reporter,
        host: str,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            queue: What is to run.
            supply: The slots.
            options: How many together, and of one user.
            order: What a submission's process is told, given its slots and their numbers.
            teller: Is told of what has ended.
            reporter: Is told what goes on.
            host: This machine's name.
        """
        self._queue = queue
        self._supply = supply
        self._options = options
        self._order = order
        self._teller = teller
        self._reporter = reporter
        self._host = host
        self._children: dict[int, Child] = {}
        self._asked: dict[str, int] = {}
        """Processes that have been asked to end, by submission."""
        self._said: dict[str, float | None] = {}
        """When those ended of whose end has been told here."""
        self._first_look = True
        self._stopping = False

    @property
    def running(self) -> list[Submission]:
        """The submissions that run now."""
        return [one for one in self._queue.all() if one.state == "running"]

    def stop(self) -> None:
        """Start nothing any more, and ask what runs to end its epoch; safe to call from a signal handler."""
        self._stopping = True

    def look(self) -> None:
        """Do all that is due."""
        for child in [child for child in self._children.values() if child.poll() is not None]:
            del self._children[child.pid]
        for one in self.running:
            self._look_after(one)
        everything = self._queue.all()
        running = {one.id for one in everything if one.state == "running"}
        self._asked = {identity: pid for identity, pid in self._asked.items() if identity in running}
        for one in everything:
            if not one.told:
                self._tell(one)
        if not self._stopping:
            self._start_due(everything)
        self._first_look = False

    def stop_at_once(self) -> None:
        """Ask what runs a second time: it ends without waiting for its epoch."""
        for one in self.running:
            if one.process is not None and is_alive(one.process):
                _send(one.process)

    # --- what runs

    def _look_after(self, one: Submission) -> None:
        if one.process is not None and is_alive(one.process):
            if self._stopping or one.wish:
                self._ask_to_end(one)
            return
        asked = one.process is not None and self._asked.pop(one.id, None) == one.process.pid
        # Gone when the service came: the machine may have been off. Asked to end: it may not have listened yet.
        blameless = self._first_look or asked
        self._queue.change(one.id, lambda now: self._after_loss(now, blameless=blameless))

    def _after_loss(self, now: Submission, *, blameless: bool) -> Submission | None:
        """What becomes of a submission whose process is gone, unless that has said so itself."""
        if now.state != "running" or (now.process is not None and is_alive(now.process)):
            return None
        freed = replace(now, wish="", slots=(), process=None, ended_at=time.time())
        if now.wish:
            return replace(freed, state="paused" if now.wish == "pause" else "cancelled")
        if blameless:
            return replace(freed, state="queued")
        crashes = now.crashes + 1
        if crashes >= _MOST_CRASHES:
            log = self._queue.log(now.id)
            message = f"its process ended {crashes} times without a word, most likely for lack of memory; log: {log}"
            return replace(freed, state="failed", message=message, crashes=crashes, told=False)
        self._reporter.note(f"{now.name}: its process is gone; it is started again and continues where it was")
        return replace(freed, state="queued", crashes=crashes, message="its process was lost; it continues")

    def _ask_to_end(self, one: Submission) -> None:
        process = one.process
        if process is not None and self._asked.get(one.id) != process.pid:
            self._asked[one.id] = process.pid
            _send(process)

    def _tell(self, one: Submission) -> None:
        """Say that a submission has ended, on the terminal and to whom it may concern."""
        if self._said.get(one.id) != one.ended_at:
            self._said[one.id] = one.ended_at
            say = self._reporter.warn if one.state == "failed" else self._reporter.note
            say(f"{one.name} of {one.user}: {one.state}; {one.message}")
        if self._options.notify.webhook or self._options.notify.command:
            self._teller.tell(one)
        else:
            self._queue.change(one.id, lambda now: replace(now, told=True))

    # --- what is due

    def _start_due(self, everything: Sequence[Submission]) -> None:
        running = [one for one in everything if one.state == "running"]
        queued = [one for one in everything if one.state == "queued"]
        total = self._supply.slots
        if not total:
            return
        claims = [
            Claim(one.id, one.user, one.priority, one.submitted_at, holds=len(one.slots) if one in running else 0)
            for one in (*running, *queued)
        ]
        at_a_time = self._options.most_at_a_time(total)
        due = settle(claims, slots=total, at_a_time=at_a_time, limit_a_user=self._options.limit_a_user)
        if not queued:
            self._let_grow(running, worth_growing(claims, due, slots=total))
        free = sorted(set(range(total)) - {number for one in running for number in one.slots})
        for one in queued:
            if one.id in due:
                free = self._start_or_wait(one, due, free, running)

    def _let_grow(self, running: Sequence[Submission], claim: Claim | None) -> None:
        """Let a submission that could use slots which have become free start again with them."""
        starts = [one.started_at or 0.0 for one in running]
        settled = not self._asked and time.time() - max(starts, default=0.0) > _GROW_AFTER_S
        for one in running:
            if settled and claim is not None and one.id == claim.id:
                self._reporter.note(f"{one.name} of {one.user}: ends its epoch, and starts again with more slots")
                self._ask_to_end(one)

    def _start_or_wait(
        self, one: Submission, due: Mapping[str, int], free: list[int], running: Sequence[Submission]
    ) -> list[int]:
        """Start a submission if the slots that it is due are free; else ask those who hold more than their due."""
        wanted = due[one.id]
        if len(free) < wanted:
            holding = [other for other in running if len(other.slots) > due.get(other.id, 0)]
            for other in holding:
                self._ask_to_end(other)  # It is queued again at once, and comes back with its due.
            if holding or not free:
                return free
        taken, left = free[:wanted], free[wanted:]
        self._start(one, tuple(taken))
        return left

    def _start(self, one: Submission, slots: tuple[int, ...]) -> None:
        order = self._order(one, self._supply.part(slots), slots)
        child: Child | None = None

        def start(now: Submission) -> Submission | None:
            nonlocal child
            if now.state != "queued":
                return None  # Cancelled since it was read.
            # Within the queue's lock: whoever finds it running finds its process with it.
            child, process = launch(order, log=self._queue.log(one.id), identity=self._host)
            return replace(now, state="running", slots=slots, process=process, started_at=time.time(), message="")

        after = self._queue.change(one.id, start, event="started")
        if child is not None:
            self._children[child.pid] = child
            self._asked.pop(one.id, None)
            self._reporter.note(f"{after.name} of {after.user}: started with {counted(len(slots), 'slot')}")


def _send(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, signal.SIGTERM)
