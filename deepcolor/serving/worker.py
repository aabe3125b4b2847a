"""What runs in a process that colours: files in, files out. A picture that ends it ends no more than this process."""

from __future__ import annotations

import os
import signal
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.coloring.manner import Manner
from deepcolor.coloring.picture import png_bytes
from deepcolor.data.blame import blamed_on
from deepcolor.data.decoding.bounds import Limits
from deepcolor.data.encoding import lossy_of, shrunk
from deepcolor.data.images import Picture, Pixels, decode_picture
from deepcolor.errors import DeepcolorError, UserError
from deepcolor.inference.loading import load
from deepcolor.memory import give_back_freed_memory, keep_freed_memory
from deepcolor.processes import end_with_server
from deepcolor.serving.work import Answer, Batch, Coloured, Order, Refused

if TYPE_CHECKING:
    from deepcolor.coloring.color_model import ColorModel

_MOST_MODELS = 4
"""Loaded at a time, the least recently used goes first."""
_IDLE_S = 2.0
"""After which a process that has nothing to do keeps no memory for the next picture."""
_FIRST_TO_GO = b"1000"
"""For the kernel, where memory runs out: rather a process that colours than the server."""


def work(connection: Connection, device: str) -> None:
    """Answer batches until the connection is closed.

    Args:
        connection: Carries a `Batch`, and back a list of its answers, or the error's line where its model cannot be
            loaded.
        device: Where to compute.
    """
    keep_freed_memory()
    end_with_server()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # The server ends its processes, once they have answered.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_FIRST_TO_GO)
    models = _Models(device)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(os.getpid())
        while True:
            if not connection.poll(_IDLE_S):
                give_back_freed_memory()
            batch: Batch = connection.recv()
            try:
                answers: list[Answer] | str = coloured(models.get(batch), batch)
            except DeepcolorError as error:
                answers = str(error)
            connection.send(answers)


class _Models:
    def __init__(self, device: str) -> None:
        self._device = device
        self._loaded: OrderedDict[str, ColorModel] = OrderedDict()

    def get(self, batch: Batch) -> ColorModel:
        if batch.version not in self._loaded:
            while len(self._loaded) >= _MOST_MODELS:
                self._loaded.popitem(last=False)
            self._loaded[batch.version] = load(batch.folder, device=self._device)
        self._loaded.move_to_end(batch.version)
        return self._loaded[batch.version]


def coloured(model: ColorModel, batch: Batch) -> list[Answer]:
    """Colour the pictures of a batch; one that cannot be coloured gets its reason, and the rest goes on."""
    if not batch.orders:
        return []
    limits, wanted = Limits(batch.megapixels, batch.decoding_s), batch.orders[0].wanted
    manner = Manner(wanted.saturation, wanted.flip, batch.bfloat16)
    answers: list[Answer | None] = []
    decoded: deque[tuple[int, bool, str | None]] = deque()

    def pictures() -> Iterator[Picture]:
        # One after the other: a small file may hold a large picture, and the model bounds how much it takes at a time.
        for order in batch.orders:
            picture = _read(order, limits)
            if isinstance(picture, Refused):
                answers.append(picture)
                continue
            decoded.append((len(answers), picture.is_grey, picture.remark))
            answers.append(None)
            yield picture

    for result in model.colorize_each(pictures(), batch_size=len(batch.orders), **manner.options()):
        place, is_grey, remark = decoded.popleft()
        answers[place] = _answer(result, batch.orders[place], is_grey=is_grey, remark=remark)
    return [answer for answer in answers if answer is not None]


def _answer(result: Pixels | UserError, order: Order, *, is_grey: bool, remark: str | None) -> Answer:
    try:
        if isinstance(result, UserError):
            raise result
        with blamed_on(order.name):
            content = _written(result, order)
    except UserError as error:
        return Refused(str(error))
    height_px, width_px = result.shape[:2]
    return Coloured(content, width_px, height_px, is_grey, remark)


def _read(order: Order, limits: Limits) -> Picture | Refused:
    try:
        with blamed_on(order.name):
            picture = decode_picture(order.data, source=order.name, limits=limits)
            return shrunk(picture, order.wanted.size_px) if order.wanted.size_px else picture
    except UserError as error:
        return Refused(str(error))


def _written(pixels: Pixels, order: Order) -> bytes:
    wanted = order.wanted
    if wanted.format == "png":
        return png_bytes(pixels)
    return lossy_of(pixels, wanted.format, quality=wanted.quality)
