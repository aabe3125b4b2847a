"""Segments on a Dask cluster that is there already, whose workers come and go.

every second: ask the scheduler for its workers
let each new one say whether it sees the same store with the same versions; use it if it does
submit the segments anew that no worker holds since theirs was lost
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deepcolor.counting import counted
from deepcolor.execution.admission import DRIVERS, STATED_FOR_S, admit, demanded, statement
from deepcolor.execution.executor import Event, RunSegment, run_segment
from deepcolor.execution.on_dask import DaskExecutor
from deepcolor.execution.post import Slots
from deepcolor.execution.reach import Cluster
from deepcolor.scratch import process_folder
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from distributed import Client

_LOOK_EVERY_S = 1.0
_LOOK_LONGER_S = 0.01
"""A cluster of a thousand workers is asked every ten seconds: each answer names all."""
_ASK_AGAIN_S = 30.0
"""A network file system may show a new file so late."""
_PATIENCE_S = 5.0
"""Without a worker, before it is said."""


@dataclass(frozen=True)
class _Hand:
    """A worker that is used."""

    host: str
    threads: int
    device: str
    job: str = ""
    """The job of SLURM's that it is a part of."""


class ClusterExecutor(DaskExecutor):
    """Runs segments on the workers of a cluster, one on each process, for as long as the worker is there."""

    losses_allowed = 3

    def __init__(
        self,
        run: RunSegment = run_segment,
        *,
        cluster: Cluster | None,
        workspace: Workspace,
        say: Callable[[str], None] = lambda _line: None,
        at_most: int | None = None,
    ) -> None:
        """Describe the executor; nothing is connected yet.

        Args:
            run: Runs a segment; a module-level function, as it is sent to the workers by name.
            cluster: Where its scheduler is; None: it is known once the cluster has been started.
            workspace: All workers must see it.
            say: Is told of workers that come, go, or are not used, in whichever thread asks for events.
            at_most: Segments at a time, where others share the cluster; None: one for each worker.
        """
        super().__init__(run, root=workspace.root)
        self._at_most = at_most
        self._cluster = cluster
        self._workspace = workspace
        self._say = say
        self._asked: Mapping[str, Any] = statement(workspace)
        self._hands: dict[str, _Hand] = {}
        self._asked_at: dict[str, float] = {}
        self._said: set[tuple[str, str]] = set()
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._over = threading.Event()
        self._came = threading.Event()
        self._idle_since: float | None = time.monotonic()
        self._missing: set[str] = set()
        self._jobs_seen: set[str] = set()
        """Jobs of SLURM's of which a worker has been used."""

    @property
    def slots(self) -> int:
        return max(1, min(len(self._hands), self._at_most or len(self._hands)))

    @property
    def cut(self) -> Slots:
        """How the cluster is divided now, by the worker that came first."""
        hands = list(self._hands.values())
        devices = tuple(hand.device for hand in hands if hand.device.startswith("cuda"))
        return Slots(self.slots, hands[0].threads if hands else 1, devices)

    @property
    def _demand(self) -> Mapping[str, float]:
        return demanded(self._asked)

    def wait_for_workers(self, *, heed: Callable[[], None] = lambda: None) -> None:
        """Return once there is a worker, and those that were there with it have answered.

        Args:
            heed: Called now and then; raises to give up.
        Raises:
            ExecutorError: The scheduler cannot be reached.
        """
        self.prepare()
        assert self._starting is not None
        self._starting.result()
        while not self._came.wait(0.2):
            self._tell()
            heed()

    def events(self, timeout_s: float) -> Sequence[Event]:
        taken = super().events(timeout_s)
        self._tell()
        return taken

    def close(self) -> None:
        self._over.set()
        super().close()

    def _tell(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._say(self._news.get_nowait())

    @contextmanager
    def _marks(self) -> Iterator[Path]:
        folder = self._workspace.studies / ".segments"
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="marks-", dir=process_folder(folder), ignore_cleanup_errors=True) as made:
            yield Path(made)

    def _reach(self) -> Cluster:
        """Say where the cluster is, or start it."""
        assert self._cluster is not None
        return self._cluster

    @property
    def _address(self) -> str:
        return self._cluster.address if self._cluster is not None else "an address not yet known"

    def _connect(self) -> Client:
        self._cluster = self._reach()
        client = self._cluster.client()
        threading.Thread(target=self._watch, args=(client,), name="deepcolor-workers", daemon=True).start()
        return client

    def _not_started(self, error: Exception) -> str:
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        return f"--cluster: the scheduler at {self._address} must answer; got {reason}. Run the command again."

    def _lost(self) -> str:
        return (
            f"cluster: the scheduler at {self._address} cannot be reached any more. Start it and its workers, "
            "then run the same command again: it continues from the last checkpoint"
        )

    def _say_goodbye(self, client: Client) -> None:
        if client.status == "running":
            client.set_metadata([DRIVERS, self._topic], {})

    # --- in a thread of its own

    def _watch(self, client: Client) -> None:
        stated, wait_s = 0.0, 0.0
        while not self._over.wait(wait_s):
            try:
                if time.monotonic() - stated > STATED_FOR_S / 4:
                    stated = time.monotonic()
                    client.set_metadata([DRIVERS, self._topic], {**self._asked, "at": time.time()})
                wait_s = max(_LOOK_EVERY_S, _LOOK_LONGER_S * self._look(client))
            except Exception:  # noqa: BLE001  # the connection is lost: the client comes back by itself, or says that it is closed
                wait_s = _LOOK_EVERY_S
                if client.status == "closed":
                    return

    def _look(self, client: Client) -> int:
        """Look at the workers that there are now, and return how many."""
        now = time.monotonic()
        found = client.scheduler_info(n_workers=-1)["workers"]
        there = {address for address, worker in found.items() if worker["status"] == "running"}
        for gone in self._hands.keys() - there:
            del self._hands[gone]
        self._asked_at = {address: at for address, at in self._asked_at.items() if address in there}
        again = {
            address for address, at in self._asked_at.items() if address not in self._hands and now - at > _ASK_AGAIN_S
        }
        if fresh := sorted(there - self._asked_at.keys() | again):
            self._asked_at |= dict.fromkeys(fresh, now)
            # One that does not answer must not keep the others waiting.
            threading.Thread(target=self._ask, args=(client, fresh), name="deepcolor-admission", daemon=True).start()
        self._look_after(client)
        self._say_whether_idle(now)
        return len(there)

    def _ask(self, client: Client, workers: list[str]) -> None:
        try:
            answers = client.run(admit, self._asked, workers=workers, on_error="return")
        except Exception as error:  # noqa: BLE001  # the connection is lost; they are asked again
            answers = dict.fromkeys(workers, error)
        for address, answer in _told(answers):
            if answer["refused"]:
                self._refuse(address, answer["host"], answer["refused"])
            else:
                self._jobs_seen.add(str(answer.get("job", "")))
                self._hands[address] = _Hand(
                    answer["host"], answer["threads"], answer["device"], str(answer.get("job", ""))
                )
        if self._hands:
            if self._idle_since is not None:
                hosts = sorted({hand.host for hand in list(self._hands.values())})
                where = ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
                self._news.put(f"cluster: {counted(len(self._hands), 'worker')} at {self._address}, on {where}")
            self._idle_since = None
            self._came.set()

    def _refuse(self, address: str, host: str, reason: str) -> None:
        if (host, reason) not in self._said:  # Of many processes of a host, one line is enough.
            self._said.add((host, reason))
            self._news.put(f"cluster: worker {address} on {host} is not used: {reason.rstrip('.')}.")

    def _look_after(self, client: Client) -> None:
        """Find the segments that wait for a worker although there is one: they lost theirs when it was the last."""
        still_open = set(self._open)
        held = {key for keys in client.processing().values() for key in keys} if still_open else set()
        missing, before = still_open - held, self._missing
        self._missing = missing
        lost = missing & before  # Seen twice: one may just be on its way.
        self._begun -= lost
        if self._hands:
            self._stranded |= lost & self._open

    def _say_whether_idle(self, now: float) -> None:
        if self._hands:
            return
        if self._idle_since is None:
            self._idle_since = now
        if self._idle_since >= 0 and now - self._idle_since >= _PATIENCE_S:
            self._idle_since = -1.0
            if line := self._waits():
                self._news.put(line)

    def _waits(self) -> str:
        """What to say where there has been no worker for a while; empty: nothing."""
        return (
            f"cluster: waiting for workers at {self._address}; none that can be used is there. Start one: "
            f"deepcolor worker --cluster {self._address}"
        )


@dataclass(frozen=True)
class Looked:
    """A worker that was asked whether it would work for a driver here."""

    host: str
    refused: str
    """Why not; empty if it would."""


def look_at_workers(cluster: Cluster, *, workspace: Workspace) -> list[Looked]:
    """Ask all workers that a cluster has now; one that does not answer, or goes meanwhile, is left out.

    Args:
        cluster: Its scheduler answers (`Cluster.check`).
        workspace: All workers must see it.
    """
    from deepcolor.execution.worker import silence_dask

    silence_dask()
    with cluster.client() as client:
        answers = client.run(admit, statement(workspace), on_error="return")
    return [Looked(answer["host"], answer["refused"]) for _, answer in _told(answers)]


def _told(answers: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What workers have answered to `admit`, by address; one that has gone is left out."""
    for address, answer in answers.items():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            refused = f"{type(answer).__name__}: {answer}. Is this version of deepcolor there?"
            yield address, {"host": address, "refused": refused}
        elif not isinstance(answer, OSError):
            yield address, answer


def cluster_slots(
    cluster: Cluster, *, workspace: Workspace, say: Callable[[str], None], heed: Callable[[], None] = lambda: None
) -> Slots:
    """Return how a cluster is divided now; where it has no workers, wait for one."""
    executor = ClusterExecutor(cluster=cluster, workspace=workspace, say=say)
    try:
        executor.wait_for_workers(heed=heed)
        return executor.cut
    finally:
        executor.close()
