"""Data sets decoded once: L*a*b* arrays on disk that every worker process maps into its memory and none copies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from deepcolor.data.cache.index import RGB_PART, CacheIndex, array_name, read_index
from deepcolor.data.splits import SPLIT_NAMES, SplitName

Target = Literal["pixels", "mean"]

DrawFresh = Callable[[list[int], int, int], tuple[torch.Tensor, torch.Tensor]]
"""(rows, seed, epoch) -> normalised L*, shape (B, 1, H, W), and a*, b* in CIELAB units, shape (B, 2, H, W)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The pictures of one split, their augmented copies included."""

    lightness_N1HW: torch.Tensor
    """Normalised L*, float16 in [0, 1]. Do not write: it is the file itself, mapped read-only."""
    ab_N2HW: torch.Tensor
    """a*, b*, float16 in CIELAB units; mapped likewise."""
    mean_ab_N2: torch.Tensor
    """Mean a*, b* of each row, float32 in CIELAB units."""
    names: tuple[str, ...]
    """Relative paths of the originals, the first rows; each augmentation's copies follow in the same order."""
    device: torch.device
    """Where batches go."""
    draw_fresh: DrawFresh | None = None
    """Draws the copies that are not stored; None when all are."""
    copies: int = 0
    """Augmented copies of each original."""

    def __len__(self) -> int:
        return len(self.names) * (1 + self.copies)

    def batch(self, rows: torch.Tensor, *, seed: int, epoch: int, target: Target) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one batch, ready for a network.

        Args:
            rows: int64, shape (B,), each below `len(self)`.
            seed: With `epoch` decides the copies under fresh augmentation; has no effect otherwise.
            epoch: The epoch being trained.
            target: `pixels` for a*, b* of every pixel; `mean` for their means, the pixels' colours then stay unread.
        Returns:
            Normalised L*, shape (B, 1, H, W), and a*, b* in CIELAB units, shape (B, 2, H, W) or (B, 2); float32, on
            `device`.
        """
        if self.draw_fresh is not None:
            return self._fresh_batch(rows, seed=seed, epoch=epoch, target=target)
        # Not waited for: the GPU would stand still between two batches.
        rows = rows.to(self.lightness_N1HW.device, non_blocking=True)
        wanted = self.mean_ab_N2 if target == "mean" else self.ab_N2HW
        return self._ready(self.lightness_N1HW.index_select(0, rows)), self._ready(wanted.index_select(0, rows))

    def _fresh_batch(
        self, rows: torch.Tensor, *, seed: int, epoch: int, target: Target
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.draw_fresh is not None
        rows = rows.cpu()
        is_copy = rows >= len(self.names)
        originals = rows[~is_copy]
        size = self.lightness_N1HW.shape[-2:]
        lightness, ab = torch.empty(len(rows), 1, *size), torch.empty(len(rows), 2, *size)
        lightness[~is_copy] = self.lightness_N1HW.index_select(0, originals).float()
        ab[~is_copy] = self.ab_N2HW.index_select(0, originals).float()
        if is_copy.any():
            lightness[is_copy], ab[is_copy] = self.draw_fresh(rows[is_copy].tolist(), seed, epoch)
        return self._ready(lightness), self._ready(ab.mean((2, 3)) if target == "mean" else ab)

    def _ready(self, values: torch.Tensor) -> torch.Tensor:
        # Half precision travels to the device, and becomes single precision there.
        return values.to(self.device, non_blocking=True).float()


@dataclass(frozen=True, eq=False)
class CachedData:
    """A decoded data set, open for training. Opening maps files and reads nothing: a worker process does it at will."""

    digest: str
    size_px: int
    train: Split
    val: Split
    test: Split

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Map the arrays `ensure_cache` built; for CUDA, move them there if they take at most half of the free memory.

        Training pictures whose copies are drawn anew in every epoch stay: a batch is put together where it is drawn.

        Raises:
            DataError: There is no cache.
            CorruptFileError: A file is missing or not as long as it was written.
        """
        index = read_index(folder)
        where = torch.device(device)
        home = where if _fits(index, where) else torch.device("cpu")
        splits = {name: _open_split(folder, index, name, home=home, device=where) for name in SPLIT_NAMES}
        return cls(
            digest=index.digest, size_px=index.size_px, train=splits["train"], val=splits["val"], test=splits["test"]
        )


def _fits(index: CacheIndex, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    torch.cuda.empty_cache()  # What earlier trainings of this process have left with torch counts as free.
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return sum(file.bytes for file in index.files.values()) <= free_bytes / 2


def _open_split(folder: Path, index: CacheIndex, name: SplitName, *, home: torch.device, device: torch.device) -> Split:
    augmentations = index.augmentations if name == "train" else ()
    drawer = _fresh_drawer(folder, index) if augmentations and index.fresh else None
    lightness, ab, mean_ab = (
        _mapped(folder / array_name(name, part)).to(home if drawer is None else "cpu")
        for part in ("lightness", "ab", "mean_ab")
    )
    return Split(
        lightness_N1HW=lightness,
        ab_N2HW=ab,
        mean_ab_N2=mean_ab,
        names=index.names[name],
        device=device,
        draw_fresh=drawer,
        copies=len(augmentations),
    )


def _fresh_drawer(
    folder: Path, index: CacheIndex
) -> Callable[[list[int], int, int], tuple[torch.Tensor, torch.Tensor]]:
    from deepcolor.data.augment import FreshCopies

    rgb_NHW3 = np.load(folder / array_name("train", RGB_PART), mmap_mode="r")
    return FreshCopies(rgb_NHW3, sha256s=index.sha256s["train"], augmentations=index.augmentations).draw


def _mapped(path: Path) -> torch.Tensor:
    array: Any = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        # Nothing here writes, and the mapping would refuse; torch has no read-only tensors to say so with.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)
