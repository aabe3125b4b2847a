"""What each of several worker processes on one machine is given: its GPU, its CPU threads, and where it works."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_VISIBLE = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""The variables by which a process is shown only some GPUs, of AMD's libraries and of NVIDIA's, which both heed."""


@dataclass(frozen=True)
class Post:
    """One worker process's share of a machine."""

    threads: int
    """CPU threads of torch."""
    device: str | None = None
    """The torch device of its segments, as it sees the machine; None: each segment's own."""
    label: str = ""
    """What the device is called where all GPUs are seen."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that show it its GPU alone."""
    root: Path | None = None
    """The workspace as it sees it; None: as the driver does."""
    any_version: bool = False
    """Work for drivers of other versions, too."""


def posts(
    *,
    workers: int,
    threads: int,
    devices: Sequence[str],
    root: Path | None = None,
    any_version: bool = False,
    environment: Mapping[str, str] | None = None,
) -> tuple[Post, ...]:
    """Divide a machine between worker processes.

    Args:
        workers: How many.
        threads: CPU threads of each.
        devices: Torch devices as this process sees them, for the workers in turn; empty: the segments say it, or `cpu`.
        root: See `Post`.
        any_version: See `Post`.
        environment: This process's; None: the real one.
    """
    found = []
    for number in range(workers):
        name = devices[number % len(devices)] if devices else None
        on_gpu = name is not None and name.startswith("cuda")
        found.append(
            Post(
                threads,
                device="cuda:0" if on_gpu else name,
                label=name if name is not None and on_gpu else "",
                environment=showing(name, environment=environment) if name is not None and on_gpu else {},
                root=root,
                any_version=any_version,
            )
        )
    return tuple(found)


def showing(device: str, *, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variable that shows a process one GPU alone, as its `cuda:0`.

    What this process is shown itself, by index or by UUID, stays the limit: its `cuda:1` is the second of these.

    Args:
        device: `cuda` or `cuda:N`, as this process counts them.
        environment: This process's; None: the real one.
    """
    known = os.environ if environment is None else environment
    variable = next((name for name in _VISIBLE if known.get(name)), _VISIBLE[-1])
    index = int(device.partition(":")[2] or 0)
    shown = [entry.strip() for entry in known.get(variable, "").split(",") if entry.strip()]
    return {variable: shown[index] if index < len(shown) else str(index)}
