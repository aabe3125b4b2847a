"""Every command of `deepcolor` as a page of Markdown, from what `--help` says of it: `python -m website.commands`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from deepcolor.cli.app import app

_INTRO = """\
# Commands

Written from the code when the site is built; `deepcolor COMMAND --help` says the same in a terminal.

Every command ends with exit code 0, with 2 for a mistake of its user, which is told in one line, or with 1 for anything
else; `Ctrl-C` is 130.
"""
_EXTRA = re.compile(r"\s*\[(?P<parts>(?:env var|default|required)[^\[\]]*(?:\[[^\]]*\])?[^\]]*)\]\s*$")
"""What is appended to the help of a parameter: its variable, its default, its range."""
_MARKUP = re.compile(r"\[/?(?:bold|dim|italic)\]")


def page() -> str:
    """Return the page: the commands by panel, in the order of `deepcolor --help`."""
    root = get_command(app)
    panels: dict[str, list[str]] = {}
    for words, command in commands():
        top = root.commands[words[0]]  # type: ignore[attr-defined]
        panels.setdefault(str(top.rich_help_panel), []).append(_section(words, command))
    return "\n".join([_INTRO, *(f"## {panel}\n\n{chr(10).join(parts)}" for panel, parts in panels.items())])


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that does something, with its words: `("data", "prepare")`."""
    yield from _below(get_command(app), ())


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield words, command
        return
    for name, child in children.items():
        yield from _below(child, (*words, name))


def _section(words: tuple[str, ...], command: Any) -> str:
    name = " ".join(["deepcolor", *words])
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    said, _, examples = _MARKUP.sub("", inspect.cleandoc(command.help or "")).partition("\nExamples\n")
    parts = [f"### {name}", "", said.strip(), "", "```text", usage, "```", ""]
    if examples.strip():
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        parts += ["```bash", *lines, "```", ""]
    for title, kind in (("argument", "argument"), ("option", "option")):
        shown = [one for one in command.params if one.param_type_name == kind and not one.hidden]
        if rows := [_row(one, context) for one in shown]:
            parts += [f"| {title} | meaning | without it |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(parts)


def _row(parameter: Any, context: Any) -> str:
    names, said = parameter.get_help_record(context) or (parameter.name, "")
    found = _EXTRA.search(said := _MARKUP.sub("", said).replace("\\[", "["))
    extra = dict(part.split(": ", 1) for part in found["parts"].split("; ") if ": " in part) if found else {}
    meaning = said[: found.start()] if found else said
    if variable := extra.get("env var"):
        meaning += f" Or the variable `{variable}`."
    without = "required" if parameter.required else extra.get("default", "").strip("()")
    cells = (f"`{names}`", meaning, without)
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
