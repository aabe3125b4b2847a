from __future__ import annotations

import itertools
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepcolor.app.how import How
from deepcolor.app.reporter import Silent
from deepcolor.app.supply import ClusterSupply
from deepcolor.config.schema import Sweep
from deepcolor.errors import ExecutorError
from deepcolor.execution import cluster, local, on_dask
from deepcolor.execution.devices import make_executor
from deepcolor.execution.executor import Event, Executor, Failed, Finished, Progress
from deepcolor.execution.local import LocalExecutor
from deepcolor.execution.post import moved
from deepcolor.execution.remote import ClusterExecutor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.training.trajectory import InitWeights, Segment, Trajectory
from deepcolor.workspace import Workspace
from tests.execution import unreadable
from tests.execution.runs import run
from tests.execution.team import Team, team_in
from tests.extending import write_files
from tests.processes import WAIT_S, is_alive
from tests.reliability.processes import wait_until

EXECUTORS: dict[str, Callable[[Path, Callable[[], Team]], Executor]] = {
    "serial": lambda _folder, _team: SerialExecutor(run),
    "local": lambda _folder, _team: LocalExecutor(run, workers=2, threads=1),
    # Workers that somebody has started who knows nothing of deepcolor.
    "dask": lambda folder, team: on_team(folder, team()),
    # From the page that explains how to write one.
    "own": lambda _folder, _team: make_executor("experiments/own/executors.py:Pool", workers=2, device="cpu", run=run),
}


def on_team(folder: Path, team: Team, say: Callable[[str], None] = print) -> ClusterExecutor:
    return ClusterExecutor(run, cluster=team.cluster, workspace=Workspace.at(folder), say=say)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A cluster with two bare workers."""
    with team_in(tmp_path_factory.mktemp("team")) as made:
        made.start_workers(2)
        yield made


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = EXECUTORS[request.param](tmp_path, lambda: request.getfixturevalue("team"))
    yield made
    made.close()


def segment(store: Path, *, epochs: int, lr: float) -> Segment:
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "x"}, "search": {"space": {"lr": [lr]}}}
    )
    return Segment(Trajectory(sweep.setting({"lr": lr}), "d"), to_epoch=epochs, patience=None, store=store, cache=store)


def outcomes(executor: Executor, count: int) -> list[Event]:
    """Collect the events until `count` segments have ended."""
    events: list[Event] = []
    deadline = time.monotonic() + WAIT_S
    while sum(not isinstance(event, Progress) for event in events) < count and time.monotonic() < deadline:
        events += executor.events(0.5)
    return events


def test_each_segment_ends_once(executor: Executor, tmp_path: Path) -> None:
    """Every submitted segment gives exactly one outcome."""
    segments = [segment(tmp_path, epochs=1, lr=10.0**-power) for power in range(1, 5)]
    for each in segments:
        executor.submit(each)
    finished = [event for event in outcomes(executor, 4) if isinstance(event, Finished)]
    assert sorted(event.digest for event in finished) == sorted(each.trajectory.digest for each in segments)
    assert executor.events(0.2) == []


def test_a_segment_that_raises_fails_with_one_line(executor: Executor, tmp_path: Path) -> None:
    """A failure carries the error's class and message in one line; the next segment runs."""
    executor.submit(segment(tmp_path, epochs=13, lr=0.1))
    failed = outcomes(executor, 1)[-1]
    assert isinstance(failed, Failed)
    assert failed.reason == "ValueError: unlucky number"
    assert "Traceback" in failed.details
    executor.submit(segment(tmp_path, epochs=1, lr=0.2))
    assert isinstance(outcomes(executor, 1)[-1], Finished)


def test_a_lost_worker_is_replaced_and_its_segment_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker killed with -9 costs nothing but time: its segment ends once, on another process. Only the driver
    reports it; Dask's own messages are not shown. Each worker, and each that replaces one, sees its own GPU alone.
    """
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-one,GPU-two")
    executor = LocalExecutor(run, workers=2, threads=1, devices=("cuda:0", "cuda:1"))
    try:
        executor.submit(segment(tmp_path, epochs=99, lr=0.1))
        events = [event for event in outcomes(executor, 1) if not isinstance(event, Progress)]
        assert [type(event) for event in events] == [Finished]
        seen: set[tuple[str, str]] = set()
        rates = itertools.count(1)
        while len(seen) < 2:  # Until the new one has come, the other one runs them all.
            for epochs in (7, 7):
                executor.submit(segment(tmp_path, epochs=epochs, lr=float(next(rates))))
            ended = [event.outcome for event in outcomes(executor, 2) if isinstance(event, Finished)]
            seen |= {(str(outcome.result), outcome.device) for outcome in ended}
        assert seen == {("GPU-one", "cuda:0"), ("GPU-two", "cuda:1")}
    finally:
        executor.close()
    for name in ("distributed.scheduler", "distributed.client", "tornado.application"):
        assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)


@pytest.mark.parametrize("kind", ["local", "dask"])
def test_a_segment_that_kills_its_workers_fails_alone(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Segments that only waited for a worker that died under another one are not blamed for it: they finish."""
    executor = EXECUTORS[kind](tmp_path, lambda: request.getfixturevalue("team"))
    killer = segment(tmp_path, epochs=66, lr=1.0)
    innocent = [segment(tmp_path, epochs=7, lr=10.0**-power) for power in range(1, 9)]
    try:
        for each in (killer, *innocent):
            executor.submit(each)
        events = outcomes(executor, 9)
    finally:
        executor.close()
    failed = [event for event in events if isinstance(event, Failed)]
    finished = [event for event in events if isinstance(event, Finished)]
    assert [event.digest for event in failed] == [killer.trajectory.digest], failed
    assert "the worker process died 3 times on this segment" in failed[0].reason
    assert sorted(event.digest for event in finished) == sorted(each.trajectory.digest for each in innocent)


def test_a_share_of_a_cluster_is_kept_to(team: Team, tmp_path: Path) -> None:
    """Where others share a cluster, its supply counts all workers, and a sweep given one slot uses one of the two; a
    share larger than the cluster is cut to what there is.
    """
    with closing(ClusterSupply(team.cluster)) as supply:
        wait_until(lambda: supply.slots == 2, "both workers are counted")
        shares = [supply.part([0]), supply.part([0, 1, 2])]
    for share, slots in zip(shares, (1, 2), strict=True):
        how = How(Workspace.at(tmp_path), "sqlite://", cluster=team.cluster, part=share, reporter=Silent())
        with closing(how.make_executor()) as executor:
            assert isinstance(executor, ClusterExecutor)
            executor.prepare()
            executor.wait_for_workers()
            assert (executor.slots, executor.cut.workers) == (slots, slots)


def test_what_nobody_waits_for_ends(team: Team, tmp_path: Path) -> None:
    """On a cluster, a stop calls off a segment that no worker has begun, with what the store holds of it; and segments
    whose driver has gone end after their epoch, so that their workers are free for others.
    """
    executor = on_team(tmp_path, team)
    stop = tmp_path / "stop"
    executor.wait_for_workers()
    wait_until(lambda: bool(executor.events(0.1)) or executor.slots == 2, "both workers are there")
    for lr in (0.1, 0.2, 0.3):
        executor.submit(replace(segment(tmp_path, epochs=77, lr=lr), stop_file=stop))
    wait_until(lambda: len(list(tmp_path.glob("trains-*"))) == 2, "two of them are trained")
    stop.touch()
    (event,) = outcomes(executor, 1)
    assert isinstance(event, Finished)
    assert (event.outcome.view, event.outcome.trained_epochs, event.outcome.history) == (None, 0, ())
    executor.close()
    wait_until(lambda: len(list(tmp_path.glob("ended-*"))) == 2, "the others end early")
    assert not list((tmp_path / "studies" / ".segments").glob("*/marks-*"))


def test_a_segment_travels_to_another_path_of_its_workspace(tmp_path: Path) -> None:
    """All that lies in the workspace is found where the worker sees it; what lies elsewhere stays where it is."""
    there, here = Path("/home/me/colours"), Path("/mnt/colours")
    sent = replace(
        segment(there / "studies/trajectories", epochs=1, lr=0.1),
        cache=Path("/scratch/cache"),
        stop_file=there / "studies/s/stop",
    )
    init = InitWeights("ab", there / "studies/s/parents/p", "colorizer@1")
    sent = replace(sent, trajectory=replace(sent.trajectory, init=init))
    got = moved(sent, there=there, here=here)
    assert (got.store, got.cache) == (here / "studies/trajectories", Path("/scratch/cache"))
    assert (got.stop_file, got.code) == (here / "studies/s/stop", None)
    assert got.trajectory.init is not None
    assert got.trajectory.init.folder == here / "studies/s/parents/p"
    assert got.trajectory.digest == sent.trajectory.digest


def test_no_end_of_a_segment_is_lost(tmp_path: Path) -> None:
    """Whatever a segment gives or raises, even what cannot be sent between processes, it ends once, by name; so does
    one whose connection to the scheduler is lost, and one whose code the workers cannot import.
    """
    executor = LocalExecutor(unreadable.run, workers=2, threads=1)
    try:
        for epochs in unreadable.ENDS:
            executor.submit(segment(tmp_path, epochs=epochs, lr=1 / epochs))
        ends = {event.digest: event for event in outcomes(executor, len(unreadable.ENDS))}
        for epochs in unreadable.ENDS:
            event = ends.pop(segment(tmp_path, epochs=epochs, lr=1 / epochs).trajectory.digest)
            if epochs in unreadable.REASONS:
                assert isinstance(event, Failed)
                assert event.reason.startswith(unreadable.REASONS[epochs])
            else:
                assert isinstance(event, Finished)
        executor._run = type("Nowhere", (), {"__reduce__": lambda _: (__import__, ("nowhere_to_be_found",))})()
        executor.submit(segment(tmp_path, epochs=1, lr=0.9))
        assert [type(event) for event in outcomes(executor, 1)] == [Failed]
        executor._run = run
        executor.submit(segment(tmp_path, epochs=7, lr=0.7))
        client = executor._client
        assert client is not None
        client.sync(lose_connection, client)
        assert [type(event) for event in outcomes(executor, 1) if not isinstance(event, Progress)] == [Finished]
        assert executor.events(0.2) == []
    finally:
        executor.close()


def test_a_cluster_too_busy_to_say_goodbye_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Dask does not get round to closing in time, closing raises nothing, and the workers end."""
    monkeypatch.setattr(local, "GOODBYE_S", 0.1)
    monkeypatch.setattr(on_dask, "GOODBYE_S", 0.1)
    executor = LocalExecutor(run, workers=1, threads=1)
    executor.submit(segment(tmp_path, epochs=1, lr=0.1))
    (worker,) = {int(event.outcome.host) for event in outcomes(executor, 1) if isinstance(event, Finished)}
    loop: Any = executor._client and executor._client.loop
    loop.add_callback(time.sleep, 1.0)
    executor.close()
    wait_until(lambda: not is_alive(worker), "the worker ends")


async def lose_connection(client: Any) -> None:
    """Cut the connection between the driver and its scheduler, as a network fault would."""
    client.scheduler_comm.comm.abort()


@pytest.mark.parametrize("epochs", unreadable.REASONS)
def test_a_segment_in_this_process_ends_whatever_it_raises(tmp_path: Path, epochs: int) -> None:
    """The thread that trains outlives every exception, and a segment after it is trained."""
    executor = SerialExecutor(unreadable.run)
    for each in (epochs, 1):
        executor.submit(segment(tmp_path, epochs=each, lr=1 / each))
    first, second = outcomes(executor, 2)
    executor.close()
    assert isinstance(second, Finished)
    if epochs not in unreadable.PLAIN_HERE:
        assert isinstance(first, Failed)
        assert first.reason.startswith(unreadable.REASONS[epochs])


def test_nothing_starts_before_the_first_segment() -> None:
    """An executor that is never given a segment starts no process, so a finished study costs nothing."""
    executor = LocalExecutor(run, workers=2, threads=1)
    assert multiprocessing.active_children() == []
    executor.close()


def test_workers_that_cannot_start_are_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line gives the reason, and what a script must look like, which is the usual cause."""

    def ended(**_: Any) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(cluster, "local_cluster", ended)
    executor = LocalExecutor(run, workers=1, threads=1)
    with pytest.raises(
        ExecutorError, match=r"could not be started; RuntimeError: Nanny failed to start\. .*`if __name__ == "
    ):
        executor.submit(segment(tmp_path, epochs=1, lr=0.1))
    executor.close()
