"""How many segments this machine runs at a time, and on what. Looks at the machine without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deepcolor.errors import UserError
from deepcolor.execution.executor import Executor, RunSegment, run_segment
from deepcolor.execution.serial import SerialExecutor

_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Slots:
    """How an executor is cut to a machine."""

    workers: int
    threads: int
    """CPU threads of each worker."""
    devices: tuple[str, ...]
    """One torch device a worker; empty on the CPU."""


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """NVIDIA GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() and part.strip() != "-1"])
    try:
        return len(list(_GPUS.iterdir()))
    except OSError:
        return 0


def slots(*, workers: int | None, device: str) -> Slots:
    """Return one worker a GPU, or one a core, unless a number of workers is asked for.

    Raises:
        UserError: `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers: must be 1 or more; got {workers}. Leave it out to use the whole machine.")
    count = gpus() if device in ("auto", "cuda") else 0
    number = workers or max(count, 1) if count else workers or cores()
    devices = tuple(f"cuda:{index % count}" for index in range(number)) if count else ()
    return Slots(number, max(1, cores() // number), devices)


def make_executor(kind: str, *, workers: int | None, device: str, run: RunSegment = run_segment) -> Executor:
    """Build `serial` (this process) or `local` (worker processes), for segments run by `run`.

    Raises:
        UserError: There is no executor of this name.
    """
    if kind == "serial":
        return SerialExecutor(run)
    if kind == "local":
        from deepcolor.execution.local import LocalExecutor

        cut = slots(workers=workers, device=device)
        return LocalExecutor(run, workers=cut.workers, threads=cut.threads, devices=cut.devices)
    raise UserError(f"--executor: must be serial or local; got {kind!r}.")
