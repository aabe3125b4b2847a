"""Progress of work that is counted: a bar on a terminal; elsewhere a line at first, and one now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from deepcolor.cli import console
from deepcolor.cli.screen import alone, screen_console
from deepcolor.counting import counted
from deepcolor.words import duration

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepcolor.app.reporter import OnProgress

_LINE_EVERY_S = 30.0


@contextmanager
def progress(title: str, *, of: str | None = "picture") -> Iterator[OnProgress]:
    """Give a function to call with (done, total); nothing is shown until it is called, nor once all is done.

    Args:
        title: What is going on.
        of: What is counted, in the singular; None where the numbers are shares of no meaning by themselves.
    """
    if console.settings.quiet or console.settings.json:
        yield lambda _done, _total: None
    elif not sys.stderr.isatty():
        yield Lines(title, of=of).update
    else:
        bar = _Bar(title, of=of)
        try:
            yield bar.update
        finally:
            bar.close()


class Lines:
    """Progress where nothing can be drawn: one line when it begins, and one every half a minute with the time left."""

    def __init__(self, title: str, *, of: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._of = of
        self._clock = clock
        self._began: float | None = None
        self._told = 0.0
        self._first = 0

    def update(self, done: int, total: int) -> None:
        """Say so if it is time to."""
        now = self._clock()
        if self._began is None:
            self._began = self._told = now
            self._first = done
            console.note(f"{self._title}: {counted(total, self._of)}" if self._of else self._title)
        elif now - self._told >= _LINE_EVERY_S and self._first < done < total:
            self._told = now
            left_s = (now - self._began) / (done - self._first) * (total - done)
            share = f"{done} of {total}" if self._of else f"{done / total:.0%}"
            console.note(f"{self._title}: {share}, about {duration(left_s)} left")


class _Bar:
    """A bar that comes with the first number and goes with the last one, so that one may follow another."""

    def __init__(self, title: str, *, of: str | None) -> None:
        self._title = title
        self._of = of
        self._drawn: Progress | None = None
        self._shown = ExitStack()

    def update(self, done: int, total: int) -> None:
        if self._drawn is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
            from rich.progress import TimeRemainingColumn as TimeLeft

            count = MofNCompleteColumn() if self._of else TaskProgressColumn()
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                count,
                TimeLeft(),
                TextColumn("left"),
            )
            self._drawn = Progress(*columns, console=screen_console(), transient=True)
            self._drawn.add_task(self._title)
            self._shown.enter_context(alone(self._drawn.live))
            self._shown.enter_context(self._drawn)
        (task,) = self._drawn.task_ids
        self._drawn.update(task, completed=done, total=total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._drawn = None
        self._shown.close()
