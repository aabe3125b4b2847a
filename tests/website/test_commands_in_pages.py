"""Every command that a page of the documentation gives can be given so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import deepcolor
from deepcolor.cli.app import app
from deepcolor.config.load import load_pipeline, load_sweep
from website import commands
from website.blocks import calls, files, lines, write_files

ROOT = Path(deepcolor.__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
INLINE = re.compile(r"`(deepcolor [a-z][^`\n]*)`")
TEST = re.compile(r"`(?P<file>(?:tests/)?[\w/]*test_\w+\.py)?(?:::)?(?P<name>test_\w+)?`")
ELSEWHERE = {"sweep.yaml", "rates-again.yaml", "FILE"}
"""Sweeps that pages name without showing them."""


@cache
def root() -> Any:
    """The command line, with all of its commands."""
    return get_command(app)


def given(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every call of deepcolor in a page, with where it stands."""
    text = page.read_text(encoding="utf-8")
    for line in lines(text):
        for words in calls(line.text):
            yield f"{page.name}:{line.number}", words
    for found in INLINE.finditer(text):
        number = text.count("\n", 0, found.start()) + 1
        for words in calls(found[1].replace("\\|", "|")):
            yield f"{page.name}:{number}", words


def parsed(words: list[str]) -> tuple[str, dict[str, Any], list[str]]:
    """A call as the command line reads it, without running it: which command, its options, its arguments.

    Raises:
        Exception: Whatever the parser has to say of an unknown option, or one without its value.
    """
    command, name = root(), ""
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no command {' '.join([name, words[0]]).strip()}"
        name, command, words = f"{name} {words[0]}".strip(), command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or not words
    if hasattr(command, "commands"):  # A page that speaks of a group.
        return name, {}, []
    parser = command.make_parser(typer.Context(command, info_name=name))
    options, left, _ = parser.parse_args(args=[word.strip("[]") for word in words if word not in {"...", "…"}])
    taken = [one for one in command.params if one.param_type_name == "argument"]
    given_ = [value for one in taken for value in _flat(options.get(one.name))]
    assert not left, f"{name} takes no more arguments; got {left}"
    return name, options, given_


def _flat(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [each for one in value for each in _flat(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_can_be_given(page: Path, tmp_path: Path) -> None:
    """Each command is there, takes the options and arguments it is given, and the sweeps that it names take their
    overrides.
    """
    write_files(page, tmp_path)
    shown = files(page.read_text(encoding="utf-8"))
    for where, words in given(page):
        try:
            name, options, arguments = parsed(words)
        except Exception as error:  # noqa: BLE001  # The parser's errors have no class of their own; they say which option.
            pytest.fail(f"{where}: deepcolor {' '.join(words)}: {error}")
        if name in {"sweep", "plan", "pipeline", "submit", "slurm"} and arguments:
            check_sweep(where, arguments[0], options.get("override") or [], shown=shown, folder=tmp_path)


def check_sweep(where: str, file: str, overrides: list[str], *, shown: dict[str, str], folder: Path) -> None:
    """Load a sweep of the project, or one that a page shows, as a command does."""
    if file in ELSEWHERE or file.isupper():
        return
    path = folder / file if file in shown else ROOT / file
    assert path.is_file(), f"{where}: there is no {file}"
    load = load_pipeline if re.search(r"^pipeline:", path.read_text(encoding="utf-8"), re.MULTILINE) else load_sweep
    load(path, overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_else_that_is_run_is_there(page: Path) -> None:
    """A target of make is in the Makefile, a program of the project is a file of it, a module can be imported."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in lines(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{line.number}"
        for words in calls(line.text, of="make"):
            asked = {word for word in words if re.fullmatch(r"[a-z-]+", word)}
            assert asked <= targets, f"{where}: the Makefile has no {asked - targets}"
        for words in calls(line.text, of="python"):
            if words[:1] == ["-m"]:
                assert find_spec(words[1].partition(".")[0]), f"{where}: there is no {words[1]}"
            elif words[0].endswith(".py"):
                assert (ROOT / words[0]).is_file(), f"{where}: there is no {words[0]}"
        for program in re.findall(r"(?<![\w/.-])(?:docker|benchmarks)/[\w-]+\.(?:sh|py)", line.text):
            assert (ROOT / program).is_file(), f"{where}: there is no {program}"


@cache
def names_of_tests(file: Path) -> set[str]:
    """The names of the tests in a file."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    """What a claim rests on exists: a file of tests, and in it the test; a name alone is one of the file named last."""
    last: Path | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        for found in TEST.finditer(line):
            where = f"{page.name}:{number}: {found[0]}"
            if found["file"]:
                inside = found["file"] if "/" in found["file"] else f"tests/reliability/{found['file']}"
                last = ROOT / inside
                assert last.is_file(), where
            if found["name"]:
                assert last is not None, where
                assert found["name"] in names_of_tests(last), where


def test_the_page_of_commands_has_them_all() -> None:
    """Each command has its section, each of its options a row with its meaning, and what it is without it."""
    page = commands.page()
    for words, command in commands.commands():
        section = page.split(f"### deepcolor {' '.join(words)}\n")[1].split("\n### ")[0]
        assert "```bash\ndeepcolor " in section
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert len(rows) == sum(not one.hidden for one in command.params)
        for option in (name for one in command.params for name in one.opts if name.startswith("-")):
            assert any(re.search(rf"[ `,]{option}[ ,`]", row) for row in rows), (words, option)
        assert not re.search(r"\[/?bold|\[default|\[env var", section)
    assert "| `-o, --override KEY=VALUE` | Replace a value of the file; may be given several times. |" in page
