from __future__ import annotations

import io
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor import printable
from deepcolor.cli import console

BOTH = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
SERVER = "http://alice:{}@tracker:5000"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets noted by one test must not be hidden in the next."""
    monkeypatch.setattr(printable, "_known", set())


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host/x", "https://host/x"),
        ("https://token@host", "https://host"),
        ("http://me:pass@word@host:5000", "http://host:5000"),
        ("http://me:pass/word@host:5000", "http://host:5000"),
        ("http://me:p?a#s s@host:5000", "http://host:5000"),
        ("http://me:p%40ss@host", "http://host"),
        ("postgresql+psycopg2://me:secret@host/db?sslmode=require", "postgresql+psycopg2://host/db?sslmode=require"),
        ("postgresql+psycopg://ann@host:5433/db", "postgresql+psycopg://ann@host:5433/db"),
        ("postgresql+psycopg://ann:@host/db", "postgresql+psycopg://host/db"),
        ("postgresql://ann@host/db?password=secret", "postgresql://ann@host/db?password=***"),
        ("http://host/?password=secret&x=1", "http://host/?password=***&x=1"),
        ("http://host/?x=1&api_token=secret", "http://host/?x=1&api_token=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        (
            "http://127.0.0.1:5000/#/x?viewStateShareKey=deepcolor-a",
            "http://127.0.0.1:5000/#/x?viewStateShareKey=deepcolor-a",
        ),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    """User, password and secret parameters are left out, however they are written; everything else is kept."""
    assert printable.shown_uri(uri) == shown
    text = "cannot reach '{}', gave up"
    assert printable.without_secrets(text.format(uri.replace("s s", "ss"))) == text.format(shown)
    assert printable.has_secret(uri) == (shown != uri)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=4, max_size=30).filter(str.strip))
def test_no_part_of_a_noted_password_is_told(password: str) -> None:
    """Whatever a library repeats of a URI (as it was, unquoted, cut at a slash), the password is not in it."""
    for written in (password, quote(password, safe="")):
        uri = SERVER.format(written)
        printable.note_secrets(uri)
        for text in (f"no {uri} here", f"password={password!r}", f'"{written}"', shlex.join(["deepcolor", "x", uri])):
            left = printable.without_secrets(text)
            assert "@" in password or password not in left.replace("password", "").replace("deepcolor", "")
    printable._known.clear()


def test_a_part_that_a_parser_repeats_is_hidden() -> None:
    """A password with a slash makes its first part the port: the parser's complaint about it reveals nothing."""
    from urllib.parse import urlsplit

    uri = SERVER.format("hunter2/swordfish")
    printable.note_secrets(uri)
    with pytest.raises(ValueError, match="hunter2") as caught:
        _ = urlsplit(uri).port
    assert "hunter2" not in printable.without_secrets(str(caught.value))


def test_secrets_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow's variables hold is neither shown, nor given to a process that need not know it."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "swordfish")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter22@proxy:80")
    assert printable.without_secrets("basic swordfish via hunter22 (swordfishes)") == "basic *** via *** (swordfishes)"
    monkeypatch.setenv("DEEPCOLOR_STORAGE", "postgresql://ann:hunter22@db/x")
    hidden = {"MLFLOW_TRACKING_PASSWORD", "HTTPS_PROXY", "DEEPCOLOR_STORAGE"}
    assert not hidden & printable.environment_of_child().keys()


@pytest.mark.parametrize(
    ("given_words", "command", "needs"),
    [
        (
            ["--tracking-uri", SERVER.format("pw12")],
            "--tracking-uri http://tracker:5000",
            BOTH,
        ),
        (
            [f"--tracking-uri={SERVER.format('pw12')}"],
            "--tracking-uri=http://tracker:5000",
            BOTH,
        ),
        (["--tracking-uri", "postgresql://a:pw12@b/c"], "", "MLFLOW_TRACKING_URI"),
        (["--tracking-uri=http://b/?token=pw12"], "", "MLFLOW_TRACKING_URI"),
        (["--tracking-uri", "http://b"], "--tracking-uri http://b", None),
        (["--storage", "postgresql+psycopg://a@b/c"], "--storage postgresql+psycopg://a@b/c", None),
        (["--storage", "postgresql+psycopg://a:pw12@b/c"], "", "DEEPCOLOR_STORAGE"),
        (
            ["--storage=postgresql://a:pw12@b/c", "--tracking-uri", SERVER.format("pw12")],
            "--tracking-uri http://tracker:5000",
            f"DEEPCOLOR_STORAGE and {BOTH}",
        ),
    ],
)
def test_a_resume_line_works_without_its_secret(given_words: list[str], command: str, needs: str | None) -> None:
    """A command is shown without secrets, in a form that works the same once the variables it names are set."""
    arguments = ["deepcolor", "sweep", "my sweep.yaml", *given_words, "--quiet"]
    shown = " ".join(part for part in ("deepcolor sweep 'my sweep.yaml'", command, "--quiet") if part)
    assert printable.shown_command(arguments) == shown
    line = printable.resume_line(arguments)
    assert line.startswith(shown)
    assert "pw12" not in line
    assert (needs is None) == (line == shown)
    assert needs is None or f"{needs} first" in line


@given(st.text(st.characters(codec=None)))
def test_printed_text_does_nothing_to_a_terminal(text: str) -> None:
    """No control characters are left except line breaks and tabs, nor any that reverse the text's direction."""
    shown = printable.fit_to_print(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert not set(shown) & set("\u202e\u2066\u2028")
    shown.encode()


def test_the_console_swallows_and_interprets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets, emoji names and escape codes of outside text come out as they are, readable, in every kind of line."""
    name = "[bold]a[/bold] :smile: [/] \x1b[31mred\x07 b\udcff"
    shown = "[bold]a[/bold] :smile: [/] \\x1b[31mred\\x07 b\\udcff"
    for say in (console.note, console.warn, console.tell, console.fail):
        say(name)
    console.result(f"{console.bold('done')} {name}", {})
    console.table(name, (name,), [[name]])
    out, err = capsys.readouterr()
    assert [line.removeprefix("warning: ").removeprefix("error: ") for line in err.splitlines()] == [shown] * 4
    assert [line.strip() for line in out.splitlines()] == [f"done {shown}", shown, shown, shown]


def test_a_guarded_stream_hides_what_libraries_write(tmp_path: Path) -> None:
    """Tracebacks and log lines go through it; the rest of the stream is as it was."""
    printable.note_secrets(SERVER.format("swordfish"))
    stream = io.StringIO()
    guarded = printable.Guarded(stream)
    print("Authorization failed: swordfish", file=guarded)
    guarded.writelines(["swordfish\n"])
    assert (stream.getvalue(), guarded.isatty()) == ("Authorization failed: ***\n***\n", False)
