"""Decoders that double the size first and convolve afterwards: every pixel is made in the same way, so there is no
checkerboard.

Source: Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, 2016; Ronneberger, Fischer and Brox, U-Net,
2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deepcolor.models.blocks import activation

_LEAST_WIDTH = 16
_QUIET = 1e-3
"""Deviation of the last convolution's weights at first."""


class UpsampledDecoder(nn.Module):
    """Steps of doubling and two convolutions 3 x 3, each with the encoder's output of its size, if wanted."""

    def __init__(
        self,
        channels: Sequence[int],
        *,
        outputs: int,
        width: int,
        mode: Literal["bilinear", "nearest"],
        hidden_activation: str,
        skip_connections: bool,
        stop: int = 0,
    ) -> None:
        """Build it.

        Args:
            channels: Of the encoder's outputs, the largest picture first.
            outputs: Channels of the last convolution.
            width: Channels of the first step; each further one has half of them.
            mode: How the size is doubled.
            hidden_activation: Between convolutions.
            skip_connections: Whether each step is given the encoder's output of its size, and the last one the
                lightness itself.
            stop: How many doublings before the picture's own size it ends.
        """
        super().__init__()
        self.mode = mode
        self.skip_connections = skip_connections
        steps = len(channels) - stop
        joined = (1, *channels[:-1])[::-1]
        widths = [max(_LEAST_WIDTH, width >> step) for step in range(steps)]
        inputs = (channels[-1], *widths[:-1])
        self.steps = nn.ModuleList(
            _Step(into + (skip if skip_connections else 0), out, hidden_activation=hidden_activation)
            for into, skip, out in zip(inputs, joined[:steps], widths, strict=True)
        )
        self.last = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        # It begins with grey pictures, or with no choice at all: loud noise takes epochs to be unlearnt.
        nn.init.normal_(self.last.weight, std=_QUIET)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, encoded: Sequence[Tensor], lightness_B1HW: Tensor) -> Tensor:
        """Decode the encoder's outputs; without skip connections only the last one counts."""
        features = encoded[-1]
        same_size = (lightness_B1HW, *encoded[:-1])[::-1]
        for step, skip in zip(self.steps, same_size[: len(self.steps)], strict=True):
            features = doubled(features, mode=self.mode)
            if self.skip_connections:
                features = torch.cat((features, _laid_out_like(features, skip)), dim=1)
            features = step(features)
        out: Tensor = self.last(features)
        return out


def _laid_out_like(features: Tensor, skip: Tensor) -> Tensor:
    """One channel may lie in memory in either order: joined as it is, it would turn all others around, and mixed
    precision back into a full one.
    """
    channels_last = features.is_contiguous(memory_format=torch.channels_last)
    if skip.dtype == features.dtype and (skip.shape[1] > 1 or not channels_last):
        return skip
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty_like(skip, dtype=features.dtype, memory_format=layout).copy_(skip)


class _Step(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, *, hidden_activation: str) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            activation(hidden_activation),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            activation(hidden_activation),
        )


def doubled(features: Tensor, *, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Double height and width; the gradient is the same in every run, on a GPU too."""
    if mode == "nearest":
        return interpolate(features, scale_factor=2, mode="nearest")
    if features.device.type != "cuda":
        return interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    # torch's own gradient adds up in any order there; this one is made of slices and sums.
    return _doubled_along(_doubled_along(features, axis=2), axis=3)


def _doubled_along(features: Tensor, *, axis: int) -> Tensor:
    """Every pixel becomes two: three quarters of itself and a quarter of its neighbour, on either side."""
    length = features.shape[axis]
    first, last = features.narrow(axis, 0, 1), features.narrow(axis, length - 1, 1)
    before = torch.cat((first, features.narrow(axis, 0, length - 1)), dim=axis)
    after = torch.cat((features.narrow(axis, 1, length - 1), last), dim=axis)
    pairs = torch.stack((0.75 * features + 0.25 * before, 0.75 * features + 0.25 * after), dim=axis + 1)
    return pairs.flatten(axis, axis + 1)
