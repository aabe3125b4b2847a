"""Processes that decode, and the server they are forked from, killed by a person or for lack of memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import active_children, forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from deepcolor import processes
from deepcolor.config.schema import DataConfig
from deepcolor.data.cache import build
from deepcolor.data.cache.stored import ensure_cache
from deepcolor.data.manifest import load_manifest
from deepcolor.errors import DataError
from deepcolor.execution.executor import Finished, Progress
from deepcolor.execution.local import LocalExecutor
from deepcolor.workspace import Workspace
from tests.execution.test_executors import segment
from tests.processes import is_alive
from tests.reliability import quick
from tests.reliability.conftest import Place
from tests.reliability.processes import start_call, wait_until

PORTIONS = 5
"""Of 24 pictures: three of the training split, and one of each of the others."""
CONFIG = DataConfig(name="faces", size_px=128)


def server() -> int:
    """The process that this one's children are forked from."""
    known: Any = forkserver._forkserver
    return int(known._forkserver_pid)


def decode(root: Path, victims: str, times: int) -> None:
    """Decode a workspace's faces; as often as told, kill those of one kind as soon as a decoder has started."""
    start, left = ForkServerProcess.start, times

    def start_and_kill(process: ForkServerProcess) -> None:
        nonlocal left
        start(process)
        if left:
            left -= 1
            pid = process.pid if victims == "decoder" else server()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

    build._fill = quick.fill
    for modules in ("DECODING", "TRAINING"):  # Nothing of it is used here, and it takes long.
        setattr(processes, modules, ())
    ForkServerProcess.start = start_and_kill  # type: ignore[method-assign, assignment]
    workspace = Workspace.at(root)
    try:
        print(ensure_cache(workspace, load_manifest(workspace, "faces"), CONFIG))
    except DataError as error:
        print(f"refused: {error}")
    wait_until(lambda: active_children() == [], "the processes that decoded end")


@pytest.mark.parametrize(("victims", "times"), [("decoder", 2), ("server", 1)])
def test_decoders_that_die_are_replaced_twice(place: Place, victims: str, times: int) -> None:
    """One or two losses, of decoders or of the server that forks them, cost time only, and every picture is decoded."""
    text = start_call(decode, place.root, victims, times, folder=place.root).ends(0)
    folder = Path(text.splitlines()[-1])
    assert (folder / "cache.json").is_file(), text
    assert len(list(folder.parent.glob("filled-*"))) == PORTIONS


def test_decoders_that_always_die_end_the_sweep(place: Place) -> None:
    """Where each decoder is killed, it is said how often and what to do, and nothing half decoded stays."""
    text = start_call(decode, place.root, "decoder", 1000, folder=place.root).ends(0)
    assert text.splitlines()[-1].startswith(
        "refused: decoding: its processes must live until it is done; they died 3 times, after 0 of"
    )
    assert list((place.root / "studies" / "datasets" / "faces" / "cache").glob(".tmp-*")) == []


def train_without_server(folder: Path) -> None:
    """Run a segment, and kill the server that its worker was forked from."""
    executor = LocalExecutor(quick.train, workers=1, threads=1)
    runs: Callable[[], list[int]] = lambda: [int(path.name.split("-")[1]) for path in folder.glob("run-*")]  # noqa: E731
    try:
        executor.submit(segment(folder, epochs=1, lr=0.1))
        wait_until(lambda: len(runs()) == 1, "the segment runs")
        (first,) = runs()
        os.kill(server(), signal.SIGKILL)
        wait_until(lambda: len(runs()) == 2, "the segment runs again")
        assert not is_alive(first), "two processes train one trajectory"
        (folder / "go-on").touch()
        ends: list[object] = []
        while not ends:
            ends = [event for event in executor.events(0.5) if not isinstance(event, Progress)]
        assert [type(event) for event in ends] == [Finished]
    finally:
        executor.close()


def test_a_fork_server_that_dies_under_workers_is_replaced(tmp_path: Path) -> None:
    """Its workers end with it, new ones are forked from a new one, and the segment that ran ends once."""
    start_call(train_without_server, tmp_path, folder=tmp_path).ends(0)
