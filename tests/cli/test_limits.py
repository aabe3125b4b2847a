"""What the machine refuses, and streams that take nothing: one line each, whatever the libraries make of it."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepcolor import limits
from deepcolor.errors import WorkspaceError
from deepcolor.execution.devices import make_executor
from deepcolor.execution.executor import failure
from deepcolor.limits import LimitError, check_room, hits_all, refusal
from deepcolor.search.driver.refusals import writing_below
from deepcolor.workspace import Workspace
from tests.cli.conftest import ENVIRONMENT
from tests.processes import WAIT_S

COMMAND = f"{sys.executable} -m deepcolor"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("data list --json >&-", 2, "standard output: must be open"),
        ("data list --json >/dev/full", 2, "No space left on device"),
        ("--help >/dev/full", 2, "standard output: must be open"),
        ("studies nope 2>&-", 2, ""),
        ("studies nope 2>/dev/full", 2, ""),
        ("data list --json 2>&-", 0, ""),
        ("data list --json 2>/dev/full <&-", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full_are_said_in_one_line(line: str, code: int, said: str, tmp_path: Path) -> None:
    """A closed or full standard output is an error in one line; what happens to messages harms no command."""
    done = shell(f"{COMMAND} {line}", tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == bool(said)
    assert said in done.stderr
    assert "fault in deepcolor" not in done.stderr
    if code == 0:
        assert done.stdout.strip() == "[]"


def test_a_closed_stream_does_not_leave_its_number_to_a_database(tmp_path: Path) -> None:
    """The files a command opens keep clear of 0, 1 and 2, so that what is printed never lands in one of them."""
    code = (
        "from deepcolor.cli import streams; streams.make_safe(); import os, sys\n"
        f"number = os.open({str(tmp_path / 'database')!r}, os.O_CREAT | os.O_RDWR)\n"
        "print('x'); os.write(1, b'x'); os.write(2, b'x'); sys.exit(number)"
    )
    done = shell(f'{sys.executable} -c "{code}" <&- >&- 2>&-', tmp_path)
    assert done.returncode > 2
    assert (tmp_path / "database").read_bytes() == b""


@pytest.mark.parametrize(
    ("which", "most", "said"),
    [(resource.RLIMIT_NOFILE, 32, "open files.*ulimit -n"), (resource.RLIMIT_AS, 2**30, "memory.*ulimit -v")],
)
def test_too_low_a_limit_is_said_before_any_process_starts(
    which: int, most: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every executor, with the limit's name and what is needed."""
    known = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (most, most) if asked == which else known(asked))
    for kind in ("serial", "local"):
        with pytest.raises(LimitError, match=said):
            make_executor(kind, workers=2, device="cpu")


def test_few_processes_are_counted_with_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system counts all threads of a user; the superuser is not bound."""
    bounds = {resource.RLIMIT_NPROC: (200, 200)}
    known = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda asked: bounds.get(asked) or known(asked))
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(limits, "threads_of_user", lambda: 100)
    check_room(workers=2)
    monkeypatch.setattr(limits, "threads_of_user", lambda: 170)
    with pytest.raises(LimitError, match=r"processes.*got 200, 170 in use \(ulimit -u\)"):
        check_room(workers=2)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    check_room(workers=2)


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(tmp_path: Path) -> None:
    """A low limit that this user may raise is no reason to end."""
    code = "from deepcolor.limits import allow_open_files as a; import resource as r; a(); print(r.getrlimit(7)[0])"
    done = shell(f'ulimit -S -n 64; {sys.executable} -c "{code}"', tmp_path)
    assert int(done.stdout) > 64


def _wrapped(cause: Exception, text: str) -> Exception:
    error = RuntimeError(text)
    error.__cause__ = cause
    return error


def _of_sqlite(path: Path) -> sqlite3.Error:
    database = sqlite3.connect(path)
    database.execute("create table t (x)")
    database.execute("pragma max_page_count = 2")
    try:
        database.execute("insert into t values (zeroblob(100000))")
    except sqlite3.Error as error:
        return error
    finally:
        database.close()
    raise AssertionError("it fitted")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda _: OSError(errno.EMFILE, "Too many open files"), "files"),
        (lambda _: OSError(errno.ENFILE, "Too many open files in system"), "files"),
        (lambda _: BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "processes"),
        (lambda _: RuntimeError("can't start new thread"), "processes"),
        (lambda _: MemoryError(), "memory"),
        (lambda _: ImportError("libtorch.so: failed to map segment from shared object"), "memory"),
        (lambda _: OSError(errno.ENOSPC, "No space left on device", "/x/y"), "space"),
        (lambda _: OSError(errno.EDQUOT, "Disk quota exceeded"), "space"),
        (lambda _: PermissionError(errno.EACCES, "Permission denied", "driver.json"), "rights"),
        (lambda _: OSError(errno.EROFS, "Read-only file system"), "rights"),
        (lambda _: OSError(errno.EIO, "Input/output error"), "device"),
        (_of_sqlite, "space"),
        (lambda _: _wrapped(OSError(errno.EMFILE, "Too many open files"), "Nanny failed to start."), "files"),
        (lambda _: RuntimeError("Cluster failed to start: [Errno 24] Too many open files"), "files"),
        (lambda _: ExceptionGroup("all", [ValueError(), OSError(errno.EMFILE, "Too many")]), "files"),
        (lambda _: FileNotFoundError(errno.ENOENT, "No such file", "x"), None),
        (lambda _: RuntimeError("CUDA out of memory: cannot allocate memory"), None),
        (lambda _: ValueError("a fault of our own"), None),
    ],
)
def test_what_the_system_refuses_is_known_however_it_is_wrapped(
    made: Callable[[Path], Exception], kind: str | None, tmp_path: Path
) -> None:
    """By number, by SQLite's code, by text, in causes and groups; what is no limit is not taken for one."""
    error = made(tmp_path / "database")
    found = refusal(error)
    assert (found.kind if found else None) == kind
    assert found is None or "\n" not in str(found)
    assert hits_all(error) == (kind in {"files", "processes"})


def test_a_worker_at_a_limit_ends_the_sweep_and_not_its_trial() -> None:
    """Every other trial would meet the same; of memory alone a setting may want less."""
    failed = failure("d", OSError(errno.EMFILE, "Too many open files"))
    assert failed.store_failed
    assert failed.reason.startswith("open files: ")
    assert not failure("d", MemoryError("x")).store_failed
    assert not failure("d", ValueError("x")).store_failed


def test_rights_taken_away_while_a_driver_runs_are_the_users_to_mend(tmp_path: Path) -> None:
    """One line that names the file, not a fault of ours."""
    with (
        pytest.raises(WorkspaceError, match=r"Permission denied \(.*driver\.json\)\. Fix its permissions"),
        writing_below(Workspace.at(tmp_path)),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "studies/s/driver.json")
