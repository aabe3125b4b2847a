"""Commands in processes of their own that need not import anything: they are forked from the tests' server, and so
are the process that writes to MLflow and the server that their own children are forked from.
"""

from __future__ import annotations

import atexit
import ctypes
import io
import json
import multiprocessing
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deepcolor.cli import console
from deepcolor.cli.app import main
from deepcolor.tracking import writer
from tests.processes import WAIT_S, Forked, launch_writer
from tests.reporting import draw_nothing

_CONTEXT = multiprocessing.get_context("forkserver")
_ANY_FILE = 0b1111
"""Capabilities with which root may do to any file what its permissions forbid: change owner, write, read, own it."""
_CAPABILITIES_V3 = 0x20080522
"""Of Linux's interface: twice 32 bits each of what may be used, what may be taken, and what a program inherits."""


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str


def run_commands(
    commands: Sequence[Sequence[str]], *, folder: Path, environment: Mapping[str, str], plain_user: bool = False
) -> list[Said]:
    """Run commands in one process, one after another, each as if it were alone.

    Args:
        commands: The words of each, without the program.
        folder: Where they are started.
        environment: What is added to this process's.
        plain_user: Run as a user with no more rights than a file's permissions give.
    """
    become = _run_all_without_rights if plain_user else run_all
    done = _forked(become, json.dumps(list(commands)), folder=folder, environment=_environment(environment))
    assert done.returncode == 0, done.stderr
    said = [Said(*json.loads(line)) for line in done.stdout.splitlines()]
    # What the processes behind a command wrote is nobody's in particular.
    return [*said[:-1], Said(said[-1].code, said[-1].out, said[-1].err + done.stderr)]


def run_command(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one command as the process's only one, in nothing but this environment; a sweep's report is not drawn."""
    return _forked(_run_one, list(words), folder=folder, environment={"OMP_NUM_THREADS": "1", **environment})


def as_new_process() -> None:
    """Make this forked process like a new one: a group of its own, default signals, no tracker at hand."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    tempfile.tempdir = None
    tracker: Any = resource_tracker._resource_tracker
    tracker._fd = None


class StandBy:
    """A process forked before this one has threads, to become another one that is asked for later; like a `Popen`."""

    def __init__(self, become: Callable[[bytes, list[int]], None]) -> None:
        """Fork it.

        Args:
            become: What it does with the message and the descriptors that it is sent.
        """
        self._socket, theirs = socket.socketpair()
        waiting = {signal.SIGINT, signal.SIGHUP}  # Only a process that has been asked for can be interrupted.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
        self.pid = os.fork()
        if self.pid == 0:
            with suppress(BaseException):
                self._socket.close()
                message, descriptors = _received(theirs)
                if descriptors:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                    become(message, descriptors)
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def ask(self, message: bytes, descriptors: Iterable[int]) -> bool:
        """Let it become what it was forked for, once; False where it has been asked before, or has died."""
        try:
            socket.send_fds(self._socket, [message], list(descriptors))
            self._socket.shutdown(socket.SHUT_WR)  # A copy of it is open in what was forked later.
        except OSError:
            return False
        finally:
            self._socket.close()
        return True

    def wait(self, timeout: float | None = None) -> None:
        deadline = time.monotonic() + (WAIT_S if timeout is None else timeout)
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("stand-by", timeout or WAIT_S)
            time.sleep(0.01)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _received(pipe: socket.socket) -> tuple[bytes, list[int]]:
    message, descriptors, _, _ = socket.recv_fds(pipe, 2**16, 4)
    while more := pipe.recv(2**16):
        message += more
    pipe.close()
    return message, list(descriptors)


def writer_stands_by(before: Callable[[], None] = lambda: None, *, sweeps: int = 1) -> None:
    """Have a process at hand for each of the first sweeps of this one, with MLflow imported, that writes to it.

    Args:
        before: What it does first.
        sweeps: For how many.
    """

    def write(_: bytes, descriptors: list[int]) -> None:
        os.setsid()
        before()
        finalizers: Any = weakref.finalize
        finalizers._registry.clear()  # Those of the process that it was forked from.
        writer.serve(descriptors[0])
        finalizers._exitfunc()  # As at the end of a program: the last to close a database puts it into one file.

    ready = [StandBy(write) for _ in range(sweeps)]

    def launch(pipe: Connection) -> Any:
        asked = ready.pop() if ready else None
        return asked if asked and asked.ask(b"-", [pipe.fileno()]) else launch_writer(pipe)

    writer._launch = launch


_SERVER = "from multiprocessing.forkserver import main; main("


def server_stands_by() -> None:
    """Have a process at hand that becomes the server of this one's children, with all imported that they need; if it
    dies and is replaced, the next one is a new process.
    """

    def serve(message: bytes, descriptors: list[int]) -> None:
        command, environment, mask = pickle.loads(message)
        os.environ.clear()
        os.environ.update(environment)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        exec(re.sub(r"main\(\d+, \d+", f"main({descriptors[0]}, {descriptors[1]}", command), {})

    ready, start = StandBy(serve), util.spawnv_passfds

    def started(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        command = str(args[-1])
        if command.startswith(_SERVER):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            if ready.ask(pickle.dumps((command, dict(os.environ), mask)), passfds):
                return ready.pid
        return start(path, args, passfds)

    util.spawnv_passfds = started


def run_all(text: str) -> None:
    """Run the commands of a JSON list; print for each its exit code and what it said."""
    environment, printed = dict(os.environ), sys.stdout
    for words in json.loads(text):
        if words[0] == "sweep":
            writer_stands_by()
        os.environ.clear()  # MLflow keeps the store it was last told of there.
        os.environ.update(environment)
        sys.argv, console.settings = ["deepcolor", *words], console.Settings()
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                main()
                code: Any = 0
            except SystemExit as end:
                code = end.code
            except Exception:  # noqa: BLE001  # With --debug, as Python would print it.
                traceback.print_exc()
                code = 1
        print(json.dumps([code or 0, out.getvalue(), err.getvalue()]), file=printed, flush=True)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**inherited, "OMP_NUM_THREADS": "1", **more}


def _forked(
    target: Any, what: Any, *, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="said-") as said:
        process = start_forked(target, what, folder=folder, environment=environment, said=Path(said))
        try:
            code = process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        out, err = ((Path(said) / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess([str(what)], code, out, err)


def start_forked(
    target: Callable[[Any], None], what: Any, *, folder: Path, environment: Mapping[str, str], said: Path
) -> Forked:
    """Start a module's function in a process like a new one, with the server of its children at hand.

    Args:
        target: The function.
        what: Its argument.
        folder: Where it is started.
        environment: All that it has.
        said: Folder for what it writes, in `out` and `err`.
    """
    process = _CONTEXT.Process(target=_begin, args=(target, what, folder, dict(environment), said))
    process.start()
    return Forked(process)


def _begin(target: Any, what: Any, folder: Path, environment: Mapping[str, str], said: Path) -> None:
    as_new_process()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    server_stands_by()
    try:
        target(what)
    finally:
        atexit._run_exitfuncs()  # What is forked ends without.


def run_one(words: Sequence[str]) -> None:
    """Run as the command with these words."""
    sys.argv = ["deepcolor", *words]
    main()


def _run_one(words: Sequence[str]) -> None:
    if words[0] in {"sweep", "pipeline"}:
        writer_stands_by()
        draw_nothing()
    run_one(words)


def _run_all_without_rights(text: str) -> None:
    _give_up_rights()
    run_all(text)


def _give_up_rights() -> None:
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_ANY_FILE.bit_length()):  # For the programs that it will start.
        assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    header, held = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    for each in range(3):  # For itself.
        held[each] &= ~_ANY_FILE
    assert libc.capset(header, held) == 0, os.strerror(ctypes.get_errno())
