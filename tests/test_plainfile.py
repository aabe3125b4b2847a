from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from deepcolor.errors import UserError
from deepcolor.plainfile import NotPlainError, check_plain, open_plain, read_plain


def test_an_ordinary_file_is_read_and_so_is_a_link_to_it(tmp_path: Path) -> None:
    """The whole content comes back, up to exactly the allowed size, through links too; the same when read in parts."""
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        assert read_plain(tmp_path / name, most_bytes=len(content)) == content
        assert check_plain(tmp_path / name) == len(content)
        with open_plain(tmp_path / name) as file:
            assert file.read() == content


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("folder", "a folder"),
        ("pipe", "a named pipe"),
        ("circle", "links that lead in a circle"),
        ("/dev/zero", "a device"),
        ("large", "11 bytes, more than the 10 allowed"),
        ("/proc/self/environ", "more than the 10 bytes allowed"),
    ],
)
def test_anything_else_is_one_error_at_once(tmp_path: Path, kind: str, said: str) -> None:
    """A folder, a pipe, a device, a circle of links, a file that is too large, one that does not say how large it is:
    refused in one line, without waiting, as an error that whoever expects an OSError catches too.
    """
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "large":
        path.write_bytes(bytes(11))
    with pytest.raises(NotPlainError) as caught:
        read_plain(path, most_bytes=10)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, OSError)
    assert caught.value.strerror == said
    assert str(caught.value) == f"file: must be an ordinary file; got {said} ({path}). Replace or remove it."
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.strerror) == (str(caught.value), said)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """What is missing is told apart from what is not a file."""
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "missing", most_bytes=10)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "nowhere", most_bytes=10)
