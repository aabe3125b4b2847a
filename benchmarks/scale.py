"""What a thousand workers and a hundred thousand trials would ask of each part: driver, scheduler, PostgreSQL, MLflow.

The driver runs a thousand workers in virtual time. Real Dask workers (their tasks sleep instead of training) exchange
real messages with a real scheduler, and the executor that the driver uses hands them their segments. Trials of a
formula are written to PostgreSQL, and to MLflow's server with users and PostgreSQL behind it: the stack of docker/.

    python benchmarks/scale.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from driver import formula
from parallel import asha_of, simulate
from parts.driving import Nobody, driver_of

from deepcolor.config.schema import Sweep
from deepcolor.execution.executor import Finished, Progress
from deepcolor.execution.reach import Cluster
from deepcolor.execution.remote import ClusterExecutor
from deepcolor.execution.serial import SerialExecutor
from deepcolor.search.study.storage import owned
from deepcolor.tracking.projection import MlflowTracker
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, Trajectory
from deepcolor.workspace import Workspace

STACK = Path(__file__).parents[1] / "docker" / "stack.py"
WORKERS, TRIALS = 1000, 100_000
"""What is asked about."""
NAP_S = 20.0
"""What a segment takes on a worker that only sleeps."""
PROCESSES = 4
"""That the sleeping workers are divided between."""
FLUSH_S = 3600.0


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=int, default=4000, help="trials on workers in virtual time")
    parser.add_argument("--workers", type=int, default=400, help="real Dask workers, whose tasks sleep")
    parser.add_argument("--rounds", type=int, default=3, help="segments of each of them")
    parser.add_argument("--stored", type=int, default=400, help="trials written to PostgreSQL")
    parser.add_argument("--tracked", type=int, default=100, help="trials written to MLflow's server")
    parser.add_argument("--only", choices=["driver", "scheduler", "stores"], help="one part of it")
    parser.add_argument("--quick", action="store_true", help="a little of each")
    options = parser.parse_args()
    if options.quick:
        options.simulated, options.workers, options.rounds, options.stored, options.tracked = 1100, 8, 1, 20, 5
    measured: dict[str, dict[str, float]] = {}
    # PostgreSQL runs as another user where root starts it, and must be able to look in.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if options.only in {None, "driver"}:
            measured["driver"] = _driver(folder / "virtual", options.simulated)
        if options.only in {None, "scheduler", "stores"}:
            with _stack(folder) as environment:
                if options.only in {None, "scheduler"}:
                    measured["scheduler"] = _scheduler(folder, environment, options.workers, options.rounds)
                if options.only in {None, "stores"}:
                    measured |= _stores(folder, environment, options.stored, options.tracked)
    print(json.dumps(_report(measured, vars(options)), indent=2))


def _report(measured: dict[str, dict[str, float]], options: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for part, figures in measured.items():
        for name, value in figures.items():
            rows.append([part, name.replace("_", " "), f"{value:g}"])
    return {
        "title": "A thousand workers",
        "about": (
            "What a trial costs each part, and what its workers do: in virtual time, or real Dask workers whose tasks "
            "sleep. docs/scaling.md computes from it what 1,000 workers and 100,000 trials would ask for."
        ),
        "table": {"header": ["part", "measured", "value"], "rows": rows},
        "results": measured,
        "options": options,
    }


# --- the driver


def _driver(folder: Path, trials: int) -> dict[str, float]:
    before, started = _cpu_s(os.getpid()), time.perf_counter()
    use = simulate(folder, asha_of(trials), workers=WORKERS)
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s(os.getpid()) - before
    _say(f"driver: {use.trials} trials in {wall_s:.1f} s, {cpu_s:.1f} s of processor time")
    return {
        "trials": use.trials,
        "ms_a_trial": round(wall_s / use.trials * 1000, 2),
        "processor_ms_a_trial": round(cpu_s / use.trials * 1000, 2),
        "busy_share_of_1000_workers": use.while_work_is_left,
        "memory_mib": round(psutil.Process().memory_info().rss / 2**20),
    }


# --- Dask


def nap(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """Take the place of a training: sleep, tell of one epoch, and store nothing."""
    time.sleep(NAP_S)
    row = EpochMetrics(1, {"val/mse": 0.0}, 0.0, int(time.time() * 1000))
    if on_epoch is not None:
        on_epoch(row)
    return SegmentOutcome(segment.trajectory.digest, (row,), trained_epochs=1, train_s=0.0, view=None)


def serve_workers(address: str, count: int, secrets: str) -> None:
    """Be so many Dask workers in one process, until the scheduler ends."""
    from distributed import Worker

    cluster = Cluster.at(address, **_certificates(Path(secrets)))

    async def run() -> None:
        workers = [Worker(address, nthreads=1, security=cluster.security(), memory_limit=0) for _ in range(count)]
        for start in range(0, count, 20):
            await asyncio.gather(*workers[start : start + 20])
        print("ready", flush=True)
        await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(run())


def _scheduler(folder: Path, environment: dict[str, str], workers: int, rounds: int) -> dict[str, float]:
    workspace = Workspace.at(folder / "cluster").create()
    cluster = Cluster.at(environment["CLUSTER"], **_certificates(folder / "secrets"))
    command = "import sys; from scale import serve_workers; serve_workers(sys.argv[1], int(sys.argv[2]), sys.argv[3])"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [cluster.address, str(max(1, workers // PROCESSES)), str(folder / "secrets")]
    # What each of them says at its start costs more than what is measured.
    quiet = {**os.environ, "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    quiet["DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL"] = "1s"
    hosts = [
        subprocess.Popen([sys.executable, "-c", command, *words], env=quiet | {"PYTHONPATH": path}, stdout=-1)
        for _ in range(PROCESSES if workers >= PROCESSES else 1)
    ]
    scheduler = int(json.loads((folder / "state" / "run" / "scheduler.json").read_text())[0])
    said: list[str] = []
    executor = ClusterExecutor(nap, cluster=cluster, workspace=workspace, say=said.append)
    try:
        for host in hosts:
            assert host.stdout is not None
            assert host.stdout.readline() == b"ready\n"
        executor.wait_for_workers()
        wanted = len(hosts) * int(words[1])
        while executor.slots < wanted:
            time.sleep(0.2)
            executor.events(0.0)
        marks = [(_cpu_s(scheduler), _cpu_s(os.getpid()), time.perf_counter())]
        time.sleep(NAP_S / 2)
        marks.append((_cpu_s(scheduler), _cpu_s(os.getpid()), time.perf_counter()))
        for number in range(wanted * rounds):
            executor.submit(_segment(workspace, number))
        ended = 0
        while ended < wanted * rounds:
            events = executor.events(1.0)
            ended += sum(isinstance(event, Finished) for event in events)
            failed = [event for event in events if not isinstance(event, Finished | Progress)]
            assert not failed, failed
        marks.append((_cpu_s(scheduler), _cpu_s(os.getpid()), time.perf_counter()))
    finally:
        executor.close()
        for host in hosts:
            host.kill()
            host.wait()
    idle, busy = (_differences(marks[index], marks[index + 1]) for index in (0, 1))
    segments = wanted * rounds
    _say(f"scheduler: {wanted} workers, {segments} segments in {busy[2]:.1f} s")
    return {
        "workers": wanted,
        "segments": segments,
        "seconds": round(busy[2], 1),
        "share_of_the_seconds_that_sleeping_fills": round(NAP_S * rounds / busy[2], 3),
        "scheduler's_share_of_a_core_while_idle": round(idle[0] / idle[2], 4),
        "driver's_share_of_a_core_while_idle": round(idle[1] / idle[2], 4),
        "scheduler's_share_of_a_core": round(busy[0] / busy[2], 4),
        "driver's_share_of_a_core": round(busy[1] / busy[2], 4),
        "scheduler's_processor_ms_a_segment": round(busy[0] / segments * 1000, 2),
        "driver's_processor_ms_a_segment": round(busy[1] / segments * 1000, 2),
    }


def _segment(workspace: Workspace, number: int) -> Segment:
    setting = _sweep(1).setting({"lr": 1e-4 * (1 + number), "weight_decay": 0.0})
    store = workspace.trajectories
    return Segment(Trajectory(setting, "0" * 32), to_epoch=1, patience=None, store=store, cache=store)


def _certificates(secrets: Path) -> dict[str, Path]:
    return {part: secrets / name for part, name in (("ca", "ca.pem"), ("cert", "team.pem"), ("key", "team.key"))}


# --- PostgreSQL and MLflow


def _stores(folder: Path, environment: dict[str, str], stored: int, tracked: int) -> dict[str, dict[str, float]]:
    os.environ |= {name: value for name, value in environment.items() if name.startswith(("PG", "MLFLOW_"))}
    storage = environment["DEEPCOLOR_STORAGE"]
    server = int((folder / "state" / "database" / "postmaster.pid").read_text().split()[0])
    before, bytes_before = _tree_cpu_s(server), _size_bytes(storage)
    database = _drive(folder / "stored", stored, storage=storage, uri=None)
    used_s, bytes_after = _tree_cpu_s(server) - before, _size_bytes(storage)
    postgres = {
        "trials": stored,
        "ms_a_trial_with_the_driver": round(database / stored * 1000, 2),
        "server's_processor_ms_a_trial": round(used_s / stored * 1000, 2),
        "kib_a_trial": round((bytes_after - bytes_before) / stored / 2**10, 2),
    }
    mlflow = int(json.loads((folder / "state" / "run" / "mlflow.json").read_text())[0])
    before_s, before_database_s = _tree_cpu_s(mlflow), _tree_cpu_s(server)
    seconds = _drive(folder / "tracked", tracked, storage=None, uri=environment["MLFLOW_TRACKING_URI"])
    return {
        "PostgreSQL": postgres,
        "MLflow": {
            "trials": tracked,
            "ms_a_trial": round(seconds / tracked * 1000, 1),
            "server's_processor_ms_a_trial": round((_tree_cpu_s(mlflow) - before_s) / tracked * 1000, 1),
            "PostgreSQL's_processor_ms_a_trial": round((_tree_cpu_s(server) - before_database_s) / tracked * 1000, 1),
        },
    }


def _drive(folder: Path, trials: int, *, storage: str | None, uri: str | None) -> float:
    """Drive a study of a formula; return the seconds until all is stored."""
    workspace = Workspace.at(folder, storage=storage or f"sqlite:///{folder}/studies/optuna.db").create()
    sweep, nobody, executor = _sweep(trials), Nobody(folder / "report"), SerialExecutor(formula)
    tracker = MlflowTracker(tracking_uri=uri, on_warning=_say) if uri else nobody
    with owned(workspace, sweep.study):
        driver = driver_of(workspace, sweep, executor=executor, tracker=tracker, watcher=nobody, report=nobody)
        started = time.perf_counter()
        driver.run()
        assert tracker.flush(FLUSH_S), "MLflow has not taken everything"
        seconds = time.perf_counter() - started
    executor.close()
    tracker.close()
    _say(f"{'MLflow' if uri else 'PostgreSQL'}: {trials} trials in {seconds:.1f} s")
    return seconds


def _sweep(trials: int) -> Sweep:
    return Sweep.model_validate(
        {
            "study": "scale",
            "stage": "regressor",
            "data": {"name": "none"},
            "training": {"epochs": 3, "early_stopping": False},
            "search": {
                "sampler": "random",
                "trials": trials,
                "space": {
                    "lr": {"low": 1e-4, "high": 0.3, "log": True},
                    "weight_decay": {"low": 0.0, "high": 0.1},
                },
            },
        }
    )


def _size_bytes(storage: str) -> int:
    import psycopg

    with psycopg.connect(storage.replace("+psycopg", "")) as connection:
        return int(connection.execute("SELECT pg_database_size(current_database())").fetchall()[0][0])


# --- the stack


@contextmanager
def _stack(folder: Path) -> Iterator[dict[str, str]]:
    """Start the stack without workers of its own; give what tells commands where it is."""
    names = ("DATABASE_PORT", "MLFLOW_PORT", "SCHEDULER_PORT", "SCHEDULER_HTTP_PORT", "SERVICE_PORT")
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        lines = [f"{name}={each.getsockname()[1]}" for name, each in zip(names, sockets, strict=True)]
    (folder / "workspace" / "studies").mkdir(parents=True)
    lines += ["SECRETS=secrets", "STATE=state", "WORKSPACE=workspace"]
    (folder / "env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    parts, env = ("database", "mlflow", "scheduler"), ("--env", str(folder / "env"))
    try:
        subprocess.run([sys.executable, STACK, "up", *parts, *env], check=True, stdout=sys.stderr)
        text = (folder / "secrets" / "client.env").read_text(encoding="utf-8")
        pairs = [line.removeprefix("export ").partition("=") for line in text.splitlines()]
        yield {name: value.strip("'") for name, _, value in pairs}
    finally:
        subprocess.run([sys.executable, STACK, "down", *env], check=True, stdout=sys.stderr)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _tree_cpu_s(pid: int) -> float:
    """The processor time of a process and of those below it, the ended ones included."""
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _differences(before: tuple[float, ...], after: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(late - early for early, late in zip(before, after, strict=True))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
