"""Turn photos into a cache's arrays: decode, cut square, augment, convert to L*a*b*; draw fresh copies the same way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deepcolor.atomic import TEMPORARY_PREFIX
from deepcolor.color import normalise_lightness, rgb_to_lab, to_uint8
from deepcolor.config.schema import DataConfig
from deepcolor.data.augment import augmented
from deepcolor.data.folder import Progress, threads
from deepcolor.data.images import centre_square, read_picture
from deepcolor.data.manifest import Manifest, PictureFile
from deepcolor.data.splits import SPLIT_NAMES, SplitName
from deepcolor.data.stored import INDEX_NAME, ArrayFile, CacheIndex, checksum

Augmentations = tuple[tuple[str, float], ...]
"""(name, strength) of each copy, in order."""

_Rows = Mapping[SplitName, Sequence[PictureFile]]


def build_cache(
    folder: Path, manifest: Manifest, config: DataConfig, *, digest: str, on_progress: Progress | None = None
) -> None:
    """Write the arrays and their index into `folder`, which appears whole or not at all; call it under a lock.

    Args:
        folder: Must not exist; what crashed builds left beside it is removed.
        manifest: Its pictures have been verified.
        config: Size and augmentation.
        digest: Of the two.
        on_progress: Called with (pictures done, all pictures).
    Raises:
        DataError: A picture can no longer be decoded.
        OSError: The disk is full, or the folder cannot be written to.
    """
    for stale in folder.parent.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = folder.parent / f"{TEMPORARY_PREFIX}{folder.name}-{token_hex(4)}"
    temporary.mkdir()
    try:
        rows = {name: _rows_of(manifest, name) for name in SPLIT_NAMES}
        arrays = _allocate(temporary, rows, config)
        _fill(arrays, rows, manifest, config, on_progress=on_progress)
        _write_index(temporary, arrays, rows, config, digest=digest)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class FreshCopies:
    """Draws augmented copies anew for every epoch, as a function of (seed, epoch, picture, augmentation) alone."""

    rgb_NHW3: npt.NDArray[np.uint8]
    """The training split's originals."""
    sha256s: tuple[str, ...]
    augmentations: Augmentations

    def draw(self, rows: list[int], seed: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised L* (B, 1, H, W) and a*, b* (B, 2, H, W) in CIELAB units, float32, of copies' rows."""
        pictures = []
        for row in rows:
            copy, picture = divmod(row, len(self.sha256s))
            name, strength = self.augmentations[copy - 1]
            key = f"{seed}:{epoch}:{self.sha256s[picture]}"
            pictures.append(augmented(self.rgb_NHW3[picture], name=name, strength=strength, key=key))
        lightness_BHW, ab_BHW2 = rgb_to_lab(np.stack(pictures))
        lightness = torch.from_numpy(normalise_lightness(lightness_BHW)).unsqueeze(1)
        return lightness, torch.from_numpy(ab_BHW2).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The memory-mapped files of one split while they are filled."""

    lightness_N1HW: npt.NDArray[Any]
    ab_N2HW: npt.NDArray[Any]
    mean_ab_N2: npt.NDArray[Any]
    rgb_NHW3: npt.NDArray[Any] | None

    def put(self, rows: Sequence[int], rgb_KHW3: npt.NDArray[np.uint8]) -> None:
        lightness_KHW, ab_KHW2 = rgb_to_lab(rgb_KHW3)
        ab_K2HW = np.ascontiguousarray(np.moveaxis(ab_KHW2, -1, 1))
        self.lightness_N1HW[rows, 0] = normalise_lightness(lightness_KHW)
        self.ab_N2HW[rows] = ab_K2HW
        self.mean_ab_N2[rows] = ab_K2HW.mean(axis=(2, 3), dtype=np.float64)


def _rows_of(manifest: Manifest, split: SplitName) -> list[PictureFile]:
    """Return a split's pictures in an order that hangs on their contents, as the digest does, not on their names."""
    return sorted((file for file in manifest.files if file.split == split), key=lambda file: (file.sha256, file.path))


def _stored_copies(config: DataConfig, split: SplitName) -> Augmentations:
    return config.augment.active if split == "train" and config.augment.mode == "fixed" else ()


def _allocate(
    folder: Path, rows: Mapping[SplitName, Sequence[PictureFile]], config: DataConfig
) -> dict[SplitName, _Arrays]:
    size, arrays = config.size_px, {}
    for name, files in rows.items():
        originals = len(files)
        count = originals * (1 + len(_stored_copies(config, name)))
        keeps_rgb = name == "train" and config.augment.mode == "fresh" and config.augment.active
        arrays[name] = _Arrays(
            lightness_N1HW=_new_array(folder / f"{name}_lightness.npy", np.float16, (count, 1, size, size)),
            ab_N2HW=_new_array(folder / f"{name}_ab.npy", np.float16, (count, 2, size, size)),
            mean_ab_N2=_new_array(folder / f"{name}_mean_ab.npy", np.float32, (count, 2)),
            rgb_NHW3=_new_array(folder / f"{name}_rgb.npy", np.uint8, (originals, size, size, 3))
            if keeps_rgb
            else None,
        )
    return arrays


def _new_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):
        # A full disk is an error here; met while writing to the mapping it would kill the process.
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def _fill(
    arrays: Mapping[SplitName, _Arrays],
    rows: _Rows,
    manifest: Manifest,
    config: DataConfig,
    *,
    on_progress: Progress | None,
) -> None:
    def fill_one(job: tuple[SplitName, int, PictureFile]) -> None:
        split, row, file = job
        rgb = to_uint8(centre_square(read_picture(manifest.source / file.path).rgb_HW3, config.size_px))
        key = f"{manifest.seed}:{file.sha256}"
        stored = _stored_copies(config, split)
        copies = [augmented(rgb, name=name, strength=strength, key=key) for name, strength in stored]
        target = arrays[split]
        target.put(range(row, len(rows[split]) * (1 + len(copies)), len(rows[split])), np.stack([rgb, *copies]))
        if target.rgb_NHW3 is not None:
            target.rgb_NHW3[row] = rgb

    jobs = [(split, row, file) for split, files in rows.items() for row, file in enumerate(files)]
    pool = ThreadPoolExecutor(threads())
    torch_threads = torch.get_num_threads()
    # Pictures are small, and each has a thread of ours: torch's own would only wait for one another.
    torch.set_num_threads(1)
    try:
        for done, _ in enumerate(pool.map(fill_one, jobs), start=1):
            if on_progress is not None:
                on_progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)


def _write_index(
    folder: Path,
    arrays: Mapping[SplitName, _Arrays],
    rows: _Rows,
    config: DataConfig,
    *,
    digest: str,
) -> None:
    for split in arrays.values():
        for array in (split.lightness_N1HW, split.ab_N2HW, split.mean_ab_N2, split.rgb_NHW3):
            if isinstance(array, np.memmap):
                array.flush()
    files = {
        path.name: ArrayFile(bytes=path.stat().st_size, crc32=checksum(path)) for path in sorted(folder.glob("*.npy"))
    }
    index = CacheIndex(
        digest=digest,
        size_px=config.size_px,
        augmentations=config.augment.active,
        fresh=config.augment.mode == "fresh",
        names={split: tuple(file.path for file in members) for split, members in rows.items()},
        sha256s={split: tuple(file.sha256 for file in members) for split, members in rows.items()},
        files=files,
    )
    with (folder / INDEX_NAME).open("wb") as stream:
        stream.write(index.model_dump_json().encode())
        stream.flush()
        os.fsync(stream.fileno())
