"""How many segments this machine runs at a time, and on what.

The system is asked whether there are GPUs, and answers at once. torch is asked how many of them it can use, in a
process of its own and only if there may be one: the driver does not import torch, and a GPU that the system lists but
torch cannot use must not fail every trial.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepcolor.counting import counted
from deepcolor.errors import CodeError, DeepcolorError, UserError
from deepcolor.execution.executor import Executor, RunSegment, run_segment
from deepcolor.execution.post import Slots
from deepcolor.execution.profile import SlurmProfile
from deepcolor.execution.reach import Cluster
from deepcolor.execution.serial import SerialExecutor
from deepcolor.fields.named import EXECUTORS
from deepcolor.limits import check_room
from deepcolor.plugins import load_here
from deepcolor.workspace import Workspace

_SIGNS_OF_A_GPU = (Path("/proc/driver/nvidia/gpus"), Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
"""NVIDIA's driver on Linux (a folder with an entry for each; in some containers its device alone), Windows' own under
WSL, and AMD's."""
_DEVICE = re.compile(r"auto|cpu|cuda(?::(?P<index>[0-9]{1,3}))?")
_GIVEN_CORES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""How many cores a job of SLURM's has, where it is said: for each of its tasks, else on this machine."""
_ASK_TORCH = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
_ANSWER_WITHIN_S = 300


@dataclass(frozen=True)
class Gpus:
    """What is known of a machine's GPUs."""

    listed: bool
    """The system says that there are some."""
    usable: int
    """How many torch can use; 0 if it was not asked."""


def cores() -> int:
    """CPU cores this process may use; in a job of SLURM's no more than it asked for, bound to them or not."""
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = next((text for name in _GIVEN_CORES if (text := os.environ.get(name, "")).isdecimal()), "")
    return max(1, min(number, int(given))) if given else number


def cut(device: str, *, workers: int | None, cores: int, gpus: Gpus, slots_per_gpu: int | None = None) -> Slots:
    """Decide how many segments run at a time, and on what: one per GPU, one per core, or as many as are asked for.

    Args:
        device: `auto` (all GPUs if there are any, else the CPU), `cpu`, `cuda` (all GPUs), or `cuda:N` (that one).
        workers: How many are asked for; several can share a GPU.
        cores: CPU cores that can be used.
        gpus: What is known of the GPUs.
        slots_per_gpu: How many share each GPU; None: one.
    Raises:
        UserError: A number is below 1, both numbers are given, or there is no such device.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers: must be 1 or more; got {workers}. Leave it out to use the whole machine.")
    if slots_per_gpu is not None and slots_per_gpu < 1:
        raise UserError(f"--slots-per-gpu: must be 1 or more; got {slots_per_gpu}. Leave it out for one a GPU.")
    if workers is not None and slots_per_gpu is not None:
        got = f"--workers {workers} and --slots-per-gpu {slots_per_gpu}"
        raise UserError(f"--slots-per-gpu: must be given without --workers; got {got}. Leave one of them out.")
    known = _DEVICE.fullmatch(device)
    if known is None:
        raise UserError(f"--device: must be auto, cpu, cuda or cuda:N; got {device!r}. Choose one of these.")
    if known["index"] is not None or device == "cuda":
        _check_usable(device, index=int(known["index"] or 0), usable=gpus.usable)
    usable = [] if device == "cpu" else [f"cuda:{index}" for index in range(gpus.usable)]
    if known["index"] is not None:
        usable = [device]
    number = workers or len(usable) * (slots_per_gpu or 1) or cores
    devices = tuple(usable[index % len(usable)] for index in range(number)) if usable else ()
    note = "" if usable or device == "cpu" or not gpus.listed else _NOT_USABLE
    return Slots(number, max(1, cores // number), devices, note)


_NOT_USABLE = (
    "this machine has a GPU that torch cannot use, so everything is computed on the CPU. "
    'To see why: python -c "import torch; torch.zeros(1).cuda()"; --device cpu hides this note'
)


def slots(*, workers: int | None, device: str, slots_per_gpu: int | None = None) -> Slots:
    """Divide this machine as `cut` does.

    Raises:
        UserError: A number is below 1, or there is no such device.
    """
    return cut(device, workers=workers, cores=cores(), gpus=gpus_for(device), slots_per_gpu=slots_per_gpu)


def gpus_for(device: str) -> Gpus:
    """Look for GPUs, as far as the device asked for needs them."""
    listed = any(_is_there(sign) for sign in _SIGNS_OF_A_GPU)
    known = _DEVICE.fullmatch(device)  # Torch, whose import takes seconds, is not asked because of a slip.
    asked = known is not None and device != "cpu" and (listed or device != "auto")
    return Gpus(listed, usable_by_torch() if asked else 0)


def on_gpu(device: str) -> bool:
    """Whether segments of a device run on a GPU."""
    return device.startswith("cuda") or gpus_for(device).usable > 0


@functools.cache
def usable_by_torch() -> int:
    """Ask torch, in a process of its own, how many GPUs it can use; 0 if it does not answer."""
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", _ASK_TORCH],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
        return int(asked.stdout.split()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return 0


def make_executor(
    kind: str,
    *,
    workers: int | None,
    device: str,
    run: RunSegment = run_segment,
    slots_per_gpu: int | None = None,
    cluster: Cluster | SlurmProfile | None = None,
    workspace: Workspace | None = None,
    part: Slots | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Executor:
    """Build `serial` (this process), `local` (worker processes), `dask` (a cluster elsewhere), `slurm` (jobs) or one of
    the user's, for segments run by `run`.

    Args:
        kind: A shipped one, `FILE.py:NAME` (from the current folder), `package.module:NAME`, or an entry point.
        workers: See `cut`.
        device: See `cut`.
        run: Runs a segment.
        slots_per_gpu: See `cut`.
        cluster: Of `dask`: where its scheduler is. Of `slurm`: what the jobs are like.
        workspace: Of these two: the one that all workers see.
        part: What may be used of the machine, or of the cluster's workers; None: all.
        say: Of these two: is told of workers that come and go.
    Raises:
        UserError: There is no executor of this name, no such device, a number is below 1, no scheduler answers, or
            what SLURM needs is missing.
        CodeError: The user's executor cannot be imported, or lacks a part of an `Executor`.
        LimitError: This shell allows too few files or processes, or too little memory, for so many workers.
    """
    if kind not in EXECUTORS.shipped:
        return _of_the_user(kind, part or slots(workers=workers, device=device, slots_per_gpu=slots_per_gpu), run)
    if kind == "dask":
        return _on_cluster(cluster, workspace, run, say, at_most=part.workers if part else None)
    if kind == "slurm":
        return _in_jobs(cluster, workspace, run, say)
    if kind == "serial":
        if device != "auto":  # On auto, the segment itself finds what there is.
            slots(workers=workers, device=device)
        check_room(workers=1)
        return SerialExecutor(run)
    from deepcolor.execution.local import LocalExecutor

    made = part or slots(workers=workers, device=device, slots_per_gpu=slots_per_gpu)
    check_room(workers=made.workers)
    return LocalExecutor(run, workers=made.workers, threads=made.threads, devices=made.devices)


def _on_cluster(
    cluster: Cluster | SlurmProfile | None,
    workspace: Workspace | None,
    run: RunSegment,
    say: Callable[[str], None],
    *,
    at_most: int | None,
) -> Executor:
    if not isinstance(cluster, Cluster) or workspace is None:
        raise UserError(
            "--executor: dask needs a cluster; got none. Give its address: --cluster tcp://HOST:PORT (docs/cluster.md)."
        )
    from deepcolor.execution.remote import ClusterExecutor

    cluster.check()
    return ClusterExecutor(run, cluster=cluster, workspace=workspace, say=say, at_most=at_most)


def _in_jobs(
    profile: Cluster | SlurmProfile | None,
    workspace: Workspace | None,
    run: RunSegment,
    say: Callable[[str], None],
) -> Executor:
    if not isinstance(profile, SlurmProfile) or workspace is None:
        raise UserError(
            "--executor: slurm needs the profile of a site; got none. Write one and give --cluster slurm "
            "(docs/cluster.md)."
        )
    from deepcolor.execution.site import check_installed
    from deepcolor.execution.slurm import SlurmExecutor

    check_installed()
    return SlurmExecutor(run, profile=profile, workspace=workspace, say=say)


def _of_the_user(kind: str, made: Slots, run: RunSegment) -> Executor:
    if EXECUTORS.reference(kind) is None:
        refusal = EXECUTORS.unknown(kind)
        raise UserError(f"--executor: {refusal.rule}; got {refusal.got}. {refusal.advice}")
    executor = load_here(kind, group=EXECUTORS.group, folder=Path())
    check_room(workers=1)  # Where its workers run is its own business.
    try:
        built: Executor = executor(run, workers=made.workers, threads=made.threads, devices=made.devices)
    except DeepcolorError:
        raise
    except Exception as error:
        rule, got = f"{kind} must take (run, workers=..., threads=..., devices=...)", f"{type(error).__name__}: {error}"
        raise CodeError(rule, got=got, advice="See deepcolor.execution.Executor.") from error
    lacking = [name for name in _MEMBERS if not hasattr(built, name)]
    if lacking:
        raise CodeError(f"{kind} must have {', '.join(lacking)}", advice="See deepcolor.execution.Executor.")
    return built


_MEMBERS = ("slots", "child_imports", "prepare", "submit", "events", "close")


def _is_there(sign: Path) -> bool:
    try:
        return any(sign.iterdir()) if sign.is_dir() else sign.exists()
    except OSError:
        return False


def _check_usable(device: str, *, index: int, usable: int) -> None:
    if index < usable:
        return
    seen = counted(usable, "GPU") + (f", cuda:0 to cuda:{usable - 1}" if usable > 1 else ", cuda:0" if usable else "")
    raise UserError(
        f"--device: must be a GPU that torch can use; got {device}, and torch sees {seen}. "
        "Choose another one, auto or cpu, or fix the GPU's driver."
    )
