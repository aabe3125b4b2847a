"""The `deepcolor` command in processes that can be hurt: killed at a chosen call, short of space, in another time.

The command is the real one with its real databases; a formula takes the place of the networks where a test says so.
Processes are forked from a server that has imported this module (`tests/conftest.py`), so that a start costs little.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import importlib
import inspect
import itertools
import multiprocessing
import os
import resource
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Imported here for the server: every process forked from it has them already.
import deepcolor.app.sweep
import deepcolor.data.cache.decode
import deepcolor.data.cache.stored
import deepcolor.report.writing
import deepcolor.search.driver.loop
import deepcolor.training.advance  # noqa: F401
from deepcolor.execution import devices
from deepcolor.service import child, orders
from deepcolor.tracking import store
from tests.processes import WAIT_S
from tests.reporting import draw_nothing
from tests.running import StandBy, as_new_process, run_one, server_stands_by, writer_stands_by
from tests.search.trivial import trivial

store.prepare_environment()
for _module in (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "matplotlib.figure",
    "optuna.importance",
    "sklearn.ensemble",
):
    importlib.import_module(_module)

ON_TERMINAL = b"on a terminal"


@dataclass(frozen=True)
class Moment:
    """A call at which signals reach a process: -9, also its driver, where it is the one that writes to MLflow."""

    owner: str
    """Where the function lies: `module:Class` or `module`."""
    function: str
    nth: int = 1
    after: bool = False
    """Die when the call has done its work, instead of before it."""
    signals: tuple[int, ...] = (signal.SIGKILL,)
    """Sent one after the other."""


@dataclass(frozen=True)
class Faults:
    """What is wrong with the world of one process."""

    dies_at: Moment | None = None
    clock_shift_s: float = 0.0
    """Added to the wall clock."""
    largest_file_bytes: int | None = None
    """No file can grow beyond this: what a full disk does to those who write, on any file system."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[int] = ()
    """Signals that are ignored when the command starts, as `nohup` does it."""
    submissions: int = 0
    """How many processes a service may start for what is submitted to it: they are forked, too."""
    formula: bool = True
    """Train by `tests.search.trivial` instead of with a network."""


@dataclass
class Command:
    """A command that runs, or has run, in a process of its own."""

    process: Any
    output: Path

    def wait(self) -> int:
        """Wait for its end and return the exit code; a signal's number is negative."""
        self.process.join(WAIT_S)
        assert self.process.exitcode is not None, f"still running\n{self.text}"
        return int(self.process.exitcode)

    def ends(self, code: int) -> str:
        """Wait for its end, check the exit code, and return what it printed."""
        got = self.wait()
        assert got == code, f"exit code {got}\n{self.text}"
        return self.text

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


_numbers = itertools.count()
_CONTEXT = multiprocessing.get_context("forkserver")


def start(folder: Path, *words: str, faults: Faults | None = None) -> Command:
    """Start `deepcolor` with `words` in `folder`, as the leader of a process group."""
    return start_call(run_one, words, folder=folder, faults=faults)


@dataclass
class Terminal:
    """A terminal of its own for a command, and all that was written to it."""

    command: Command
    master: int
    written: bytes = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, text: bytes) -> None:
        """Read until a text has been written."""
        wait_until(lambda: self._read() and text in self.written, f"{text!r} on the terminal: {self.written!r}")

    def close(self) -> None:
        """Hang up: what runs on it gets SIGHUP, and can write no more."""
        os.close(self.master)

    def ends(self, code: int) -> bytes:
        """Wait for the command's end, check its exit code, and return all that was written."""
        wait_until(lambda: not (self._read() and self.command.process.is_alive()), "the command on a terminal ends")
        self.command.ends(code)
        self._read()  # What it said between the last look and its end.
        return self.written

    def _read(self) -> bool:
        while select.select([self.master], [], [], 0.02)[0]:
            try:
                self.written += os.read(self.master, 65536)
            except OSError:  # Nobody has it open any more.
                break
        return True


def start_on_terminal(folder: Path, *words: str, faults: Faults | None = None, columns: int = 100) -> Terminal:
    """Start `deepcolor` with `words` as the only program of a new terminal."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    command = start_call(_main_on_terminal, words, os.ttyname(slave), folder=folder, faults=faults)
    terminal = Terminal(command, master)
    terminal.wait_for(ON_TERMINAL)
    os.close(slave)
    return terminal


def start_call(
    function: Callable[..., object],
    *arguments: Any,
    folder: Path,
    faults: Faults | None = None,
    output: Path | None = None,
) -> Command:
    """Start a module's function in `folder`, in a process as `start` makes it; what it says goes to a file there."""
    output = output or folder / f"output-{next(_numbers)}.txt"
    process = _CONTEXT.Process(target=_run, args=(function, arguments, folder, faults or Faults(), output))
    process.start()
    return Command(process, output)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` when it never comes."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def _main_on_terminal(words: Sequence[str], name: str) -> None:
    descriptor = os.open(name, os.O_RDWR)  # The first one that a session's leader opens is its own.
    for standard in (0, 1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    os.environ["TERM"] = "xterm-256color"
    sys.stdout.write(f"{ON_TERMINAL.decode()}\n")
    sys.stdout.flush()
    run_one(words)


def _run(function: Callable[..., object], arguments: Sequence[Any], folder: Path, faults: Faults, output: Path) -> None:
    as_new_process()
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    for name in ("MLFLOW_TRACKING_URI", "FORCE_COLOR", "DEEPCOLOR_WORKSPACE"):
        os.environ.pop(name, None)
    os.environ |= {"OMP_NUM_THREADS": "1", **faults.environment}
    time.tzset()
    _arrange(faults)
    function(*arguments)


def _arrange(faults: Faults) -> None:
    if faults.formula:
        devices.make_executor = functools.partial(devices.make_executor, run=trivial)
    draw_nothing()
    if faults.largest_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (faults.largest_file_bytes,) * 2)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in faults.ignored:
        signal.signal(number, signal.SIG_IGN)
    if faults.clock_shift_s:
        _shift_clock(faults.clock_shift_s)
    server_stands_by()
    if faults.submissions:
        _submissions_stand_by(faults.submissions)
    driver, moment = os.getpid(), faults.dies_at
    writer_stands_by(lambda: _die_at(moment, also=(driver,)) if moment is not None else None)
    if moment is not None:
        _die_at(moment)


def _submissions_stand_by(count: int) -> None:
    """Have processes at hand that become those of submissions, with all imported that they need."""

    def become(message: bytes, descriptors: list[int]) -> None:
        as_new_process()
        for standard in (1, 2):
            os.dup2(descriptors[0], standard)
        server_stands_by()
        writer_stands_by()
        read, write = os.pipe()
        with os.fdopen(write, "wb") as pipe:
            pipe.write(message)
        sys.stdin = os.fdopen(read)
        try:
            child.main()
        finally:
            atexit._run_exitfuncs()  # What is forked ends without.

    ready = [_SubmissionStandsBy(become) for _ in range(count)]

    def launch(content: bytes, log: Path) -> orders.Child:
        with log.open("ab") as said:
            taken = ready.pop()
            assert taken.ask(content, [said.fileno()])
            return taken

    orders._launch = launch


class _SubmissionStandsBy(StandBy):
    """Like a `Popen`."""

    def poll(self) -> int | None:
        try:
            return None if os.waitpid(self.pid, os.WNOHANG) == (0, 0) else 0
        except ChildProcessError:
            return 0


def _shift_clock(shift_s: float) -> None:
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + shift_s
    time.time_ns = lambda: nanoseconds() + int(shift_s * 1e9)


def _die_at(moment: Moment, also: Sequence[int] = ()) -> None:
    module, _, name = moment.owner.partition(":")
    owner: Any = importlib.import_module(module)
    owner = getattr(owner, name) if name else owner
    original = getattr(owner, moment.function)
    calls = itertools.count(1)

    @functools.wraps(original)
    def dying(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == moment.nth
        result = None if last and not moment.after else original(*args, **kwargs)
        if last:
            for process in (*also, os.getpid()):
                for number in moment.signals:
                    os.kill(process, number)
        return result

    # A class's own functions are looked up in it, to find out whether they belong to the class.
    static = isinstance(inspect.getattr_static(owner, moment.function), staticmethod)
    setattr(owner, moment.function, staticmethod(dying) if static else dying)
