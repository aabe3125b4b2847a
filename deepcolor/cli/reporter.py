"""What the command line makes of what a use case tells: notes and warnings on stderr, bars and a live view."""

from __future__ import annotations

from contextlib import AbstractContextManager
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

    def progress(self, title: str, *, of: str | None = "picture") -> AbstractContextManager[OnProgress]:
        """Draw a bar, or print a line now and then."""
        from deepcolor.cli.progress import progress

        return progress(title, of=of)

    def starting(self, study: str) -> AbstractContextManager[Steps]:
        """Show one line that names the present step."""
        from deepcolor.cli.live import starting

        return starting(study)

    def watching(self, study: str) -> AbstractContextManager[Watcher]:
        """Show a live view, or a line now and then."""
        from deepcolor.cli.live import watching

        return watching(study)
