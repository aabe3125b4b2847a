"""`deepcolor service`: one service of a workspace, from its start to its end."""

from __future__ import annotations

import json
import math
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from deepcolor.addresses import LOOPBACK, bracketed, listening
from deepcolor.app.how import Cluster
from deepcolor.app.reporter import Reporter
from deepcolor.app.signals import StopSignals
from deepcolor.app.supply import ClusterSupply, MachineSupply, Slots, Supply
from deepcolor.atomic import write_atomically
from deepcolor.counting import counted
from deepcolor.errors import Interrupted, UserError, WorkspaceError
from deepcolor.plainfile import read_plain
from deepcolor.service.options import Options
from deepcolor.service.orders import Order
from deepcolor.service.queue import Queue
from deepcolor.service.record import Submission
from deepcolor.service.scheduler import Scheduler
from deepcolor.service.telling import Teller
from deepcolor.service.tokens import own_token_file, read_tokens
from deepcolor.workspace import Workspace

_LOOK_EVERY_S = 0.5
_AT_ONCE_S = 20.0
_TIDY_EVERY_S, _DAY_S = 3600.0, 86_400.0
_STATE = ".service"


@dataclass(frozen=True)
class ServiceState:
    """The service that is at work in a workspace."""

    host: str
    pid: int
    since: str
    url: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}, {self.url}"


def service_of(workspace: Workspace) -> ServiceState | None:
    """Return the service that is at work in a workspace; None if none is."""
    from filelock import FileLock, Timeout

    file = workspace.queue / ".service.lock"
    if not file.exists():
        return None
    with suppress(OSError, Timeout), FileLock(file).acquire(timeout=0):
        return None
    return _read_state(workspace)


def run_service(
    workspace: Workspace,
    *,
    options: Options,
    cluster: Cluster | None,
    tracking_uri: str,
    device: str,
    reporter: Reporter,
    resume: str,
    started: Callable[[str], None],
) -> None:
    """Run what is submitted, until a signal asks to end.

    Args:
        workspace: Whose queue.
        options: See `Options`.
        cluster: Whose workers are the slots; None: this machine's.
        tracking_uri: MLflow's store.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; of a cluster, its workers say.
        reporter: Is told what goes on.
        resume: The line that starts it again.
        started: Called with the URL once it answers.
    Raises:
        UserError: An option is wrong, the port is taken, or a library is missing.
        WorkspaceError: Another service is at work in the workspace.
    """
    web = _web()
    tokens = read_tokens(options.token_file or own_token_file(workspace))
    queue, woken = Queue(workspace.create()), threading.Event()
    with (
        _alone(workspace) as announce,
        closing(_supply(options, cluster, device=device)) as supply,
        closing(_listening(options)) as at,
        closing(Teller(options.notify, queue, warn=reporter.warn)) as teller,
    ):
        scheduler = Scheduler(
            queue,
            supply=supply,
            options=options,
            order=_orders(workspace, options, cluster, tracking_uri=tracking_uri, device=device),
            teller=teller,
            reporter=reporter,
            host=platform.node(),
        )
        app = web.make_app(workspace, options=options, tokens=tokens, wake=woken.set)
        stop_signals = StopSignals(resume=resume, tell=reporter.tell)
        with stop_signals as stop, web.serving(app, at):
            url = _url(options.host, at.getsockname()[1])
            announce(url)
            started(url)
            _warn(options, supply, reporter)
            _until_stopped(scheduler, stop, woken=woken, tidy=_tidying(queue, options, reporter))
    left = sum(one.state == "queued" for one in queue.all())
    waiting = f"; {counted(left, 'submission')} queued until it is started again" if left else ""
    reporter.note(f"service ended{waiting}")


def _supply(options: Options, cluster: Cluster | None, *, device: str) -> Supply:
    if cluster is None:
        return MachineSupply.of(workers=options.workers, device=device)
    if options.workers is not None:
        raise UserError(
            f"--workers: must be said where the workers are started; got {options.workers} with --cluster "
            f"{cluster.address}. Use deepcolor worker --slots, and leave it out here."
        )
    return ClusterSupply(cluster)


def _tidying(queue: Queue, options: Options, reporter: Reporter) -> Callable[[], None]:
    """What keeps the queue from growing for ever; it may be called at any time, and acts once an hour."""
    due = -math.inf

    def tidy() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _TIDY_EVERY_S
            gone = queue.forget(ended_before=time.time() - options.keep_days * _DAY_S)
            if gone:
                days = counted(options.keep_days, "day")
                reporter.note(f"{counted(gone, 'submission')} that ended over {days} ago removed from the queue")

    return tidy


def _until_stopped(
    scheduler: Scheduler, stop: StopSignals, *, woken: threading.Event, tidy: Callable[[], None]
) -> None:
    stopping = threading.Event()

    def ask() -> None:
        scheduler.stop()
        stopping.set()
        woken.set()

    stop.hand_to(ask)
    try:
        while not (stopping.is_set() and not scheduler.running):
            scheduler.look()
            tidy()
            woken.wait(_LOOK_EVERY_S)
            woken.clear()
        scheduler.look()  # Who ended last is told of, too.
    except Interrupted:  # A second signal: what runs ends at once.
        scheduler.stop_at_once()
        deadline = time.monotonic() + _AT_ONCE_S
        while scheduler.running and time.monotonic() < deadline:
            scheduler.look()
            time.sleep(0.1)
        raise


def _orders(
    workspace: Workspace, options: Options, cluster: Cluster | None, *, tracking_uri: str, device: str
) -> Callable[[Submission, Slots, tuple[int, ...]], Order]:
    def order(one: Submission, part: Slots, slots: tuple[int, ...]) -> Order:
        return Order(
            submission=one.id,
            root=workspace.root,
            storage=workspace.named_storage,
            tracking_uri=tracking_uri,
            device=device,
            part=part,
            slots=slots,
            cluster=cluster,
            allow_code=options.allow_code,
        )

    return order


def _warn(options: Options, supply: Supply, reporter: Reporter) -> None:
    if options.host not in LOOPBACK:
        reporter.warn(
            f"{options.host} is open to others, and tokens and sweeps can be read along on the way: put a server that "
            "speaks TLS in front (docs/service.md)"
        )
    if supply.note:
        reporter.warn(supply.note)


@contextmanager
def _alone(workspace: Workspace) -> Iterator[Callable[[str], None]]:
    """Be the one service of a workspace; the function that is given says where it answers.

    Raises:
        WorkspaceError: There is one; the message names it.
    """
    from filelock import FileLock, Timeout

    folder = workspace.queue
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".service.lock")
    try:
        lock.acquire(timeout=0.5, poll_interval=0.05)
    except Timeout:
        other = _read_state(workspace)
        raise WorkspaceError(
            f"service: one at a time may work in a workspace; got {other or 'another one'} ({workspace.root}). "
            "Submit to that one, or stop it first."
        ) from None

    def announce(url: str) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        state = {"host": platform.node(), "pid": os.getpid(), "since": since, "url": url}
        write_atomically(_state_file(workspace), json.dumps(state).encode())

    try:
        _state_file(workspace).unlink(missing_ok=True)  # Of one that was killed.
        yield announce
    finally:
        with suppress(OSError):
            _state_file(workspace).unlink(missing_ok=True)
        lock.release()


def _state_file(workspace: Workspace) -> Path:
    return workspace.queue / _STATE


def _read_state(workspace: Workspace) -> ServiceState | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(read_plain(_state_file(workspace), most_bytes=2**16))
        return ServiceState(str(found["host"]), int(found["pid"]), str(found["since"]), str(found["url"]))
    return None


def _url(host: str, port: int) -> str:
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # to be told apart
    return f"http://{bracketed(there)}:{port}"


def _listening(options: Options) -> socket.socket:
    return listening(options.host, options.port, command="service", perhaps="a service runs there already")


def _web() -> ModuleType:
    try:
        from deepcolor.service import web
    except ModuleNotFoundError as error:
        raise UserError(
            f"service: needs FastAPI and uvicorn; got no {error.name}. Install them with: "
            "pip install 'deepcolor[service]'"
        ) from error
    return web
