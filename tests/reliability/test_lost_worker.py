from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from distributed import SpecCluster

from deepcolor.execution.executor import Event, Executor, Failed, Finished, Progress
from deepcolor.execution.local import LocalExecutor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.training.trajectory import TrajectoryPaths
from tests.reliability.processes import wait_until
from tests.reliability.worker_runs import hungry, killed_on_the_way
from tests.search.trivial import trivial
from tests.training.conftest import Prepared, prepared  # noqa: F401  # a fixture


def ends(executor: Executor, count: int) -> list[Event]:
    """Wait until `count` segments have ended, and return their events."""
    found: list[Event] = []

    def enough() -> bool:
        events: Sequence[Event] = executor.events(0.2)
        found.extend(event for event in events if not isinstance(event, Progress))
        return len(found) >= count

    wait_until(enough, f"{count} segments end")
    return found


def test_a_killed_worker_gives_the_same_bytes(
    prepared: Prepared,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Killed with -9 in the middle of a checkpoint, a training ends once, with the weights and figures of one that
    nobody disturbed.
    """
    hurt, calm = (prepared.segment(tmp_path / name, to_epoch=5) for name in ("hurt", "calm"))
    hurt = replace(hurt, checkpoint_every_s=0.0)
    (tmp_path / "hurt").mkdir()
    outcomes = []
    executors: tuple[Executor, ...] = (LocalExecutor(killed_on_the_way, workers=1, threads=1), SerialExecutor())
    for executor, segment in zip(executors, (hurt, replace(calm, threads=1)), strict=True):
        try:
            executor.submit(segment)
            (event,) = ends(executor, 1)
        finally:
            executor.close()
        assert isinstance(event, Finished), event
        outcomes.append(event.outcome)
    assert (tmp_path / "hurt" / "died").exists()
    figures = [[row.metrics for row in outcome.history] for outcome in outcomes]
    assert figures[0] == figures[1]
    digest = hurt.trajectory.digest
    weights = [TrajectoryPaths(tmp_path / name, digest).checkpoint(5).read_bytes() for name in ("hurt", "calm")]
    assert weights[0] == weights[1]


def test_a_worker_that_is_slow_to_come_back_is_waited_for(
    prepared: Prepared,  # noqa: F811
    tmp_path: Path,
) -> None:
    """However long it takes to replace a lost worker, as on a busy machine, its segment is run again and ends."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "0.05s"}):  # Shorter than any process needs.
        executor = LocalExecutor(killed_on_the_way, workers=1, threads=1)
        try:
            executor.submit(replace(prepared.segment(tmp_path, to_epoch=5), checkpoint_every_s=0.0))
            (event,) = ends(executor, 1)
        finally:
            executor.close()
    assert isinstance(event, Finished), event


def test_a_worker_that_nobody_watches_over_any_more_is_replaced(
    prepared: Prepared,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Where Dask gives a worker up, for its replacement could not be started, another one is started all the same."""
    executor = LocalExecutor(trivial, workers=1, threads=1)
    try:
        executor.submit(prepared.segment(tmp_path / "before", to_epoch=2))
        ends(executor, 1)
        (cluster,) = [each for each in SpecCluster._instances if each.status.name == "running"]
        cluster.sync(cluster.workers[0].close)
        executor.submit(prepared.segment(tmp_path / "after", to_epoch=2))
        (event,) = ends(executor, 1)
    finally:
        executor.close()
    assert isinstance(event, Finished), event


@pytest.mark.parametrize(
    ("lr", "parts"),
    [
        (0.1, ["out of memory", "OutOfMemoryError", "20.00 GiB"]),
        (0.2, ["out of memory"]),
        (0.3, ["the worker process died 3 times", "lack of memory"]),
    ],
    ids=["of the GPU", "of the machine, refused", "of the machine, killed"],
)
def test_a_setting_that_wants_too_much_memory_fails_with_a_hint(
    prepared: Prepared,  # noqa: F811
    tmp_path: Path,
    lr: float,
    parts: list[str],
) -> None:
    """Its trial fails with the reason and what to change, after at most three tries, and the next one is trained."""
    executor = LocalExecutor(hungry, workers=1, threads=1)
    try:
        executor.submit(prepared.segment(tmp_path, lr=lr, to_epoch=2))
        (failed,) = ends(executor, 1)
        executor.submit(prepared.segment(tmp_path, lr=0.01, to_epoch=2))
        (finished,) = ends(executor, 1)
    finally:
        executor.close()
    assert isinstance(failed, Failed)
    assert isinstance(finished, Finished)
    for part in [*parts, "fewer feature_maps", "smaller batch_size"]:
        assert part in failed.reason
