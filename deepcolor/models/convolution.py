"""Convolutions 4 x 4 with stride 2, faster on CPUs for the few channels that the reports' networks have.

Going up (a transposed convolution, or the gradient of a convolution's input), a CPU's kernels spend most of their time
on channels they pad with zeros. The four pixels that every input pixel grows into are here the channels of one ordinary
3 x 3 convolution instead, interleaved afterwards: two to three times as fast up to a dozen channels, and the same sums
in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

MOST_CHANNELS = 12
"""Channels of the larger picture up to which this pays; with more, torch's own kernels are as fast."""

_KERNEL, _STRIDE, _PADDING = 4, 2, 1


class Downsample(nn.Conv2d):
    """Convolve 4 x 4 with stride 2 and no bias: (B, C, H, W) to (B, C', H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, _KERNEL, stride=_STRIDE, padding=_PADDING, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that nn.Conv2d gives it
        if input.requires_grad and _pays(input, channels=self.in_channels):
            return _apply(_Down, input, self.weight)
        return super().forward(input)


class Upsample(nn.ConvTranspose2d):
    """Convolve 4 x 4, transposed, with stride 2: (B, C, H, W) to (B, C', 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool) -> None:
        super().__init__(channels_in, channels_out, _KERNEL, stride=_STRIDE, padding=_PADDING, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002  # as above
        if output_size is None and _pays(input, channels=self.out_channels):
            out = _apply(_Up, input, self.weight)
            return out if self.bias is None else out + self.bias[:, None, None]
        return super().forward(input, output_size)


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(large, weight)
        return _down(large, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        large, weight = ctx.saved_tensors
        needs_large, needs_weight = ctx.needs_input_grad
        return (
            _up(gradient, weight) if needs_large else None,
            _weight_gradient(large, gradient, weight) if needs_weight else None,
        )


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(small, weight)
        return _up(small, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        small, weight = ctx.saved_tensors
        needs_small, needs_weight = ctx.needs_input_grad
        return (
            _down(gradient, weight) if needs_small else None,
            _weight_gradient(gradient, small, weight) if needs_weight else None,
        )


def _pays(values: Tensor, *, channels: int) -> bool:
    # What a trace records must be what other programs know: a transposed convolution.
    fits = values.device.type == "cpu" and values.dtype == torch.float32 and channels <= MOST_CHANNELS
    return fits and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch leaves it so


def _apply(function: type[torch.autograd.Function], values: Tensor, weight: Tensor) -> Tensor:
    out: Tensor = function.apply(values, weight)
    return out


def _down(large_BCHW: Tensor, weight: Tensor) -> Tensor:
    return conv2d(large_BCHW, weight, stride=_STRIDE, padding=_PADDING)


def _up(small_BCHW: Tensor, weight: Tensor) -> Tensor:
    """Go from the small picture, the convolution's output, to the large one: (B, C', H, W) to (B, C, 2H, 2W).

    Args:
        small_BCHW: float32 on the CPU.
        weight: Of the convolution that goes down, shape (C', C, 4, 4).
    """
    batch, _, height, width = small_BCHW.shape
    channels_small, channels = weight.shape[:2]
    # (C', C, 4, 4) to (C', C, row phase x column phase, 3, 3), phases first among the outputs.
    phases = (weight.reshape(-1, _KERNEL * _KERNEL) @ _TAPS).view(channels_small, channels * 4, 3, 3).transpose(0, 1)
    grown = conv2d(small_BCHW, phases, padding=1).view(batch, channels, 2, 2, height, width)
    # Pairs of neighbouring columns are written as one complex number: half as many, and contiguous, writes.
    pairs = torch.complex(grown[:, :, :, 0], grown[:, :, :, 1]).transpose(2, 3).contiguous()
    return torch.view_as_real(pairs).view(batch, channels, 2 * height, 2 * width)


def _weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    sizes = [_STRIDE] * 2, [_PADDING] * 2, [1, 1]
    gradient: Tensor = torch.ops.aten.convolution_backward(
        small, large, weight, None, *sizes, False, [0, 0], 1, [False, True, False]
    )[1]
    return gradient


def _taps() -> Tensor:
    """Say which of the 4 x 4 taps each of the four 3 x 3 kernels is made of: shape (16, 36), ones and zeros.

    Along one axis, pixel 2i + phase of the large picture gets pixel i + offset of the small one through tap
    phase + 1 - 2 * offset, where there is such a tap.
    """
    line = torch.zeros(_KERNEL, 2, 3)
    for phase in range(2):
        for offset in (-1, 0, 1):
            tap = phase + _PADDING - _STRIDE * offset
            if 0 <= tap < _KERNEL:
                line[tap, phase, offset + 1] = 1
    return torch.einsum("kpo,lqr->klpqor", line, line).reshape(_KERNEL * _KERNEL, 36)


_TAPS = _taps()
