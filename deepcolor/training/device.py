"""Which device a training runs on, and how torch is set up for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deepcolor.counting import counted
from deepcolor.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` stands for.

    Args:
        name: `auto` is the GPU where torch sees one, else the CPU.
    Raises:
        ConfigError: The name is none of these, or torch sees no such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise ConfigError(f"device: must be auto, cpu, cuda or cuda:N; got {name!r}. Choose one of these.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: torch sees {counted(torch.cuda.device_count(), 'GPU')}; got {name!r}. "
            "Use auto or cpu, or fix the driver."
        )
    return torch.device(name)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether mixed precision makes a device faster: a GPU, or a CPU with AVX-512 BF16 or AMX. Others would
    only imitate it, several times as slowly.
    """
    if device.type != "cpu":
        return True
    # torch has no public name for these.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


@contextmanager
def torch_set_up(*, threads: int | None, reduced_precision: bool) -> Iterator[None]:
    """Set torch up so that the same segment gives the same numbers, and leave it as it was.

    Args:
        threads: CPU threads of one operation; None leaves torch's own choice. Sums are split by thread, so the last
            bits of a number may change with it.
        reduced_precision: Whether a GPU may round the factors of convolutions (TF32).
    """
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=reduced_precision
        ):
            yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)
