"""Every text file is UTF-8, whatever the locale says, and every terminal is shown what it can show."""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepcolor
from deepcolor.cli import console
from deepcolor.printable import as_unicode


def _careless(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that read or write text in the locale's encoding."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(word.arg in {"encoding", None} for word in call.keywords):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        mode = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        opens = name in {"open", "fdopen", "NamedTemporaryFile"} and mode and not any("b" in one for one in mode)
        asks = name in {"run", "Popen", "check_output"} and any(
            word.arg in {"text", "universal_newlines"} for word in call.keywords
        )
        if name in {"read_text", "write_text"} or opens or asks:
            yield call


def test_no_text_file_is_read_or_written_by_the_locale() -> None:
    """Everything in the package that reads or writes text says in which encoding."""
    folder = Path(deepcolor.__file__).parent
    found = [
        f"{path.relative_to(folder)}:{call.lineno}"
        for path in folder.rglob("*.py")
        for call in _careless(ast.parse(path.read_bytes()))
    ]
    assert found == []


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a terminal cannot show is written out, and costs no command its result."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    console.fit_streams()
    console.result("2.4e-01 ± 6.1e-03 für 🎨", {})
    assert raw.getvalue() == b"2.4e-01 +- 6.1e-03 f\\xfcr \\U0001f3a8\n"


def test_words_of_the_command_line_are_read_as_utf_8() -> None:
    """What a plain C locale made of a word beyond ASCII becomes that word again; a byte that is not UTF-8 is marked."""
    assert as_unicode("Maße 🎨".encode().decode("ascii", "surrogateescape")) == "Maße 🎨"
    assert as_unicode(b"\xff".decode("ascii", "surrogateescape")) == "�"
    assert as_unicode("Maße 🎨") == "Maße 🎨"
