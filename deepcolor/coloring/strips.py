"""Work on a photo in strips of rows, several at a time: what is computed in between stays small, and in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

STRIP_PX = 2**16
"""Pixels of a strip: a quarter of a megabyte for each plane of floats."""

Result = TypeVar("Result")


def in_strips(
    work: Callable[[slice], Result], *, height_px: int, width_px: int, strip_px: int | None = None
) -> list[Result]:
    """Call `work` for every strip of a picture, in as many threads as torch computes with.

    What it does to a row must not depend on the other rows of its strip, but for the last bits of a float.

    Args:
        work: Is given the strip's rows.
        height_px: The picture's height.
        width_px: The picture's width.
        strip_px: Pixels of a strip, about; None: `STRIP_PX`.
    Returns:
        What it gave for each strip, from the top down.
    """
    strips = list(_strips(height_px, width_px, STRIP_PX if strip_px is None else strip_px))
    threads = min(len(strips), torch.get_num_threads())
    if threads < 2:
        return [work(rows) for rows in strips]
    with ThreadPoolExecutor(threads, thread_name_prefix="strips") as pool:
        return list(pool.map(work, strips))


def _strips(height_px: int, width_px: int, strip_px: int) -> Iterator[slice]:
    rows = max(1, strip_px // width_px)
    for start in range(0, height_px, rows):
        yield slice(start, min(height_px, start + rows))
