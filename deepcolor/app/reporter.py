"""What a use case tells while it is at work; the command line, a notebook and a service each pass it on as they can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from deepcolor.search.rules.summary import Snapshot, Watcher
    from deepcolor.search.study.storage import StoredTrial

OnProgress = Callable[[int, int], None]
"""Called with what is done and how much there is to do."""


class Steps(Protocol):
    """Shows which step of getting ready is being taken."""

    def step(self, what: str, *, slow: str = "") -> None:
        """Say what is being done now, and what to say in its place when it takes long."""

    def hide(self) -> None:
        """Leave the screen to something else, until the next step."""


class Reporter(Protocol):
    """Tells a person what is happening; it decides nothing."""

    def note(self, message: str) -> None:
        """Say what is going on."""

    def warn(self, message: str) -> None:
        """Say what went wrong without ending the work."""

    def left_out(self, message: str) -> None:
        """Warn that something was left out while the rest continues."""

    def tell(self, message: str) -> None:
        """Say what must be seen, at any moment, from any thread."""

    def progress(self, title: str, *, of: str | None = "picture") -> AbstractContextManager[OnProgress]:
        """Show how far work has come; `of` is what is counted, None where the numbers are shares of no meaning."""

    def starting(self, study: str) -> AbstractContextManager[Steps]:
        """Show the steps before, and after, there is a study to watch."""

    def watching(self, study: str) -> AbstractContextManager[Watcher]:
        """Show a study while it runs."""


BAR_AFTER_S = 2.0
"""Shorter waits need no bar."""


@contextmanager
def counting(reporter: Reporter, steps: Steps, title: str, *, of: str) -> Iterator[OnProgress]:
    """Show how far counted work has come once it has taken a while, in place of the step that is named until then.

    Args:
        reporter: Draws it.
        steps: Named what is done so far, and are hidden once there is something else to see.
        title: What is going on.
        of: What is counted, in the singular.
    """
    began, shown = time.monotonic(), False
    with reporter.progress(title, of=of) as update:

        def tell(done: int, total: int) -> None:
            nonlocal shown
            if not shown and done < total and time.monotonic() - began >= BAR_AFTER_S:
                shown = True
                steps.hide()
            if shown:
                update(done, total)

        yield tell


class Silent:
    """Tells nobody anything."""

    def note(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    def left_out(self, message: str) -> None:
        pass

    def tell(self, message: str) -> None:
        pass

    @contextmanager
    def progress(self, title: str, *, of: str | None = "picture") -> Iterator[OnProgress]:  # noqa: ARG002  # see Reporter
        """Show nothing."""
        yield lambda _done, _total: None

    @contextmanager
    def starting(self, study: str) -> Iterator[Steps]:  # noqa: ARG002  # see Reporter
        """Show nothing."""
        yield _SilentSteps()

    @contextmanager
    def watching(self, study: str) -> Iterator[Watcher]:  # noqa: ARG002  # see Reporter
        """Show nothing."""
        yield SilentWatcher()


class SilentWatcher:
    """Shows nothing."""

    def update(self, snapshot: Snapshot) -> None:
        pass

    def finished(self, trial: StoredTrial, snapshot: Snapshot) -> None:
        pass


class _SilentSteps:
    def step(self, what: str, *, slow: str = "") -> None:
        pass

    def hide(self) -> None:
        pass


SILENT = Silent()
