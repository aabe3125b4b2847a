from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepcolor.cli.app import app
from deepcolor.errors import EXIT_USER_ERROR, UserError


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("sqlite://x.db", "sqlite:///PATH"),
        ("mlflow.db", "sqlite:///PATH"),
        ("./mlruns", "http://HOST:PORT"),
        ("http://", "http://HOST:PORT"),
        ("http://me:pa55/w0rd@host:5000", "%2F"),
    ],
)
@pytest.mark.parametrize("source", ["--tracking-uri", "MLFLOW_TRACKING_URI"])
def test_what_names_no_store_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, advice: str, source: str
) -> None:
    """The user's mistake, said as such: what it was given with, how it is written; nothing is made or started."""
    words = ["models", "--workspace", str(tmp_path)]
    if source == "--tracking-uri":
        words += [source, uri]
    else:
        monkeypatch.setenv(source, uri)
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UserError)
    assert done.exception.exit_code == EXIT_USER_ERROR
    message = str(done.exception)
    assert advice in message
    assert f"({source})" in message
    assert "w0rd" not in message
    assert list(tmp_path.iterdir()) == []
