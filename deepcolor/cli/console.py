"""What commands print, and where: results on stdout, progress and notes on stderr, one JSON object with --json.

Texts are plain: nothing in them is markup, and all pass `deepcolor.printable`. What stands out is marked by `bold`.
"""

from __future__ import annotations

import codecs
import json
import math
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepcolor.printable import fit_to_print, without_secrets

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_PIPED_WIDTH = 1000
_END, _BOLD, _RED, _YELLOW = "\ue000\ue001\ue002\ue003"
"""Characters of no meaning of their own; a text from outside that holds one is a little coloured, and no more."""
_STYLES = {_BOLD: "bold", _RED: "red", _YELLOW: "yellow"}
_IN_ASCII = "deepcolor.in_ascii"
_SAID = {"±": "+-", "…": "...", "→": "->", "·": "-", "━": "-", "╸": "-", "╺": "-"} | dict(
    zip("▁▂▃▄▅▆▇█", "_.-=+*%#", strict=True)
)
_GAP = 2
"""Between two columns of a table."""


@dataclass
class Settings:
    """Set by the common options while the command line is parsed."""

    quiet: bool = False
    debug: bool = False
    json: bool = False
    left_out: bool = False
    """Something was left out while the rest continued: the exit code says so."""


settings = Settings()


def bold(text: str) -> str:
    """Mark a part of a message; without effect where it is piped."""
    return f"{_BOLD}{text}{_END}"


def red(text: str) -> str:
    """Mark what failed."""
    return f"{_RED}{text}{_END}"


def yellow(text: str) -> str:
    """Mark what to look at."""
    return f"{_YELLOW}{text}{_END}"


def styled(message: str) -> Text:
    """Return a message as rich prints it: fit to be shown, with its marks as styles, and no markup in it."""
    from rich.text import Text

    text, style = Text(), ""
    start = 0
    message = fit_to_print(without_secrets(message))
    for index, character in enumerate(message):
        if character == _END or character in _STYLES:
            text.append(message[start:index], style or None)
            style, start = _STYLES.get(character, ""), index + 1
    return text.append(message[start:], style or None)


def fit_streams() -> None:
    """Let every text be printed on any terminal: one that does not know a character gets it in ASCII."""
    codecs.register_error(_IN_ASCII, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=_IN_ASCII)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    return "".join(_SAID.get(char) or char.encode("unicode_escape").decode("ascii") for char in unknown), error.end


def note(message: str) -> None:
    """Say what is going on; silent with --quiet and --json."""
    if not (settings.quiet or settings.json):
        _print(message, to_stderr=True)


def warn(message: str) -> None:
    """Say what went wrong without ending the command; never silent."""
    _print(f"{yellow('warning:')} {message}", to_stderr=True)


def left_out(message: str) -> None:
    """Warn that something was left out while the rest continues; the command's exit code will be 1."""
    settings.left_out = True
    warn(message)


def tell(message: str) -> None:
    """Print a line on stderr that must be seen, whatever the options."""
    print(fit_to_print(without_secrets(message)), file=sys.stderr)


def fail(message: str) -> None:
    """Print an error as one line on stderr."""
    line = " ".join(message.split())
    _print(f"{red('error:')} {line}", to_stderr=True)


def plain(text: str) -> None:
    """Print what another program will read, on stdout as it is: neither wrapped nor styled."""
    print(fit_to_print(without_secrets(text)), end="")


def result(human: str, data: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a command's result: `human`, or `data` as one JSON object with --json, where no number is not finite."""
    if settings.json:
        print(without_secrets(json.dumps(_finite(data), default=str, allow_nan=False)))
    else:
        _print(human)


def _finite(value: Any) -> Any:
    """Put null in place of infinities and of what is no number, for which JSON has no words."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {name: _finite(each) for name, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: Sequence[str] = (),
    whole: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table. Prints nothing with --json.

    Args:
        title: Above it; may be empty.
        columns: Their names.
        rows: A cell for each column.
        numeric: Columns that are aligned right, and never folded.
        whole: Columns of text that are never folded.
        spare: Columns to leave out, the first one first, where the terminal is too narrow for all of them.
    """
    if settings.json:
        return
    from rich.table import Table

    unfolded = {*numeric, *whole}
    columns, rows, left_out = _fitting(columns, rows, unfolded=unfolded, spare=spare)
    grid = Table(
        title=styled(title) if title else None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for column in columns:
        if column in numeric:
            grid.add_column(styled(column), justify="right", no_wrap=True)
        else:
            grid.add_column(styled(column), overflow="fold", no_wrap=column in unfolded)
    for row in rows:
        grid.add_row(*(styled(cell) for cell in row))
    _print(grid)
    if left_out:
        _print(f"(too narrow for {', '.join(left_out)})")


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]], *, unfolded: Collection[str]) -> bool:
    """Say whether a table fits the terminal; a column that may be folded needs the width of its longest word."""
    width = _terminal_width()
    return width is None or _width(columns, rows, unfolded=unfolded) <= width


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, unfolded: Collection[str], spare: Sequence[str]
) -> tuple[Sequence[str], Sequence[Sequence[str]], list[str]]:
    """Leave out columns until the rest fits."""
    left_out: list[str] = []
    for name in spare:
        if fits(columns, rows, unfolded=unfolded):
            break
        keep = [index for index, column in enumerate(columns) if column != name]
        left_out += [name] if len(keep) < len(columns) else []
        columns, rows = [columns[index] for index in keep], [[row[index] for index in keep] for row in rows]
    return columns, rows, left_out


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]], *, unfolded: Collection[str]) -> int:
    widths = [
        max(len(part) for cell in (column, *cells) for part in ([cell] if column in unfolded else cell.split() or [""]))
        for column, *cells in zip(columns, *rows, strict=True)
    ]
    return sum(widths) + _GAP * (len(widths) - 1)


def _terminal_width() -> int | None:
    """Columns of the terminal that results are printed on; None where they go elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print(content: str | Table, *, to_stderr: bool = False) -> None:
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    # Piped output is not wrapped: a line a script reads must stay a line.
    piped = not stream.isatty()
    console = Console(file=stream, highlight=False, width=_PIPED_WIDTH if piped else None)
    if isinstance(content, str):
        console.print(styled(content), soft_wrap=piped)
    else:
        console.print(content)
