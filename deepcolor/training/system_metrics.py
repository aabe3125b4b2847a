"""What a training takes of its machine: CPU, memory and GPU, under the names that MLflow has for them.

The one place that knows psutil and NVML (nvidia-ml-py, the extra `gpu`). Nothing runs beside the training: the figures
are read between two epochs, and a second apart at least, so that they cost next to nothing (docs/performance.md).
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any

import psutil

EVERY_S = 1.0
"""Between two samples. NVML and the kernel count the use of a GPU and a CPU over parts of a second themselves."""
_MEGABYTE = 1e6
_DIGITS = 1
"""After the point, as MLflow rounds its own."""


class SystemMetrics:
    """Samples this process and its machine, from now on."""

    def __init__(self, *, gpu_uuid: str | None = None, gpu: int = 0, every_s: float = EVERY_S) -> None:
        """Begin to count.

        Args:
            gpu_uuid: Of the GPU that is trained on, as torch gives it; None: it is the CPU.
            gpu: The number that the training knows the GPU by, which is part of the names of its figures.
            every_s: The shortest time between two samples, in seconds; 0: there is one whenever it is asked for.
        """
        self._gpu = _gpu_handle(gpu_uuid) if gpu_uuid is not None else None
        self._gpu_number = gpu
        self._every_s = every_s
        self._process = psutil.Process()
        self._sampled_at = time.monotonic()
        psutil.cpu_percent()  # Both count from the call before.
        self._process.cpu_percent()

    def sample(self) -> dict[str, float]:
        """Return the figures by name; none if the last sample is too recent.

        `cpu_utilization_percentage` (of all cores) and `worker_cpu_utilization_percentage` (of this process; 100 is one
        core) are means since the last sample. `system_memory_usage_megabytes`, `system_memory_usage_percentage` and
        `worker_memory_usage_megabytes` are as they are now, and so are a GPU's memory (`gpu_0_memory_usage_megabytes`,
        `gpu_0_memory_usage_percentage`), power (`gpu_0_power_usage_watts`, `gpu_0_power_usage_percentage`) and
        `gpu_0_utilization_percentage`, which is of the last second at most. A megabyte has a million bytes.
        """
        if time.monotonic() - self._sampled_at < self._every_s:
            return {}
        self._sampled_at = time.monotonic()
        figures: dict[str, float] = {}
        with suppress(psutil.Error, OSError):  # Without /proc, as in some sandboxes, there is nothing to say.
            memory = psutil.virtual_memory()
            figures["cpu_utilization_percentage"] = psutil.cpu_percent()
            figures["system_memory_usage_megabytes"] = memory.used / _MEGABYTE
            figures["system_memory_usage_percentage"] = memory.used / memory.total * 100
            figures["worker_cpu_utilization_percentage"] = self._process.cpu_percent()
            figures["worker_memory_usage_megabytes"] = self._process.memory_info().rss / _MEGABYTE
        if self._gpu is not None:
            figures |= _gpu_figures(self._gpu, f"gpu_{self._gpu_number}")
        return {name: round(value, _DIGITS) for name, value in figures.items()}


def reads_gpus() -> bool:
    """Whether the library that reads a GPU's figures is installed."""
    return find_spec("pynvml") is not None


@cache
def _gpu_handle(uuid: str) -> Any:
    """What NVML knows a GPU by; None where it cannot be asked: neither library nor driver, or part of a GPU (MIG)."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None


def _gpu_figures(handle: Any, prefix: str) -> dict[str, float]:
    """Those that this GPU has: not every one tells its power."""
    import pynvml

    figures: dict[str, float] = {}
    with suppress(pynvml.NVMLError):
        figures[f"{prefix}_utilization_percentage"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        figures[f"{prefix}_memory_usage_megabytes"] = memory.used / _MEGABYTE
        figures[f"{prefix}_memory_usage_percentage"] = memory.used / memory.total * 100
    with suppress(pynvml.NVMLError):
        watts = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
        figures[f"{prefix}_power_usage_watts"] = watts
        figures[f"{prefix}_power_usage_percentage"] = watts * 100_000 / pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)
    return figures
