"""What this machine is, in the words its makers use. No torch in here: it is asked before anything is imported."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def cpu_name() -> str:
    """Return the processor's model, such as `AMD EPYC 7B13`; its architecture where the system does not say."""
    return _field(_CPU_INFO, "model name") or platform.processor() or platform.machine()


def gpu_names() -> tuple[str, ...]:
    """Return the model of every NVIDIA GPU, in the order of their addresses; empty without a driver."""
    try:
        folders = sorted(_GPUS.iterdir())
    except OSError:
        return ()
    return tuple(_field(folder / "information", "Model") or "NVIDIA GPU" for folder in folders)


def memory_bytes() -> int:
    """Return the machine's memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def system_name() -> str:
    """Return the operating system, such as `Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _field(file: Path, name: str) -> str | None:
    """The first `name: value` line of a file of the kernel's."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)
