"""How many trainings can run at a time, for whoever divides a machine or a cluster between several sweeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from deepcolor.execution.post import Slots
from deepcolor.execution.reach import Cluster

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterSupply", "MachineSupply", "Slots", "Supply"]

_LOOK_EVERY_S = 5.0


class Supply(Protocol):
    """The slots that there are: one for each training at a time, known by their numbers from 0."""

    @property
    def slots(self) -> int:
        """How many there are now."""

    @property
    def note(self) -> str:
        """What differs from what the user will expect, in a line."""

    def part(self, numbers: Sequence[int]) -> Slots:
        """Return what a sweep may use that has been given some of them."""

    def close(self) -> None:
        """Let go of what was asked for their number."""


@dataclass(frozen=True)
class MachineSupply:
    """The slots of this machine."""

    whole: Slots

    @classmethod
    def of(cls, *, workers: int | None, device: str) -> MachineSupply:
        """Divide this machine.

        Args:
            workers: How many slots; None: one a GPU, or one a core.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
        Raises:
            UserError: The number is below 1, or there is no such device.
        """
        from deepcolor.execution.devices import slots

        return cls(slots(workers=workers, device=device))

    @property
    def slots(self) -> int:
        return self.whole.workers

    @property
    def note(self) -> str:
        return self.whole.note

    def part(self, numbers: Sequence[int]) -> Slots:
        devices = self.whole.devices
        mine = tuple(devices[number % len(devices)] for number in numbers) if devices else ()
        # With the threads of the whole: they decide the last bits of a figure, which must not hang on the share.
        return Slots(len(numbers), self.whole.threads, mine)

    def close(self) -> None:
        pass


class ClusterSupply:
    """The workers of a cluster, which come and go."""

    note = ""

    def __init__(self, cluster: Cluster) -> None:
        """Make sure that its scheduler answers.

        Raises:
            UserError: It does not.
        """
        cluster.check()
        self._cluster = cluster
        self._client: Client | None = None
        self._known = 0
        self._looked_at: float | None = None

    @property
    def slots(self) -> int:
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            with suppress(Exception):  # While the scheduler is away, what was known last is as good as anything.
                self._known = self._counted()
        return self._known

    def part(self, numbers: Sequence[int]) -> Slots:
        return Slots(len(numbers), 1, ())

    def close(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._client.close(timeout=1)

    def _counted(self) -> int:
        if self._client is None or self._client.status == "closed":
            self._client = self._cluster.client()
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(worker["status"] == "running" for worker in workers)
