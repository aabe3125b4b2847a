"""What commands print, and where: results on stdout, progress and notes on stderr, one JSON object with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PIPED_WIDTH = 1000


@dataclass
class Settings:
    """Set by the common options while the command line is parsed."""

    quiet: bool = False
    debug: bool = False
    json: bool = False


settings = Settings()


def note(message: str) -> None:
    """Say what is going on; silent with --quiet and --json."""
    if not (settings.quiet or settings.json):
        _print(message, to_stderr=True)


def warn(message: str) -> None:
    """Say what went wrong without ending the command; never silent."""
    _print(f"[yellow]warning:[/yellow] {_escaped(message)}", to_stderr=True)


def tell(message: str) -> None:
    """Print a line on stderr that must be seen, whatever the options."""
    print(message, file=sys.stderr)


def fail(message: str) -> None:
    """Print an error as one line on stderr."""
    line = " ".join(message.split())
    if sys.stderr.isatty():
        _print(f"[red]error:[/red] {_escaped(line)}", to_stderr=True)
    else:
        print(f"error: {line}", file=sys.stderr)


def result(human: str, data: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a command's result: `human` (rich markup allowed), or `data` as one JSON object with --json."""
    if settings.json:
        print(json.dumps(data, default=str))
    else:
        _print(human)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `numeric` are aligned right. Prints nothing with --json."""
    if settings.json:
        return
    from rich.table import Table

    grid = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        if column in numeric:
            grid.add_column(column, justify="right", no_wrap=True)
        else:
            grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    _print(grid)


def _print(renderable: Any, *, to_stderr: bool = False) -> None:
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    # Piped output is not wrapped: a line a script reads must stay a line.
    piped = not stream.isatty()
    console = Console(file=stream, highlight=False, width=_PIPED_WIDTH if piped else None)
    console.print(renderable, soft_wrap=piped and isinstance(renderable, str))


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(message)
