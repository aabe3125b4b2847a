"""Build a cache's arrays: lay them out, have child processes decode the photos into them, seal them with an index.

No torch in here: the children have it, and the process that drives a search need not import it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from deepcolor.atomic import TEMPORARY_PREFIX, temporary_beside
from deepcolor.config.schema import DataConfig
from deepcolor.counting import counted
from deepcolor.data.cache.index import INDEX_NAME, RGB_PART, ArrayFile, CacheIndex, array_name
from deepcolor.data.cache.portion import Portion
from deepcolor.data.folder import Progress, RejectedFile, threads
from deepcolor.data.identity import Augmentations
from deepcolor.data.manifest import Manifest, PictureFile, UndecodableError
from deepcolor.data.splits import SPLIT_NAMES, SplitName
from deepcolor.errors import DataError
from deepcolor.processes import await_end_of_server, decoding_pool, held_interrupts

_PORTION = 8
"""Pictures a child decodes at a time: short enough for an even share and a live progress bar."""

_LOSSES_ALLOWED = 2
"""How often processes that died are replaced; a portion that is decoded twice gives the same bytes."""

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
        UndecodableError: Pictures can no longer be decoded; all of them are named.
        DataError: A picture is gone, or a process that decodes died.
        OSError: The disk is full, or the folder cannot be written to.
    """
    for stale in folder.parent.glob(f"{TEMPORARY_PREFIX}*"):  # Of any machine: the lock says that nobody builds here.
        shutil.rmtree(stale, ignore_errors=True)
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        rows = {name: _rows_of(manifest, name) for name in SPLIT_NAMES}
        _allocate(temporary, rows, config)
        lost = _decode(list(_portions(temporary, rows, manifest, config)), on_progress=on_progress)
        if lost:
            raise UndecodableError(manifest, lost)
        _write_index(temporary, rows, config, digest=digest)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rows_of(manifest: Manifest, split: SplitName) -> list[PictureFile]:
    """Return a split's pictures in an order that hangs on their contents, as the digest does, not on their names."""
    return sorted((file for file in manifest.files if file.split == split), key=lambda file: (file.sha256, file.path))


def _stored_copies(config: DataConfig, split: SplitName) -> Augmentations:
    return config.augment.active if split == "train" and config.augment.mode == "fixed" else ()


def _keeps_rgb(config: DataConfig, split: SplitName) -> bool:
    return split == "train" and config.augment.mode == "fresh" and bool(config.augment.active)


def _allocate(folder: Path, rows: _Rows, config: DataConfig) -> None:
    size = config.size_px
    for name, files in rows.items():
        count = len(files) * (1 + len(_stored_copies(config, name)))
        _new_array(folder / array_name(name, "lightness"), np.float16, (count, 1, size, size))
        _new_array(folder / array_name(name, "ab"), np.float16, (count, 2, size, size))
        _new_array(folder / array_name(name, "mean_ab"), np.float32, (count, 2))
        if _keeps_rgb(config, name):
            _new_array(folder / array_name(name, RGB_PART), np.uint8, (len(files), size, size, 3))


def _new_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):
        # A full disk is an error here; met while writing to the mapping it would kill the process.
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _portions(folder: Path, rows: _Rows, manifest: Manifest, config: DataConfig) -> Iterator[Portion]:
    for split, files in rows.items():
        for first in range(0, len(files), _PORTION):
            yield Portion(
                folder=folder,
                split=split,
                originals=len(files),
                first_row=first,
                pictures=tuple((file.path, file.sha256) for file in files[first : first + _PORTION]),
                copies=_stored_copies(config, split),
                keeps_rgb=_keeps_rgb(config, split),
                source=manifest.source,
                seed=manifest.seed,
                size_px=config.size_px,
            )


def _decode(portions: Sequence[Portion], *, on_progress: Progress | None) -> list[RejectedFile]:
    """Decode portions, by new processes in place of those that die; return the pictures that cannot be decoded."""
    rejected: list[RejectedFile] = []
    total = _pictures(portions)
    left, losses = list(portions), 0
    while left:
        try:
            with closing(_filled(left)) as filled:  # However this ends, the pool ends first.
                for rejected_of_it in filled:
                    rejected += rejected_of_it
                    left.pop(0)
                    _tell(on_progress, total - _pictures(left), total)
        except (BrokenProcessPool, EOFError, ConnectionError) as error:  # One of them, or the server that forks them.
            if not isinstance(error, BrokenProcessPool):
                await_end_of_server()
            losses += 1
            done = total - _pictures(left)
            if losses > _LOSSES_ALLOWED:
                raise DataError(
                    f"decoding: its processes must live until it is done; they died {losses} times, after {done} of "
                    f"{counted(total, 'picture')}, most likely for want of memory. "
                    "Close other programs, then run the same command again."
                ) from error
            _tell(on_progress, done, total)  # Who ended them may have asked this process to end, too, and it hears now.
    return rejected


def _filled(portions: Sequence[Portion]) -> Generator[list[RejectedFile]]:
    """Decode portions by a pool of processes; give what each came to, in their order."""
    pool = decoding_pool(min(threads(), len(portions)))
    try:
        with held_interrupts():
            results = _asked(pool, portions)
        yield from results
    except BaseException:
        # A pool that breaks while it starts its processes forgets to end the last of them, and waits for it forever.
        started: Any = pool._processes  # noqa: SLF001
        for process in list((started or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _asked(pool: ProcessPoolExecutor, portions: Sequence[Portion]) -> Iterator[list[RejectedFile]]:
    try:
        return pool.map(_fill, list(portions))
    except OSError as error:
        if error.errno not in (None, errno.EBADF):
            raise
        # One died while others were still being started, with pipes that the pool has closed by then.
        raise BrokenProcessPool(str(error)) from error


def _pictures(portions: Sequence[Portion]) -> int:
    return sum(len(portion.pictures) for portion in portions)


def _tell(on_progress: Progress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)


def _fill(portion: Portion) -> list[RejectedFile]:
    """Decode a portion; what that takes is imported by the child that does it."""
    from deepcolor.data.cache.decode import fill

    return fill(portion)


def _write_index(folder: Path, rows: _Rows, config: DataConfig, *, digest: str) -> None:
    arrays = sorted(folder.glob("*.npy"))
    for path in arrays:
        _sync(path)
    index = CacheIndex(
        digest=digest,
        size_px=config.size_px,
        augmentations=config.augment.active,
        fresh=config.augment.mode == "fresh",
        names={split: tuple(file.path for file in members) for split, members in rows.items()},
        sha256s={split: tuple(file.sha256 for file in members) for split, members in rows.items()},
        files={path.name: ArrayFile(bytes=path.stat().st_size, sha256=_digest(path)) for path in arrays},
    )
    with (folder / INDEX_NAME).open("wb") as stream:
        stream.write(index.model_dump_json().encode())
        stream.flush()
        os.fsync(stream.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())
