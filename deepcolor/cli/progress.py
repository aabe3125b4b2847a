"""Progress of work that is counted in pictures: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deepcolor.cli import console
from deepcolor.counting import counted

OnProgress = Callable[[int, int], None]


@contextmanager
def progress(title: str) -> Iterator[OnProgress]:
    """Give a function to call with (done, total); nothing is shown if it is never called."""
    if console.settings.quiet or console.settings.json:
        yield lambda _done, _total: None
    elif not sys.stderr.isatty():
        told = False

        def tell(_done: int, total: int) -> None:
            nonlocal told
            if not told:
                told = True
                console.note(f"{title}: {counted(total, 'picture')}")

        yield tell
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, visible=False)
            yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
