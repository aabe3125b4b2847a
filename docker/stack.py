"""A team's stack as this machine's own processes, without containers: the same parts, from the same environment file.

    python docker/stack.py up [PART]...      start what does not run, and wait until each part answers
    python docker/stack.py down [PART]...    stop, in reverse order
    python docker/stack.py status            what runs, and where

Parts are database (PostgreSQL), mlflow, scheduler (of Dask), worker-1 to worker-N, and service.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from native.database import Database
from native.part import Part, Process, last_words
from native.settings import HERE, Settings, StackError

_START_S = 180.0
_LOOK_EVERY_S = 0.1
_BEFORE = {"database": 0, "mlflow": 1, "scheduler": 1, "worker": 2, "service": 3}
"""How many groups of parts start before one: what it needs must answer first."""
_PAGES = ["distributed.http.health", "distributed.http.scheduler.json"]
"""What the scheduler shows of itself to whoever asks: enough for a health check, and no logs."""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, where none is named")
    parser.add_argument("--env", type=Path, default=HERE / "stack.env", help="environment file (docker/stack.env)")
    options = parser.parse_args()
    try:
        settings = Settings.read(options.env)
        with _alone(settings.state):
            parts = _named(parts_of(settings), options.parts)
            done = {"up": up, "down": down, "status": status}[options.command](parts)
    except StackError as error:
        sys.exit(_said(f"error: {error}"))
    if options.command == "up" and not options.parts:
        print(f"stack: deepcolor's commands find it after: . {settings.secrets / 'client.env'}")
    sys.exit(0 if done else 1)


def parts_of(settings: Settings) -> list[Part]:
    """Return all parts, in the order in which they start."""
    asked = settings.count("WORKERS")
    # More of them may run than are asked for now; they must be seen, and stopped, too.
    records = (settings.state / "run").glob("worker-*.json")
    known = sorted({*range(1, asked + 1), *(int(file.stem.removeprefix("worker-")) for file in records)})
    workers = [_worker(settings, number) for number in known]
    wanted = [part for number, part in zip(known, workers, strict=True) if number <= asked or part.pid is not None]
    return [Database(settings), _mlflow(settings), _scheduler(settings), *wanted, *_service(settings)]


def up(parts: Sequence[Part]) -> bool:
    """Start the parts that do not run, in their order; those beside each other start at once."""
    for _, group in groupby(parts, key=lambda part: _BEFORE[part.name.partition("-")[0]]):
        beside = list(group)
        fresh = [part for part in beside if part.pid is None]
        for part in fresh:
            part.start()
        for part in beside:
            _wait_for(part)
            _say(f"{part.name} is up{'' if part in fresh else ' already'}{part.at}")
    return True


def down(parts: Sequence[Part]) -> bool:
    """Stop the parts that run, the last one first."""
    for part in reversed(parts):
        if part.pid is not None:
            part.stop()
            _say(f"{part.name} has stopped")
    return True


def status(parts: Sequence[Part]) -> bool:
    """Say of each part whether it runs and answers; False where one does not."""
    width = max(len(part.name) for part in parts)
    well = True
    for part in parts:
        pid, answers = part.pid, part.pid is not None and part.answers()
        well = well and answers
        said = "is down" if pid is None else f"process {pid}{part.at}{'' if answers else ', does not answer'}"
        print(f"{part.name:<{width}}  {said}  ({part.log})")
    return well


def _mlflow(settings: Settings) -> Process:
    artifacts = settings.state / "artifacts"
    host, port = settings["BIND"], settings["MLFLOW_PORT"]
    return Process(
        "mlflow",
        settings=settings,
        command=[
            *(sys.executable, "-P", "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--host", host, "--port", port, "--workers", settings["MLFLOW_PROCESSES"]),
            *("--artifacts-destination", artifacts.as_uri(), "--allowed-hosts", settings["MLFLOW_ALLOWED_HOSTS"]),
        ],
        environment={
            "PGHOST": settings.reached_at,
            "PGPORT": settings["DATABASE_PORT"],
            "PGPASSWORD": settings.secret("database-mlflow"),
            "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg://mlflow@/mlflow",
            "MLFLOW_AUTH_CONFIG_PATH": str(HERE / "mlflow-auth.ini"),
            "MLFLOW_AUTH_ADMIN_USERNAME": settings["MLFLOW_USER"],
            "MLFLOW_AUTH_ADMIN_PASSWORD": settings.secret("mlflow-password"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secret("mlflow-secret-key"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        port="MLFLOW_PORT",
        page=f"http://{settings.reached_at}:{port}/health",
    )


def _scheduler(settings: Settings) -> Process:
    host, http = settings["BIND"], settings["SCHEDULER_HTTP_PORT"]
    tls = {"ca-file": "ca.pem", "cert": "team.pem", "key": "team.key"}
    return Process(
        "scheduler",
        settings=settings,
        command=[
            *(sys.executable, "-P", "-m", "dask", "scheduler", "--protocol", "tls", "--host", host),
            *("--port", settings["SCHEDULER_PORT"], "--no-dashboard", "--dashboard-address", f"127.0.0.1:{http}"),
            *(f"--tls-{part}={settings.secrets / name}" for part, name in tls.items()),
        ],
        environment={"DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": repr(_PAGES)},
        port="SCHEDULER_PORT",
        page=f"http://127.0.0.1:{http}/health",
    )


def _worker(settings: Settings, number: int) -> Process:
    return Process(
        f"worker-{number}",
        settings=settings,
        command=[
            *(sys.executable, "-P", "-m", "deepcolor", "worker", "--cluster", settings.cluster),
            *("--slots", settings["WORKER_SLOTS"], "--threads", settings["WORKER_THREADS"]),
            *("--workspace", str(settings.workspace)),
        ],
        environment=settings.certificates,
        page=f"http://127.0.0.1:{settings['SCHEDULER_HTTP_PORT']}/json/identity.json",
        text=f"{os.uname().nodename}-{{pid}}-",
    )


def _service(settings: Settings) -> list[Process]:
    host, port = settings["BIND"], settings["SERVICE_PORT"]
    return [
        Process(
            "service",
            settings=settings,
            command=[
                *(sys.executable, "-P", "-m", "deepcolor", "service", "--workspace", str(settings.workspace)),
                *("--cluster", settings.cluster, "--host", host, "--port", port),
                *("--token-file", str(settings.secrets / "service-tokens")),
            ],
            environment={
                **settings.certificates,
                "DEEPCOLOR_STORAGE": settings.storage,
                "PGPASSFILE": str(settings.secrets / "pgpass"),
                "MLFLOW_TRACKING_URI": f"http://{settings.reached_at}:{settings['MLFLOW_PORT']}",
                "MLFLOW_TRACKING_USERNAME": settings["MLFLOW_USER"],
                "MLFLOW_TRACKING_PASSWORD": settings.secret("mlflow-password"),
            },
            port="SERVICE_PORT",
            page=f"http://{settings.reached_at}:{port}/healthz",
        )
    ]


def _named(parts: Sequence[Part], names: Sequence[str]) -> Sequence[Part]:
    known = [part.name for part in parts]
    for name in names:
        if name not in known:
            raise StackError(f"PART: must be one of {', '.join(known)}; got {name}. Correct it.")
    return [part for part in parts if not names or part.name in names]


def _wait_for(part: Part) -> None:
    deadline = time.monotonic() + _START_S
    while not part.answers():
        if part.pid is None:
            raise StackError(f"{part.name}: must run; it has ended, {last_words(part.log)}")
        if time.monotonic() > deadline:
            raise StackError(f"{part.name}: must answer within {_START_S:.0f} s; it did not, {last_words(part.log)}")
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Keep a second start or stop waiting until the first is done."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _said(line: str) -> int:
    print(line, file=sys.stderr)
    return 2


def _say(line: str) -> None:
    print(f"stack: {line}", flush=True)


if __name__ == "__main__":
    main()
