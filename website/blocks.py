"""What the code blocks of a page say: the files that it has its reader write, and the commands that it has them run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"^```\w+\n# (?P<file>[\w./-]+\.\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(
    r"^```(?P<kind>\w*)[^\n]*\n(?P<fenced>.*?)^```$|(?<=\n\n)(?P<indented>(?: {4}[^\n]*\n|\n(?= {4}))+)",
    re.MULTILINE | re.DOTALL,
)
_SHELL = {"bash", "sh", "shell"}
_ENDS = {"|", "||", "&&", "&", ";", ">", "<"}
_STARTS = re.compile(r"^(?:\w+=\S*|\$)$")


@dataclass(frozen=True)
class Line:
    """A line of shell, joined where it goes on below."""

    text: str
    number: int
    """Where it begins in its page, from 1."""


def files(text: str) -> dict[str, str]:
    """Return the files that a page shows: the blocks whose first line is a comment with a file's name, by that."""
    return {block["file"]: block["text"] for block in _FILE.finditer(text)}


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the files that a page shows below a folder."""
    paths = []
    for name, content in files(page.read_text(encoding="utf-8")).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        paths.append(path)
    return paths


def lines(text: str) -> list[Line]:
    """Return every line of shell of a page: of its indented blocks, and of those that are fenced as shell."""
    found = []
    for block in _BLOCK.finditer(text):
        if block["indented"] is None and block["kind"] not in _SHELL:
            continue
        number = text.count("\n", 0, block.start("fenced" if block["indented"] is None else "indented")) + 1
        joined, begun = "", number
        for each in (block["fenced"] or block["indented"]).splitlines():
            joined, begun = (joined + each.strip(), begun) if joined else (each.strip(), number)
            number += 1
            if joined.endswith("\\"):
                joined = joined[:-1]
                continue
            if joined:
                found.append(Line(joined, begun))
            joined = ""
    return found


def calls(line: str, *, of: str = "deepcolor") -> list[list[str]]:
    """Return the words that a line of shell hands to a program, for each time that it calls it.

    Args:
        line: As it stands in a page; what is no shell at all, such as a table, calls nothing.
        of: The program.
    """
    try:
        words = _split(line)
    except ValueError:
        return []
    found: list[list[str]] = []
    at_start, inside = True, False
    for word in words:
        if word in _ENDS:
            at_start, inside = True, False
        elif at_start and word == of:
            found.append([])
            at_start, inside = False, True
        elif inside:
            found[-1].append(word)
        elif not _STARTS.match(word):
            at_start = False
    return found


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)
