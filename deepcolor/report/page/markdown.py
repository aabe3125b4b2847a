"""The tables of a report, and what is said beside them, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deepcolor.printable import as_unicode, fit_to_print
from deepcolor.report.page.rendering import PipelineShown, together
from deepcolor.report.page.study import StudyPage
from deepcolor.report.page.tables import Table
from deepcolor.report.page.telling import Rows


def markdown(pages: Sequence[StudyPage], pipeline: PipelineShown | None = None) -> str:
    """Return the text of a report.

    Args:
        pages: What is said of each study.
        pipeline: The one that they belong to.
    """
    parts = [part for table in together(pages, pipeline) for part in _table("##", table)]
    parts += [part for page in pages for part in _study(page)]
    return as_unicode(fit_to_print("\n\n".join(part for part in parts if part))) + "\n"


def _study(page: StudyPage) -> Iterator[str]:
    yield f"# {page.name}"
    yield _plain(page.description)
    yield _plain(page.answer)
    yield from map(_plain, page.judged)
    yield "## What was asked"
    yield _rows(page.asked)
    if page.space:
        yield from _table("###", page.space)
    yield from _table("##", page.leaderboard)
    if page.confirmation:
        yield from _table("##", page.confirmation)
        yield _plain(page.confirmed)
    yield "## What it cost"
    yield _rows(page.cost)
    yield "## Provenance"
    yield _rows(page.provenance)
    if page.command:
        yield f"Started with:\n\n    {page.command}"


def _table(heading: str, table: Table) -> Iterator[str]:
    yield f"{heading} {table.caption}"
    yield table.markdown()
    yield table.note


def _rows(rows: Rows) -> str:
    return "\n".join(f"- {name}: {_plain(value)}" for name, value in rows)


def _plain(text: str) -> str:
    """A text in one line that Markdown takes for nothing else."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("<", "\\<").replace("*", "\\*")
