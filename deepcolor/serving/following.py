"""The default model moves when its alias does; the one before answers until the next is loaded everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from deepcolor.errors import DeepcolorError
from deepcolor.serving.crew import Crew
from deepcolor.serving.models import Models
from deepcolor.serving.tally import Tally


class Follower:
    """Looks after the alias from time to time, and when asked to."""

    def __init__(
        self,
        models: Models,
        crew: Crew,
        *,
        every_s: float,
        tally: Tally,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        """Follow nothing yet.

        Args:
            models: Whose default is moved.
            crew: Loads a model before it becomes the default.
            every_s: Seconds between two looks.
            tally: Counts.
            note: Is told of each move.
            warn: Is told, once, why the alias cannot be followed.
        """
        self._models, self._crew, self._every_s = models, crew, every_s
        self._tally, self._note, self._warn = tally, note, warn
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._warned = ""

    async def start(self) -> None:
        """Load the default model, and begin to follow.

        Raises:
            ExecutorError: It cannot be loaded.
        """
        default = self._models.default
        await self._crew.prepare(default)
        self._tally.serves(default.ref)
        if self._models.follows:
            self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Move the default if its alias has moved.

        Raises:
            DeepcolorError: The registry does not answer, or the version cannot be loaded; the default stays.
        """
        async with self._lock:
            model = await asyncio.to_thread(self._models.moved)
            if model is None:
                return
            with model.in_use():
                await self._crew.prepare(model)
                before = self._models.default.ref
                self._models.make_default(model)
            self._tally.serves(model.ref)
            self._note(f"serving {model.ref} now, {before} before")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except DeepcolorError as error:
                if str(error) != self._warned:
                    self._warned = str(error)
                    self._warn(f"{error} Serving {self._models.default.ref} still.")
            else:
                self._warned = ""
