"""How machines are divided between worker processes: what each is given, and where it finds the driver's files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepcolor.training.trajectory import Segment

SLOT = "deepcolor-slot"
"""The resource of which each worker process has one, and each segment takes one."""

_VISIBLE = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""The variables by which a process is shown only some GPUs, of AMD's libraries and of NVIDIA's, which both heed."""


@dataclass(frozen=True)
class Slots:
    """How an executor divides a machine."""

    workers: int
    threads: int
    """CPU threads of each worker."""
    devices: tuple[str, ...]
    """One torch device per worker; empty on the CPU."""
    note: str = ""
    """What differs from what the user will expect, in a line."""


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
    scratch: Path | None = None
    """Where decoded pictures are copied to, on its machine's own disk; None: they are read from the workspace."""


def posts(
    *,
    workers: int,
    threads: int,
    devices: Sequence[str],
    root: Path | None = None,
    any_version: bool = False,
    environment: Mapping[str, str] | None = None,
    scratch: Path | None = None,
) -> tuple[Post, ...]:
    """Divide a machine between worker processes.

    Args:
        workers: How many.
        threads: CPU threads of each.
        devices: Torch devices as this process sees them, for the workers in turn; empty: the segments say it, or `cpu`.
        root: See `Post`.
        any_version: See `Post`.
        environment: This process's; None: the real one.
        scratch: See `Post`.
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
                scratch=scratch,
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


def moved(segment: Segment, *, there: Path | None, here: Path | None) -> Segment:
    """Return a segment whose files lie below another workspace: the same one, as another machine sees it.

    Args:
        segment: As the driver has made it.
        there: The driver's path of the workspace; None: all paths stay as they are.
        here: This machine's path of it; None: the same.
    """
    if there is None or here is None or there == here:
        return segment

    def place(path: Path) -> Path:
        return path_below(path, there=there, here=here)

    trajectory = segment.trajectory
    if (init := trajectory.init) is not None:
        trajectory = replace(trajectory, init=replace(init, folder=place(init.folder)))
    return replace(
        segment,
        trajectory=trajectory,
        store=place(segment.store),
        cache=place(segment.cache),
        stop_file=segment.stop_file and place(segment.stop_file),
        trial_stop_file=segment.trial_stop_file and place(segment.trial_stop_file),
        code=segment.code and place(segment.code),
    )


def path_below(path: Path, *, there: Path, here: Path) -> Path:
    """Return a path below one folder as the path below another; elsewhere it stays as it is."""
    return here / path.relative_to(there) if path.is_relative_to(there) else path
