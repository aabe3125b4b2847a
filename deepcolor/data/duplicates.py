"""Find pictures that show the same photo: byte-identical, rescaled, re-encoded, mirrored, or cut differently.

Two steps. Every picture is shrunk to two 64 x 64 grey thumbnails, of the whole and of what stands out from a plain
border, and pairs whose 16 x 16 averages are near are candidates. Each candidate is then aligned by an affine warp, and
is a duplicate if the fine detail that is left agrees: two photos of one person, or two lemons on white, agree in the
coarse and differ in the fine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from deepcolor.color import FloatArray, RgbArray, to_uint8

Thumbnails = npt.NDArray[np.uint8]
"""Shape (2, 64, 64): the whole picture, and its content."""

_SIDE = 64
_COARSE = 16
THUMBNAILS_SHAPE = (2, _SIDE, _SIDE)
_CANDIDATE_RMS = 18.0
"""Grey levels of 255. True duplicates, cut differently, were seen up to 17."""
_DETAIL_CORRELATION = 0.975
"""On real photos: 0.985 and up for duplicates, 0.969 and down for different photos of one person in one pose."""
_DETAIL_WORTH_A_LOOK = 0.85
"""At half the size, where detail agrees more easily; the least seen of a duplicate was 0.95."""
_NEIGHBOURS = 8
"""Candidates a picture, nearest first: keeps ten thousand alike pictures from becoming fifty million pairs."""
_BLOCK = 1024
_MOST_DISTANCES = 2**22
"""Distances between pictures held at a time: 16 MiB."""
_CHECKED_AT_A_TIME = 2048
_PORTION = 16
"""Pairs that a thread aligns before it takes the next ones."""
_SHARE_OF_SEARCH = 0.2
"""Of the time, as progress is told: looking for candidates is quick, aligning them is not."""
_PAIR = np.dtype(
    [("i", np.int32), ("j", np.int32), ("distance", np.float32), ("view", np.int8), ("mirrored", np.bool_)]
)
_Pairs = npt.NDArray[np.void]
"""Of `_PAIR`: i is before j."""
_BORDER_CONTRAST = 24
_BORDER_SHARE = 0.02


class Rows(Protocol):
    """Thumbnails of many pictures: an array of shape (N, 2, 64, 64), or what reads as one."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: npt.NDArray[np.int64], /) -> npt.NDArray[np.uint8]:
        """Return some of them, shape (n, 2, 64, 64)."""


def thumbnails(rgb_HW3: RgbArray) -> Thumbnails:
    """Shrink a picture to what `group_duplicates` compares.

    Args:
        rgb_HW3: Shape (H, W, 3); uint8, uint16, or float in [0, 1].
    """
    # A first, cheap reduction: the border is found as well in 256 pixels as in 4000.
    grey = cv2.cvtColor(_reduced(to_uint8(rgb_HW3), 256), cv2.COLOR_RGB2GRAY)
    return np.stack([_squeezed(grey), _squeezed(_content(grey))])


def group_duplicates(
    thumbnails_N2SS: Rows, *, sha256s: Sequence[str], on_progress: Callable[[int, int], None] | None = None
) -> list[int]:
    """Number the groups of pictures that show the same photo.

    Memory grows with the number of pictures, time with its square.

    Args:
        thumbnails_N2SS: One `thumbnails` a picture, shape (N, 2, 64, 64); read in parts.
        sha256s: Of the files, in the same order.
        on_progress: Called with (done, total) in thousandths, from the thread that called.
    Returns:
        A group number for each picture, from 0 in the order in which groups first occur.
    """
    tell = _in_thousandths(on_progress)
    parents = list(range(len(sha256s)))
    first_with: dict[str, int] = {}
    for index, sha256 in enumerate(sha256s):
        parents[index] = first_with.setdefault(sha256, index)
    distinct = np.array(sorted(first_with.values()), dtype=np.int64)
    pairs = _candidates(thumbnails_N2SS, distinct, on_progress=lambda share: tell(share * _SHARE_OF_SEARCH))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pairs), _CHECKED_AT_A_TIME):
            part = pairs[start : start + _CHECKED_AT_A_TIME]
            # Two that are in one group by way of a third need no look.
            part = part[[_root(parents, i) != _root(parents, j) for i, j in zip(part["i"], part["j"], strict=True)]]
            same = pool.map(partial(_are_same, thumbnails_N2SS), np.array_split(part, max(1, len(part) // _PORTION)))
            for pair in part[np.concatenate([np.zeros(0, bool), *same])]:
                _join(parents, int(pair["i"]), int(pair["j"]))
            tell(_SHARE_OF_SEARCH + (1 - _SHARE_OF_SEARCH) * start / len(pairs))
    tell(1.0)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parents, index), len(numbers)) for index in range(len(parents))]


def _in_thousandths(on_progress: Callable[[int, int], None] | None) -> Callable[[float], None]:
    return lambda share: None if on_progress is None else on_progress(round(1000 * share), 1000)


def _candidates(rows: Rows, which: npt.NDArray[np.int64], *, on_progress: Callable[[float], None]) -> _Pairs:
    """Return the pairs whose coarse averages are near, each once, in its nearest form, in the order of the pictures.

    Args:
        rows: All thumbnails.
        which: Those that are compared.
        on_progress: Called with the share that is done.
    """
    coarse = _coarse(rows, which)
    found: list[_Pairs] = []
    for place, (view, mirrored) in enumerate((view, mirrored) for view in range(2) for mirrored in (False, True)):
        others = coarse[:, view, :, ::-1] if mirrored else coarse[:, view]
        left, right = coarse[:, view].reshape(len(which), -1), others.reshape(len(which), -1)
        for share, near in _near_pairs(left, right):
            near["view"], near["mirrored"] = view, mirrored
            found.append(near)
            on_progress((place + share) / 4)
    pairs = np.concatenate(found) if found else np.zeros(0, _PAIR)
    i, j = np.minimum(pairs["i"], pairs["j"]), np.maximum(pairs["i"], pairs["j"])
    pairs["i"], pairs["j"] = which[i], which[j]
    pairs = pairs[np.lexsort((pairs["mirrored"], pairs["view"], pairs["distance"], pairs["j"], pairs["i"]))]
    is_first = np.ones(len(pairs), bool)
    is_first[1:] = (pairs["i"][1:] != pairs["i"][:-1]) | (pairs["j"][1:] != pairs["j"][:-1])
    return pairs[is_first]


def _coarse(rows: Rows, which: npt.NDArray[np.int64]) -> FloatArray:
    """Average the thumbnails to shape (N, 2, 16, 16)."""
    ratio = _SIDE // _COARSE
    coarse = np.empty((len(which), 2, _COARSE, _COARSE), np.float32)
    for start in range(0, len(which), _BLOCK):
        block = rows[which[start : start + _BLOCK]]
        tiles = block.reshape(len(block), 2, _COARSE, ratio, _COARSE, ratio)
        coarse[start : start + len(block)] = tiles.mean(axis=(3, 5), dtype=np.float32)
    return coarse


def _near_pairs(left_ND: FloatArray, right_ND: FloatArray) -> Iterator[tuple[float, _Pairs]]:
    """Yield (share done, pairs) of each row's nearest other rows within the candidate distance; in blocks, by BLAS."""
    centre = left_ND.mean(axis=0)
    # Around the mean, so that the subtraction of squares below loses no digits.
    left, right = left_ND - centre, right_ND - centre
    right_squares = np.einsum("nd,nd->n", right, right)
    limit = _CANDIDATE_RMS**2 * left.shape[1]
    size = max(1, min(_BLOCK, _MOST_DISTANCES // len(left)))
    for start in range(0, len(left), size):
        block = left[start : start + size]
        squares = block @ right.T
        squares *= -2
        squares += np.einsum("nd,nd->n", block, block)[:, None]
        squares += right_squares
        squares[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        found = []
        for row in np.flatnonzero(squares.min(axis=1) < limit):
            near = np.flatnonzero(squares[row] < limit)
            near = near[np.argsort(squares[row, near], kind="stable")[:_NEIGHBOURS]]
            pairs = np.zeros(len(near), _PAIR)
            pairs["i"], pairs["j"] = start + row, near
            pairs["distance"] = np.sqrt(np.maximum(squares[row, near], 0.0) / left.shape[1])
            found.append(pairs)
        yield (start + len(block)) / len(left), np.concatenate([np.zeros(0, _PAIR), *found])


def _are_same(rows: Rows, pairs: _Pairs) -> npt.NDArray[np.bool_]:
    """Whether the pictures of each pair show the same photo."""
    first, second = rows[pairs["i"]], rows[pairs["j"]]
    return np.array(
        [
            _same_photo(np.stack(two), int(pair["view"]), bool(pair["mirrored"]))
            for *two, pair in zip(first, second, pairs, strict=True)
        ],
        bool,
    )


def _same_photo(pair_22SS: npt.NDArray[np.uint8], view: int, mirrored: bool) -> bool:
    """Align the thumbnails of two pictures and compare their fine detail; at half the size first, where most fail."""
    fixed, moving = pair_22SS[:, view]
    if mirrored:
        moving = np.ascontiguousarray(moving[:, ::-1])
    half = (_SIDE // 2, _SIDE // 2)
    small = [np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA)) for grey in (fixed, moving)]
    if _agreement(small[0], small[1], iterations=15) < _DETAIL_WORTH_A_LOOK:
        return False
    return _agreement(fixed, moving, iterations=30) >= _DETAIL_CORRELATION


def _agreement(fixed: npt.NDArray[Any], moving: npt.NDArray[Any], *, iterations: int) -> float:
    """Warp one picture onto the other; return the correlation of their fine detail, 0 where they cannot be aligned."""
    fixed, moving = fixed.astype(np.float32), moving.astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, iterations, 1e-4)
    start, everywhere = np.eye(2, 3, dtype=np.float32), np.full(fixed.shape, 255, np.uint8)
    try:
        _, warp = cv2.findTransformECC(fixed, moving, start, cv2.MOTION_AFFINE, criteria, everywhere, 1)
    except cv2.error:
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = cv2.warpAffine(moving, warp, fixed.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    left, right = _detail(fixed), _detail(aligned)
    scale = float(np.sqrt((left * left).sum() * (right * right).sum()))
    return float((left * right).sum()) / scale if scale > 0 else 0.0


def _detail(grey: npt.NDArray[Any]) -> FloatArray:
    """What remains without the coarse form and without the very finest, away from the border, around its mean."""
    edge, pixel = len(grey) // 16, len(grey) / _SIDE
    # A copy that was made smaller has lost its finest texture: curls and stubble must not keep it from its original.
    fine = cv2.GaussianBlur(grey, (0, 0), 0.7 * pixel) - cv2.GaussianBlur(grey, (0, 0), 3 * pixel)
    fine = fine[edge:-edge, edge:-edge]
    return np.asarray(fine - fine.mean(), dtype=np.float32)


def _content(grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cut away a border of one tone; without such a border, or with nothing in it, return the whole."""
    border = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    stands_out = np.abs(grey.astype(np.float32) - border) > _BORDER_CONTRAST
    rows = np.flatnonzero(stands_out.mean(axis=1) > _BORDER_SHARE)
    columns = np.flatnonzero(stands_out.mean(axis=0) > _BORDER_SHARE)
    if len(rows) < 8 or len(columns) < 8:
        return grey
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _reduced(rgb: npt.NDArray[np.uint8], longest_px: int) -> npt.NDArray[np.uint8]:
    factor = longest_px / max(rgb.shape[:2])
    if factor >= 1:
        return rgb
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _squeezed(grey: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    how = cv2.INTER_AREA if min(grey.shape) >= _SIDE else cv2.INTER_LINEAR
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=how).astype(np.uint8, copy=False)


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], i: int, j: int) -> None:
    first, second = sorted((_root(parents, i), _root(parents, j)))
    parents[second] = first
