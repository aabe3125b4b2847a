"""The processes that colour: each takes what waits as it becomes free, several clients' pictures at a time."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from deepcolor.errors import ExecutorError
from deepcolor.processes import METHOD, start_server
from deepcolor.serving.models import Model
from deepcolor.serving.tally import Tally
from deepcolor.serving.work import Answer, Batch, Bounds, Order, Refused

_WORKER = "deepcolor.serving.worker"
"""Imported by the processes alone: torch has no business in the server."""
_START_S = 120
_STOP_S = 3
_SMALL_BYTES = 2**20
"""Larger files are coloured one by one: taken together they would only wait for each other."""
_LONGEST_RETRY_S = 60


class FullError(Exception):  # The web side makes an answer of it.
    """Too much is waiting; `retry_s` says when it is worth trying again."""

    def __init__(self, retry_s: int) -> None:
        super().__init__()
        self.retry_s = retry_s


@dataclass(eq=False)
class _Waiting:
    order: Order
    model: Model
    answer: asyncio.Future[Answer]
    alone: bool = False
    """Whether a process has died with it: then it is tried once more, with nothing beside it."""

    @property
    def kind(self) -> tuple[str, float, bool]:
        """Pictures of one kind can be coloured together."""
        return self.model.version, self.order.wanted.saturation, self.order.wanted.flip


class Crew:
    """Processes that colour, and the bounded queue before them; used from one event loop."""

    def __init__(self, devices: Sequence[str], *, bounds: Bounds, tally: Tally, bfloat16: bool = False) -> None:
        """Start nothing yet.

        Args:
            devices: Where each of the processes computes.
            bounds: What clients may cost.
            tally: Counts.
            bfloat16: Whether the networks compute in bfloat16.
        """
        self._members = [_Member(device) for device in devices]
        self._bounds = bounds
        self._tally = tally
        self._bfloat16 = bfloat16
        self._queue: deque[_Waiting] = deque()
        self._news = asyncio.Condition()
        self._held_pictures = 0
        self._held_bytes = 0
        self._pace_s = 0.1
        """What a picture takes, lately."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the processes.

        Raises:
            ExecutorError: One did not come up.
        """
        start_server(_WORKER)
        await asyncio.gather(*(member.start() for member in self._members))
        self._tasks = [asyncio.create_task(self._attend(member)) for member in self._members]

    async def stop(self) -> None:
        """End the processes; what still waits is answered with a refusal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._queue:
            _settle(waiting, Refused("server: it is being ended. Try again later."))
        self._queue.clear()
        await asyncio.gather(*(asyncio.to_thread(member.end) for member in self._members))

    @property
    def alive(self) -> int:
        """How many processes are there."""
        return sum(member.is_alive for member in self._members)

    @property
    def size(self) -> int:
        """How many there should be."""
        return len(self._members)

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Pictures for which there is room: those that arrive, wait or are being coloured."""
        return self._held_pictures

    @contextmanager
    def room(self, *, pictures: int, size_bytes: int) -> Iterator[None]:
        """Hold room for a request, from before its body is read until it is answered.

        Raises:
            FullError: There is none.
        """
        bounds = self._bounds
        if self._held_pictures + pictures > bounds.waiting or (
            self._held_pictures and self._held_bytes + size_bytes > bounds.waiting_bytes
        ):
            raise FullError(self._retry_s())
        self._held_pictures += pictures
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_pictures -= pictures
            self._held_bytes -= size_bytes

    async def colour(self, model: Model, orders: list[Order]) -> list[Answer]:
        """Colour some pictures, in whatever company. `room` must be held."""
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(order, model, loop.create_future()) for order in orders]
        with model.in_use():
            async with self._news:
                self._queue.extend(waiting)
                self._news.notify(len(waiting))
            try:
                return [await each.answer for each in waiting]
            finally:  # A client that has gone leaves nothing behind to be coloured.
                for each in waiting:
                    each.answer.cancel()

    async def prepare(self, model: Model) -> None:
        """Let a process load a model before the first picture needs it.

        Raises:
            ExecutorError: It cannot be loaded.
        """
        batch = Batch(str(model.folder), model.version, (), 1, 1)
        for member in self._members:
            async with member.turn:
                answers = await member.ask(batch, seconds=_START_S)
                if isinstance(answers, str):
                    raise ExecutorError(answers)
                if answers is None:
                    await member.start()
                    raise ExecutorError(f"model: must be loaded within {_START_S} s; got a process that died over it.")

    async def _attend(self, member: _Member) -> None:
        while True:
            async with self._news:
                await self._news.wait_for(lambda: bool(self._queue))
            async with member.turn:
                batch = self._next_batch()
                if batch:
                    await self._work_off(member, batch)

    def _next_batch(self) -> list[_Waiting]:
        """Take the first that waits, and others of its kind behind it."""
        while self._queue and self._queue[0].answer.done():
            self._queue.popleft()
        if not self._queue:
            return []
        first = self._queue.popleft()
        batch = [first]
        if first.alone or len(first.order.data) > _SMALL_BYTES:
            return batch
        # An even share: what one process takes alone while another is idle would wait for nothing.
        most = min(self._bounds.batch, math.ceil((len(self._queue) + 1) / len(self._members)))
        for each in list(self._queue):
            if len(batch) >= most:
                break
            fits = each.kind == first.kind and not each.alone and len(each.order.data) <= _SMALL_BYTES
            if fits and not each.answer.done():
                self._queue.remove(each)
                batch.append(each)
        return batch

    async def _work_off(self, member: _Member, waiting: list[_Waiting]) -> None:
        first, began_s = waiting[0], time.monotonic()
        orders = tuple(each.order for each in waiting)
        bounds = self._bounds
        seconds = bounds.seconds * len(waiting)
        model = first.model
        batch = Batch(
            str(model.folder), model.version, orders, bounds.megapixels, bounds.seconds, bfloat16=self._bfloat16
        )
        try:
            answers = await member.ask(batch, seconds=seconds)
        except asyncio.CancelledError:
            for each in waiting:
                _settle(each, Refused("server: it is being ended. Try again later."))
            raise
        took_s = time.monotonic() - began_s
        self._pace_s += 0.1 * (took_s / len(waiting) - self._pace_s)
        self._tally.worked(len(waiting), took_s)
        if answers is None:
            self._tally.process_lost()
            await self._after_a_death(member, waiting, late=took_s >= seconds)
        elif isinstance(answers, str):
            for each in waiting:
                _settle(each, Refused(answers))
        else:
            for each, answer in zip(waiting, answers, strict=True):
                _settle(each, answer)

    async def _after_a_death(self, member: _Member, waiting: list[_Waiting], *, late: bool) -> None:
        """Try each picture once more, alone: it shows then which of them ended the process, and the rest is saved."""
        if len(waiting) == 1 and (late or waiting[0].alone):
            why = f"took more than {self._bounds.seconds:g} s" if late else "ended the process that coloured it"
            _settle(
                waiting[0], Refused(f"picture: must be one that can be coloured; got one that {why}. Save it anew.")
            )
        else:
            for each in waiting:
                each.alone = True
            async with self._news:
                self._queue.extendleft(reversed(waiting))
                self._news.notify(len(waiting))
        with suppress(ExecutorError):  # It is tried again with the next batch.
            await member.start()

    def _retry_s(self) -> int:
        expected_s = self._held_pictures * self._pace_s / len(self._members)
        return max(1, min(_LONGEST_RETRY_S, math.ceil(expected_s)))


@dataclass(eq=False)
class _Member:
    """One process, and the connection to it."""

    device: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever talks to it."""
    _process: BaseProcess | None = None
    _connection: Connection | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "deepcolor-crew"))
    """Waits for the process in the event loop's place."""

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    async def start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._start)

    def _start(self) -> None:
        self.end()
        context: Any = multiprocessing.get_context(METHOD)
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self.device), daemon=True, name="deepcolor-serving")
        self._process.start()
        theirs.close()
        self._connection = ours
        with suppress(EOFError, OSError):
            if ours.poll(_START_S):
                ours.recv()
                return
        self.end()
        raise ExecutorError(
            f"serve: a process that colours must come up within {_START_S} s; it did not. Try fewer --workers."
        )

    async def ask(self, batch: Batch, *, seconds: float) -> list[Answer] | str | None:
        """Return its answers, or an error's line; None if it died or took too long, and is gone now."""
        asked = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, batch, seconds)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            self.kill()
            with suppress(Exception):
                await asked
            raise

    def _ask(self, batch: Batch, seconds: float) -> list[Answer] | str | None:
        if self._connection is None or not self.is_alive:
            with suppress(ExecutorError):
                self._start()
        connection = self._connection
        if connection is None:
            return None
        try:
            connection.send(batch)
            if connection.poll(seconds):
                answers: list[Answer] | str = connection.recv()
                return answers
        except (EOFError, OSError):
            pass
        self.end()
        return None

    def kill(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def end(self) -> None:
        """End the process; one that is idle does so by itself once nobody can ask it any more."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process is None:
            return
        process.kill()
        process.join(_STOP_S)
        if connection is not None:
            connection.close()


def _work(connection: Connection, device: str) -> None:
    """Run in a process that colours."""
    import_module(_WORKER).work(connection, device)


def _settle(waiting: _Waiting, answer: Answer) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)
