"""Child processes that start with their libraries imported: forked from a server that imported them once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from deepcolor.memory import keep_freed_memory

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How children are started; where nothing can be forked, each imports for itself."""

# torch.optim imports the compiler with the first optimizer, for a second and more.
TRAINING = ("deepcolor.training.advance", "torch._dynamo", "deepcolor.execution.worker")
DECODING = ("deepcolor.data.decode",)
"""What children that train, or that decode pictures, import; it takes seconds."""

# A server with threads could not be forked safely, and children are given theirs. What happens to lie in the present
# folder is not imported.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}


def start_server(*modules: str) -> None:
    """Start the server that children are forked from, in the background; nothing happens when it is running.

    Args:
        modules: Imported by the server, and so there in every child from the start.
    """
    if METHOD != "forkserver":
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # First: starting it would unblock the signal that is blocked below.
    with _set_up_for_the_server():
        forkserver.ensure_running()


def decoding_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of this many processes, each with one torch thread, and deaf to Ctrl-C."""
    start_server(*DECODING, *TRAINING)
    return ProcessPoolExecutor(processes, multiprocessing.get_context(METHOD), initializer=_set_up_child)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, in the main thread; for the moments in which a pool starts its children.

    Raised in between, it would leave a child that the pool knows nothing of, and the pool would wait for ever for one
    that it told to end in that child's place.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    for number in held:
        handler(number, None)


def _set_up_child() -> None:
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process with the one that started it, however that one ended: a pool's child would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _set_up_for_the_server() -> Iterator[None]:
    """Set for this moment what the server and its children take over from the process that starts them."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    # Ctrl-C reaches every process of a terminal, and the driver alone decides what it means.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
