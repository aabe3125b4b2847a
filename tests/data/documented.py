"""Tables that a test measures and a document shows, between two marks."""

from __future__ import annotations

from pathlib import Path

Row = tuple[str, ...]


def write_table(document: Path, name: str, text: str) -> None:
    """Put a table into a document, between its marks."""
    content = document.read_text(encoding="utf-8")
    begin, end = _marks(name)
    before, _, rest = content.partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def rows_of(text: str) -> list[Row]:
    """Return the cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def documented_rows(document: Path, name: str) -> list[Row]:
    """Return the cells of the table that a document shows."""
    begin, end = _marks(name)
    return rows_of(document.read_text(encoding="utf-8").split(begin)[1].split(end)[0])


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin (make docs) -->", f"<!-- {name}: end -->"
