"""Look at every picture of a folder once: can it be used, what does it show, what is wrong with it.

The decoding is shared out among processes where there are many pictures, and what has been seen is written down as it
comes: the next start takes it from there, and the thumbnails need not be held in memory.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from deepcolor.data.blame import blamed_on
from deepcolor.data.decoding.bounds import Limits
from deepcolor.data.duplicates import thumbnails
from deepcolor.data.files import MOST_PICTURE_BYTES
from deepcolor.data.folder import TOO_SMALL, WITHOUT_COLOUR, Progress, thread_pool, threads
from deepcolor.data.images import UnusablePictureError, decode_picture
from deepcolor.data.journal import Journal, Seen, Stamp
from deepcolor.errors import DataError
from deepcolor.limits import hits_all
from deepcolor.plainfile import read_plain
from deepcolor.processes import plain_pool

_TaskT = TypeVar("_TaskT")
_ResultT = TypeVar("_ResultT")

_PORTION = 8
"""Pictures looked at by one task."""
_AHEAD = 4
"""Portions under way for each process: enough to keep it busy, few enough to hold."""
_WORTH_PROCESSES = 256
"""Pictures for which it pays to start processes; fewer are done in threads before those were up."""
_LOSSES_ALLOWED = 2
"""Processes that one picture may end before it is left out: the first may have been ended by something else."""


@dataclass(frozen=True)
class Look:
    """How a picture is looked at; sent to the processes that do it."""

    source: Path
    min_side_px: int
    limits: Limits = field(default_factory=Limits.usual)

    def at(self, path: str) -> Seen:
        """Look at one picture, by its path below the source."""
        stamp = Stamp.of(self.source / path)
        try:
            with blamed_on(path):
                return self._usable(path, stamp)
        except UnusablePictureError as error:
            return Seen(path.encode(errors="replace").decode(), stamp, reason=error.reason)

    def at_all(self, paths: Sequence[str]) -> list[Seen]:
        """Look at some pictures, one after the other."""
        return [self.at(path) for path in paths]

    def _usable(self, path: str, stamp: Stamp) -> Seen:
        try:
            path.encode()
            data = read_plain(self.source / path, most_bytes=MOST_PICTURE_BYTES)
        except UnicodeEncodeError:
            # It could be written into the manifest, but not read back as the same file.
            raise UnusablePictureError("a name that is not UTF-8", source=path) from None
        except OSError as error:
            if hits_all(error):
                raise
            raise UnusablePictureError(f"cannot be read: {error.strerror}", source=path) from error
        if len(data) != stamp.size:
            raise UnusablePictureError("a file that changes while it is read", source=path)
        picture = decode_picture(data, source=path, limits=self.limits)
        height_px, width_px = picture.rgb_HW3.shape[:2]
        if min(height_px, width_px) < self.min_side_px:
            raise UnusablePictureError(f"{TOO_SMALL}: a side under {self.min_side_px} px", source=path)
        if picture.is_grey:
            raise UnusablePictureError(WITHOUT_COLOUR, source=path)
        return Seen(
            path,
            stamp,
            sha256=hashlib.sha256(data).hexdigest(),
            width_px=width_px,
            height_px=height_px,
            thumbnails=thumbnails(picture.rgb_HW3).tobytes(),
        )


def look_at_all(look: Look, paths: Sequence[str], *, journal: Journal, on_progress: Progress | None) -> list[Seen]:
    """Look at pictures that are not in the journal yet, and write them down there.

    Args:
        look: How.
        paths: Relative to the source.
        journal: Holds what an earlier start has seen, and all of it in the end.
        on_progress: Called with (pictures looked at, all pictures).
    Returns:
        What was seen, in the order of the paths.
    Raises:
        DataError: Processes that decode pictures cannot live here.
        OSError: The journal cannot be written, or the machine is at a limit.
    """
    before = [journal.known(path, Stamp.of(look.source / path)) for path in paths]
    unseen = [path for path, seen in zip(paths, before, strict=True) if seen is None]
    all_seen = []
    with closing(_in_threads(look, unseen) if len(unseen) < _WORTH_PROCESSES else _in_processes(look, unseen)) as new:
        for done, seen in enumerate(before, start=1):
            all_seen.append(seen or journal.add(next(new)))
            if on_progress is not None:
                on_progress(done, len(paths))
    return all_seen


def _in_threads(look: Look, paths: Sequence[str]) -> Generator[Seen, None, None]:
    with thread_pool() as pool:
        yield from _in_order(lambda path: pool.submit(look.at, path), paths)


def _in_processes(look: Look, paths: Sequence[str]) -> Generator[Seen, None, None]:
    portions = [paths[first : first + _PORTION] for first in range(0, len(paths), _PORTION)]
    done = 0
    while done < len(portions):
        try:
            with plain_pool(threads()) as submit:
                for seen in _in_order(partial(submit, look.at_all), portions[done:]):
                    done += 1  # Before they are handed on: whoever takes them may not come back for more.
                    yield from seen
        except BrokenProcessPool:
            # One of the portions under way has ended its process: for want of memory, or in a decoder that crashes.
            suspects = portions[done : done + _AHEAD * threads()]
            done += len(suspects)
            yield from _one_by_one(look, [path for portion in suspects for path in portion])


def _in_order(submit: Callable[[_TaskT], Future[_ResultT]], tasks: Iterable[_TaskT]) -> Iterator[_ResultT]:
    """Yield the results of tasks in their order, with a few under way and none of them held for long."""
    under_way: deque[Future[_ResultT]] = deque()
    for task in tasks:
        under_way.append(submit(task))
        if len(under_way) >= _AHEAD * threads():
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _one_by_one(look: Look, paths: Sequence[str]) -> Iterator[Seen]:
    """Look at pictures one at a time: the one that ends its process, twice, is the one to leave out."""
    left = deque(paths)
    losses = 0
    while left:
        try:
            with plain_pool(1) as submit:
                while left:
                    seen: Seen = submit(look.at, left[0]).result()
                    left.popleft()
                    losses = 0
                    yield seen
        except BrokenProcessPool as error:
            losses += 1
            if losses == _LOSSES_ALLOWED:
                _check_processes_live(error)
                path, losses = left.popleft(), 0
                yield Seen(path, Stamp.of(look.source / path), reason="a picture that ends the process that decodes it")


def _check_processes_live(error: BrokenProcessPool) -> None:
    try:
        with plain_pool(1) as submit:
            submit(threads).result()
    except BrokenProcessPool:
        raise DataError(
            "decoding: processes must be able to start; got one that ended at once, most likely for want of memory. "
            "Close other programs or raise the limit (ulimit -v), then run the same command again."
        ) from error
