from __future__ import annotations

import resource
from pathlib import Path

import pytest

from deepcolor.atomic import write_atomically, write_folder_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Content is written, and replaced, with missing folders created and nothing else left behind."""
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """If the disk refuses the new content, the old one stays and no temporary file does; the same for folders."""
    write_atomically(tmp_path / "file", b"old")
    write_folder_atomically(tmp_path / "folder", {"file": b"old"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(tmp_path / "file", bytes(1000))
        with pytest.raises(OSError, match="File too large"):
            write_folder_atomically(tmp_path / "folder", {"other": b"", "file": bytes(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "folder" / "file").read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A folder holds exactly what was written last."""
    write_folder_atomically(tmp_path / "folder", {"one": b"1", "two": b"2"})
    write_folder_atomically(tmp_path / "folder", {"two": b"22"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()} == {"two": b"22"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
