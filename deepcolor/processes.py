"""Child processes that start with their libraries imported: forked from a server that imported them once."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import deepcolor
from deepcolor.limits import check_room
from deepcolor.memory import keep_freed_memory
from deepcolor.scratch import name_what_is_left_behind, process_folder

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How children are started; where nothing can be forked, each child imports everything itself."""

# torch.optim imports the compiler with the first optimizer, which takes more than a second.
TRAINING = ("deepcolor.training.advance", "torch._dynamo", "deepcolor.execution.worker")
DECODING = ("deepcolor.data.cache.decode",)
"""What the children that train, and those that decode pictures, import; it takes seconds."""

_imported: list[str] = []
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_END_S = 5.0
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# A server with threads could not be forked safely; children are given their number of threads. Nothing that happens to
# be in the current folder is imported.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}


def start_server(*modules: str) -> None:
    """Start the server that children are forked from, in the background; do nothing if it is running.

    If it dies, it is replaced when the next child is started.

    Args:
        modules: Imported by the server, and so available in every child from the start; a replacement imports all
            modules that were ever asked for.
    """
    if METHOD != "forkserver":
        return
    from multiprocessing import forkserver

    _imported.extend(module for module in modules if module not in _imported)
    multiprocessing.set_forkserver_preload(_imported)
    name_what_is_left_behind()
    server: Any = forkserver._forkserver  # noqa: SLF001  # as in `_ensure_running`
    server.ensure_running = partial(_ensure_running, server)
    forkserver.connect_to_new_process = partial(_connect_to_new_process, server)
    server.ensure_running()


def _ensure_running(server: Any) -> None:
    """Start the server if it is not running; multiprocessing calls this for every child.

    On its own, multiprocessing also restarts a dead server, but from whichever thread comes first: with that thread's
    signals, and without the environment that the children need.
    """
    if _runs(server):
        return
    with _set_up_for_the_server():
        type(server).ensure_running(server)


def await_end_of_server() -> None:
    """Wait for a server to end after it broke off a start: it is ending, and must be replaced, not asked again."""
    if METHOD != "forkserver":
        return
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver  # noqa: SLF001
    deadline = time.monotonic() + _LONGEST_END_S
    while _runs(server) and time.monotonic() < deadline:
        time.sleep(0.01)


def _runs(server: Any) -> bool:
    pid = server._forkserver_pid  # noqa: SLF001
    return pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _connect_to_new_process(server: Any, descriptors: list[int]) -> tuple[int, int]:
    """Ask the server for a child that takes over these descriptors; returns what multiprocessing's own function does.

    A pool that loses a child closes its descriptors, even while another thread is starting the next child with them. A
    request without descriptors would end the server, and all its children with it, so they are duplicated first.
    """
    held: list[int] = []
    try:
        held.extend(map(os.dup, descriptors))
        pipes: tuple[int, int] = server.connect_to_new_process(held)
        return pipes
    finally:
        for descriptor in held:
            os.close(descriptor)


def import_path() -> list[str]:
    """Where this process imports from, for its children: without the current folder, unless deepcolor is in it."""
    here, home = Path.cwd(), Path(deepcolor.__file__).parent.parent
    return [place for place in sys.path if Path(place).absolute() != here or home == here]


def decoding_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of this many processes, each with one torch thread, that ignore Ctrl-C.

    Raises:
        LimitError: This shell does not allow that many.
    """
    check_room(workers=processes)
    start_server(*DECODING)
    return ProcessPoolExecutor(processes, multiprocessing.get_context(METHOD), initializer=_set_up_child)


@contextmanager
def plain_pool(processes: int) -> Iterator[Callable[..., Future[Any]]]:
    """Start processes that import what their tasks need themselves, torch not included, and ignore Ctrl-C.

    Yields:
        Submits a task: a module-level function, and its arguments.
    """
    name_what_is_left_behind()
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_set_up_child)

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with _set_up_for_the_server():  # A task that finds all processes busy starts another.
            return pool.submit(function, *arguments)

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold back signals to stop until the block ends, in the main thread: while a pool starts its children.

    An exception raised halfway would leave a child that the pool does not know of. The pool would then tell another
    child to end in its place, and wait for that one forever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = {number: handler for number in _INTERRUPTS if callable(handler := signal.getsignal(number))}
    held: list[int] = []
    for number in heard:
        signal.signal(number, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        # Also after a failed start: a signal sent to all processes of a job ends the children first.
        for late in held:
            heard[signal.Signals(late)](late, None)


def end_with_server() -> None:
    """End this process when the server that forked it ends: without the server, nobody would learn of its end.

    The process that asked for this one then considers it dead, and starts another in its place.
    """
    if METHOD == "forkserver" and sys.platform == "linux":
        server = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)


def _set_up_child() -> None:
    keep_freed_memory()
    end_with_server()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it ends, however it ended: a pool's child would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _set_up_for_the_server() -> Iterator[None]:
    """Set, for the time of the block, what the server and its children inherit from the process that starts them."""
    environment = {**_ENVIRONMENT, "TMPDIR": str(process_folder())}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    # Ctrl-C and the closing of a terminal reach all of its processes, and only the driver decides what they mean.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
