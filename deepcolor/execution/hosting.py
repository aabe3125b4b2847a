"""Worker processes of this machine for a Dask cluster elsewhere: `deepcolor worker`.

check that the scheduler answers, and that a driver at work there would take us
start a process for each post, each watched over by Dask's nanny
until asked to end, or the scheduler ends: wait; start anew where only the network had failed
let running segments finish their epoch and save; end
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcolor.counting import counted
from deepcolor.errors import ExecutorError, UserError
from deepcolor.execution.admission import DRIVERS, STATED_FOR_S, refusal
from deepcolor.execution.local import ENDED, WORKER_SETTINGS
from deepcolor.execution.post import Post
from deepcolor.execution.reach import Cluster
from deepcolor.processes import TRAINING, start_server
from deepcolor.scratch import temporary_folder
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from distributed import Nanny

_LOOK_EVERY_S = 0.2
_AWAY_S, _TRY_EVERY_S = 600.0, 2.0
"""How long a worker that has lost its scheduler tries to reach it again, and how often."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPING = "stopping: running segments finish their epoch and are saved; once more to stop at once"


def host_workers(
    cluster: Cluster,
    *,
    workspace: Workspace,
    posts: Sequence[Post],
    interface: str | None,
    say: Callable[[str], None],
    lifetime_s: float | None = None,
) -> None:
    """Work for the drivers of a cluster until a signal asks to end.

    Args:
        cluster: Where its scheduler is.
        workspace: As this machine sees it.
        posts: What each process is given.
        interface: Network interface that drivers and other workers reach this machine by; None: the one that leads to
            the scheduler.
        say: Is told what goes on.
        lifetime_s: End by itself after this many seconds, as when asked to; None: never.
    Raises:
        UserError: There is no workspace, the scheduler does not answer, or no driver there would take us.
        ExecutorError: The processes could not be started, or the scheduler has ended.
    """
    ends_at = None if lifetime_s is None else time.monotonic() + lifetime_s
    if not workspace.studies.is_dir():
        raise UserError(
            f"--workspace: must be the workspace of the driver, as this machine sees it; got {workspace.root}, which "
            "has no folder studies/. Mount it here, or correct the path."
        )
    cluster.check()
    check_drivers(cluster, root=workspace.root, any_version=any(post.any_version for post in posts))
    # A signal to all processes of a job, as SLURM sends it, must not end the server and with it the workers.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        start_server(*TRAINING)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    with temporary_folder("worker") as folder:
        hosting = _Hosting(cluster, posts=posts, interface=interface, folder=folder, say=say, ends_at=ends_at)
        asyncio.run(hosting.run())


def check_drivers(cluster: Cluster, *, root: Path, any_version: bool) -> None:
    """Refuse to start where drivers are at work on a cluster and none of them would take this machine's workers.

    Raises:
        UserError: With what the one that stated its needs last has against us.
    """
    from deepcolor.execution.worker import silence_dask

    silence_dask()
    try:
        with cluster.client() as client:
            stated: dict[str, Any] = client.get_metadata([DRIVERS], default=None) or {}
    except OSError as error:
        raise UserError(
            f"--cluster: the scheduler at {cluster.address} must answer; got {error}. Check the address, and that it "
            "has the same version of Dask."
        ) from error
    fresh = [one for one in stated.values() if one and abs(time.time() - one["at"]) < STATED_FOR_S]
    refusals = [refusal(one, root=root, any_version=any_version) for one in fresh]
    if refusals and all(refusals):
        raise UserError(f"worker: must fit the driver on {fresh[-1]['host']}; got {refusals[-1].rstrip('.')}.")


class _Hosting:
    """The nannies of one `deepcolor worker`, in an event loop of their own."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        posts: Sequence[Post],
        interface: str | None,
        folder: Path,
        say: Callable[[str], None],
        ends_at: float | None,
    ) -> None:
        self._cluster = cluster
        self._posts = posts
        self._interface = interface
        self._folder = folder
        self._leave = folder / "leave"
        self._say = say
        self._ends_at = ends_at
        self._asked = 0
        self._nannies: list[Nanny] = []

    async def run(self) -> None:
        """Start, wait, end."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` leaves it
                loop.add_signal_handler(number, self._on_signal)
        try:
            await self._start()
            if not self._asked:
                self._say(f"worker: {self._slots()} at {self._cluster.address}")
            while not self._asked:
                if all(nanny.status.name in ENDED for nanny in self._nannies):
                    await self._reach_again()
                if self._ends_at is not None and time.monotonic() >= self._ends_at:
                    self._asked = 1
                    self._say(f"its time is over: {STOPPING}")
                await asyncio.sleep(_LOOK_EVERY_S)
            await self._let_finish()
        finally:
            await self._end()

    def _slots(self) -> str:
        gpus = sorted({post.label for post in self._posts if post.label})
        slots = counted(len(self._posts), "slot") + (f" on {', '.join(gpus)}" if gpus else "")
        return f"{slots} of {counted(self._posts[0].threads, 'CPU thread')}"

    def _on_signal(self) -> None:
        self._asked += 1
        if self._asked == 1:
            self._say(STOPPING)

    async def _start(self) -> None:
        import dask
        from distributed import Nanny

        from deepcolor.execution.cluster import nanny_options
        from deepcolor.execution.worker import HostedWorker

        dask.config.set(WORKER_SETTINGS)
        place, security = {"interface": self._interface} if self._interface else {}, self._cluster.security()
        self._nannies = [
            Nanny(
                self._cluster.address,
                **place,
                name=f"{platform.node()}-{os.getpid()}-{number}",
                security=security,
                worker_class=HostedWorker,
                leave=self._leave,
                **nanny_options(post, folder=self._folder),
            )
            for number, post in enumerate(self._posts)
        ]
        try:
            await asyncio.gather(*self._nannies)
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
            raise ExecutorError(f"worker: its processes could not be started; {said}.") from error

    async def _reach_again(self) -> None:
        """Start anew once the scheduler can be reached again, if it is the network that has failed.

        Raises:
            ExecutorError: The scheduler has ended, or cannot be reached for too long.
        """
        from deepcolor.execution.worker import CUT_OFF_FILE

        cut_off, until, said = self._leave.with_name(CUT_OFF_FILE), time.monotonic() + _AWAY_S, False
        until = min(until, self._ends_at or until)
        fault = await asyncio.to_thread(self._fault) if cut_off.exists() else None
        # A host that is there refuses what nobody listens to; a network that is not there answers nothing.
        while cut_off.exists() and fault is not None and not isinstance(fault.__cause__, ConnectionRefusedError):
            if self._asked or time.monotonic() > until:
                break
            if not said:
                minutes = counted(round(_AWAY_S / 60), "minute")
                self._say(f"worker: {self._cluster.address} cannot be reached; trying again for {minutes}")
                said = True
            await asyncio.sleep(_TRY_EVERY_S)
            fault = await asyncio.to_thread(self._fault)
        if self._asked:
            return
        if fault is not None or not cut_off.exists():
            raise ExecutorError(
                f"worker: its scheduler at {self._cluster.address} has ended, or has sent it away. "
                "All that was trained is kept up to the last checkpoint."
            )
        await self._end()
        cut_off.unlink()
        await self._start()
        self._say(f"worker: back at {self._cluster.address} with {self._slots()}")

    def _fault(self) -> UserError | None:
        try:
            self._cluster.check()
        except UserError as error:
            return error
        return None

    async def _let_finish(self) -> None:
        """Wait until no segment runs here any more, or a second signal wants it at once."""
        self._leave.touch()
        while self._asked < 2 and await self._is_busy():
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _is_busy(self) -> bool:
        living = [nanny for nanny in self._nannies if nanny.status.name not in ENDED and nanny.worker_address]
        if not living:
            return False
        try:
            held = await living[0].scheduler.processing(workers=[nanny.worker_address for nanny in living])
        except (OSError, KeyError):  # The scheduler has gone, or knows one of them no longer.
            return False
        return any(held.values())

    async def _end(self) -> None:
        for nanny in self._nannies:
            nanny.close_gracefully(reason="deepcolor-worker-ends")  # Else it would start another one.
            if nanny.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)  # It holds nothing any more that is not in the store.
        with suppress(Exception):
            await asyncio.gather(*(nanny.close(timeout=2) for nanny in self._nannies), return_exceptions=True)
