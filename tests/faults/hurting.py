"""The command in a process of its own, and what can happen to it: signals, lost processes, a full disk."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.faults.checker import processes_of
from tests.processes import descendants

LONGEST_S = 900.0
"""A command that runs longer is taken to hang; on a machine with a load of ten the longest takes a third of it."""
_MARK = "DEEPCOLOR_FAULTS"


class Process(Protocol):
    """What is used of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


@dataclass
class Run:
    """A command that runs, or has run."""

    process: Process
    output: Path
    mark: str

    @property
    def home(self) -> Path:
        return self.output.parent.resolve()

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self) -> int | None:
        """Wait for the end; None where it never comes."""
        try:
            return self.process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            for pid in processes_of(self.mark, self.home):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return None

    def family(self) -> list[int]:
        return descendants(self.process.pid)


def start(folder: Path, *words: str, mark: str, output: Path) -> Run:
    """Start `deepcolor` with `words` in `folder`, as the leader of a session, as a terminal would."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **own_environment(folder, mark)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "deepcolor", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Run(process, output, marked(mark))


def marked(mark: str) -> str:
    """How a mark stands in an environment."""
    return f"{_MARK}={mark}"


class Start(Protocol):
    """Starts `deepcolor` as `start` does."""

    def __call__(self, folder: Path, *words: str, mark: str, output: Path) -> Run: ...


def own_environment(folder: Path, mark: str) -> dict[str, str]:
    """What a command of a round has in its environment beside what all have."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"TMPDIR": str(temporary), _MARK: mark, "COLUMNS": "120"}


Hurt = Callable[[Run, random.Random], None]


def _driver(number: signal.Signals) -> Hurt:
    return lambda run, _: _send(run.process.pid, number)


def _group(number: signal.Signals) -> Hurt:
    def hurt(run: Run, _: random.Random) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, number)

    return hurt


def _everything(run: Run, _: random.Random) -> None:
    for pid in [run.process.pid, *run.family()]:
        _send(pid, signal.SIGKILL)


def _twice(run: Run, chance: random.Random) -> None:
    _send(run.process.pid, signal.SIGINT)
    time.sleep(chance.uniform(0, 2))
    _send(run.process.pid, signal.SIGINT)


def _pause_driver(run: Run, chance: random.Random) -> None:
    _pause(run.process.pid, chance)


def _pause_child(run: Run, chance: random.Random) -> None:
    if family := run.family():
        _pause(chance.choice(family), chance)


def _pause(pid: int, chance: random.Random) -> None:
    _send(pid, signal.SIGSTOP)
    time.sleep(chance.uniform(0.2, 3))
    _send(pid, signal.SIGCONT)


def _kill_child(run: Run, chance: random.Random) -> None:
    if family := run.family():
        _send(chance.choice(family), signal.SIGKILL)


def _fill_disk(run: Run, chance: random.Random) -> None:
    """Let no file of the command grow beyond a size, as on a full disk."""
    size = chance.choice([2_000, 20_000, 200_000])
    for pid in [run.process.pid, *run.family()]:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


STOPPED, KILLED, GOES_ON, NO_SPACE = {0, 130}, {0, -9}, {0}, {0, 2}
FAULTS: dict[str, tuple[Hurt, set[int]]] = {
    "kill the driver": (_driver(signal.SIGKILL), KILLED),
    "kill the group": (_group(signal.SIGKILL), KILLED),
    "kill everything": (_everything, KILLED),
    "Ctrl-C": (_group(signal.SIGINT), STOPPED),
    "Ctrl-C to the driver alone": (_driver(signal.SIGINT), STOPPED),
    "Ctrl-C twice": (_twice, STOPPED),
    "terminate the driver": (_driver(signal.SIGTERM), STOPPED),
    "terminate the group": (_group(signal.SIGTERM), STOPPED),
    "hang up the driver": (_driver(signal.SIGHUP), STOPPED),
    "hang up the group": (_group(signal.SIGHUP), STOPPED),
    "pause the driver": (_pause_driver, GOES_ON),
    "pause a child": (_pause_child, GOES_ON),
    "kill a child": (_kill_child, GOES_ON),
    "fill the disk": (_fill_disk, NO_SPACE),
}
"""What is done, and the exit codes that may follow; 0, as it may come when all is done."""


def settled(run: Run, *, within_s: float = 60.0) -> Iterator[str]:
    """Wait until no process of a run's round is left; say which are."""
    deadline = time.monotonic() + within_s
    while (left := processes_of(run.mark, run.home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, words in left.items():
        yield f"process left: {words[:160]}"
        _send(pid, signal.SIGKILL)
