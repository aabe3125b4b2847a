from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepcolor import scratch
from deepcolor.scratch import process_folder, remove_left_behind, temporary_folder

OWNER = """
import sys, tempfile
from deepcolor import scratch
scratch.claim()
print(tempfile.mkdtemp(), scratch.process_folder(), flush=True)
sys.stdin.read()
"""

OUTLIVED = """
import sys
from pathlib import Path
from deepcolor import scratch
from deepcolor.service import orders
scratch.claim()
sys.executable = sys.argv[2]
orders._launch(b"", Path(sys.argv[1])).wait()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, used by this process and those that it starts."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch, "_folders", {})
    return tmp_path


@pytest.fixture
def owner(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has claimed its temporary files."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    )
    yield process
    process.kill()
    process.communicate()


def folder_of(owner: subprocess.Popen[str]) -> Path:
    assert owner.stdout is not None
    made, folder = map(Path, owner.stdout.readline().split())
    assert made.parent == folder, "what a library makes lies elsewhere"
    return folder


def semaphore_of(folder: Path) -> Path:
    semaphore = Path("/dev/shm") / f"sem.{folder.name}-abc"
    semaphore.touch()
    return semaphore


def test_what_a_killed_process_left_goes_with_the_next_start(root: Path, owner: subprocess.Popen[str]) -> None:
    """Its folder and its semaphores stay while it lives, and are removed by the next process once it is dead."""
    folder = folder_of(owner)
    semaphore = semaphore_of(folder)
    remove_left_behind(root)
    assert folder.is_dir()
    assert semaphore.exists()
    owner.kill()
    owner.communicate()
    assert folder.is_dir()
    assert process_folder().parent == root
    assert not folder.exists()
    assert not semaphore.exists()


def test_a_process_that_ends_takes_its_folder_along(root: Path, owner: subprocess.Popen[str]) -> None:
    """Nothing is left for the next process to do."""
    folder = folder_of(owner)
    owner.communicate("")
    assert not folder.exists()
    assert list(root.iterdir()) == []


def test_an_owner_that_cannot_be_seen_is_known_by_its_lock(root: Path) -> None:
    """A process of another container has no entry here, or another's: its lock keeps its folder; a reused number of a
    process does not.
    """
    hidden, gone = (root / f"deepcolor-{os.getpid()}-{start}-0123abcd" for start in (1, 2))
    for folder in (hidden, gone):
        folder.mkdir()
        (folder / ".lock").touch()
    with (hidden / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_left_behind(root)
    assert hidden.is_dir()
    assert not gone.exists()


def test_nothing_else_is_touched(root: Path) -> None:
    """Folders of other names, files, links and a folder that is being made stay, and what a link leads to."""
    (root / "deepcolor-1-2").mkdir()
    (root / "deepcolor-1-2-0123abcdx").mkdir()
    (root / "deepcolor-4-5-0123abcd").touch()
    (root / "deepcolor-999999999-5-0123abcd").mkdir()
    (root / "photos").mkdir()
    (root / "photos" / ".lock").touch()
    (root / "deepcolor-999999999-6-0123abcd").symlink_to(root / "photos")
    before = sorted(root.rglob("*"))
    remove_left_behind(root)
    assert sorted(root.rglob("*")) == before


def test_a_folder_is_for_its_user_alone_and_goes_after_use(root: Path) -> None:
    """Only its user can enter it; what is made for one purpose is removed afterwards, whatever is in it."""
    with temporary_folder("png") as folder:
        (folder / "picture.png").touch()
        assert folder.parent == process_folder()
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_socket_has_a_short_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If temporary files go to a long path, sockets go to a folder of this process in /tmp."""
    long = root / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    assert process_folder().parent == long
    assert scratch.socket_folder().parent == Path("/tmp")
    assert scratch.socket_folder() == scratch.socket_folder()
    scratch._remove_own((os.getpid(), Path("/tmp")))


def test_what_may_outlive_a_process_has_its_files_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that the service has started keeps its temporary files when the service is killed and cleaned up after:
    they are not in the service's folder. Other processes that it starts have theirs there.
    """
    log, says = tmp_path / "log", tmp_path / "says"
    says.write_text('#!/bin/sh\necho "$TMPDIR"\n')
    says.chmod(0o755)
    subprocess.run([sys.executable, "-c", OUTLIVED, str(log), str(says)], check=True, cwd="/")
    assert log.read_text().strip() == str(root)
    monkeypatch.setattr(scratch, "_before", {})
    monkeypatch.delenv("TMPDIR")
    scratch.claim()
    assert os.environ["TMPDIR"] == str(process_folder())
    assert "TMPDIR" not in scratch.outside(os.environ)
    assert scratch.outside({"HOME": "/home/ann"}) == {"HOME": "/home/ann"}
