"""The loss and the gradients of a batch, on a GPU recorded once and then started as a whole (a CUDA graph).

The networks are small: to start their kernels one by one takes a processor longer than a GPU needs to run them. What is
recorded are the same kernels in the same order, and so the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor, nn

Work = Callable[[Tensor, Tensor], Tensor]
"""(normalised L*, a* b*) -> the loss, detached. It first gives up the parameters' gradients, then leaves new ones, and
waits for nothing."""

_BATCHES_BEFORE = 10
"""A recording takes as long as a few batches do, and begins once all that they use is set up."""
_ROOM = 2
"""A recording keeps memory of its own: it is made where this many times what was needed so far is free."""


class Gradients:
    """Computes loss and gradients batch after batch. It starts as the plain work, and is recorded when that pays."""

    def __init__(self, work: Work, parameters: Iterable[nn.Parameter], *, batch_size: int, recorded: bool) -> None:
        """Begin unrecorded.

        Args:
            work: What is computed.
            parameters: Those it leaves gradients in; their memory stays where it is.
            batch_size: Of the batches that are recorded; others are computed as they come.
            recorded: Whether the work can be recorded: on a GPU, and with nothing in it that only Python does.
        """
        self._work = work
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._batch_size = batch_size
        self._recorded = recorded
        self._form: torch.Size | None = None
        self._seen = 0
        self._recording: _Recording | None = None
        if recorded:
            torch.cuda.reset_peak_memory_stats(self._parameters[0].device)

    def of(self, lightness_B1HW: Tensor, ab: Tensor) -> Tensor:
        """Leave the gradients of a batch in the parameters, and return its loss: good until the next batch."""
        if not self._recorded or len(lightness_B1HW) != self._batch_size:
            return self._work(lightness_B1HW, ab)
        if lightness_B1HW.shape != self._form:  # A recording is of one size, and pictures grow at most once.
            self._form, self._seen, self._recording = lightness_B1HW.shape, 0, None
        if self._recording is not None:
            return self._recording.play(lightness_B1HW, ab)
        self._seen += 1
        if self._seen > _BATCHES_BEFORE:
            self._recorded = _has_room(lightness_B1HW.device)
            if self._recorded:
                self._recording = _Recording(self._work, self._parameters, lightness_B1HW, ab)
                return self._recording.play(lightness_B1HW, ab)
        return self._work(lightness_B1HW, ab)


class _Recording:
    def __init__(self, work: Work, parameters: list[nn.Parameter], lightness_B1HW: Tensor, ab: Tensor) -> None:
        device = lightness_B1HW.device
        self._parameters = parameters
        self._inputs = lightness_B1HW.clone(), ab.clone()
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        recording = torch.cuda.graph(self._graph, stream=_stream(device), capture_error_mode="thread_local")
        with torch.cuda.device(device), recording:
            self._loss = work(*self._inputs)
        self._gradients = [parameter.grad for parameter in parameters]

    def play(self, lightness_B1HW: Tensor, ab: Tensor) -> Tensor:
        for own, given in zip(self._inputs, (lightness_B1HW, ab), strict=True):
            own.copy_(given)
        # A batch of another size in between has left gradients of its own.
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        self._graph.replay()
        return self._loss


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The same for every recording: libraries keep memory for each stream that they have seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _has_room(device: torch.device) -> bool:
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return free_bytes > _ROOM * torch.cuda.max_memory_allocated(device)
