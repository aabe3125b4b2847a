"""What the command line makes of what a use case tells: notes and warnings on stderr, bars and a live view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deepcolor.cli import console

if TYPE_CHECKING:
    from deepcolor.app.reporter import OnProgress, Steps
    from deepcolor.search.rules.summary import Watcher


class ConsoleReporter:
    """Tells it on the terminal, as the options of the command say."""

    def note(self, message: str) -> None:
        console.note(message)

    def warn(self, message: str) -> None:
        console.warn(message)

    def left_out(self, message: str) -> None:
        console.left_out(message)

    def tell(self, message: str) -> None:
        console.tell(message)

    @contextmanager
    def progress(self, title: str, *, of: str | None = "picture") -> Iterator[OnProgress]:
        """Draw a bar, or print a line now and then."""
        from deepcolor.cli.progress import progress

        with progress(title, of=of) as update:
            yield update

    @contextmanager
    def starting(self, study: str) -> Iterator[Steps]:
        """Show one line that names the present step."""
        from deepcolor.cli.live import starting

        with starting(study) as steps:
            yield steps

    @contextmanager
    def watching(self, study: str) -> Iterator[Watcher]:
        """Show a live view, or a line now and then."""
        from deepcolor.cli.live import watching

        with watching(study) as watcher:
            yield watcher
