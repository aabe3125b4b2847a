"""EfficientNet-Lite0: inverted residual blocks without squeeze and excitation, ReLU6, and the padding of TensorFlow.

Source: Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019; the Lite variants
are described at https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import pad

STEM_CHANNELS = 32
CHANNELS = (16, 24, 40, 112, 320)
"""Of the last block at each size: a half of the picture's, a quarter, and so on."""


class _Group(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)
_EPSILON = 1e-3
_OF_LEVEL = ((0,), (1,), (2,), (3, 4), (5, 6))
"""The groups whose outputs have the same size."""


class SameConv(nn.Conv2d):
    """A convolution whose output has the size of its input, or half of it, padded as TensorFlow does.

    With stride 2 the one pixel more stands at the right and at the bottom, for heights and widths that are even.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride=stride, padding=padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that nn.Conv2d gives it
        if self.stride[0] == 2:
            total = self.kernel_size[0] - 2
            before, after = total // 2, total - total // 2
            input = pad(input, (before, after, before, after))  # noqa: A001  # as above
        return super().forward(input)


class Block(nn.Module):
    """Expand 1 x 1, convolve each channel by itself, project 1 x 1; added to the input where the shapes are equal."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expand = _convolution(channels_in, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.project = nn.Sequential(SameConv(inner, channels_out, 1), nn.BatchNorm2d(channels_out, eps=_EPSILON))
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + out if self.adds else out


def lite0_levels() -> list[nn.Sequential]:
    """Build the network without its classifier: a part for each size, which halves it."""
    channels = STEM_CHANNELS
    groups: list[list[nn.Module]] = []
    for group in _GROUPS:
        blocks: list[nn.Module] = []
        for index in range(group.repeats):
            stride = group.stride if index == 0 else 1
            blocks.append(
                Block(channels, group.channels, kernel=group.kernel, stride=stride, expansion=group.expansion)
            )
            channels = group.channels
        groups.append(blocks)
    levels = [nn.Sequential(*(block for at in level for block in groups[at])) for level in _OF_LEVEL]
    levels[0].insert(0, _convolution(3, STEM_CHANNELS, 3, stride=2))
    return levels


def published_lite0(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name published weights as `lite0_levels` names them, as `level.block.part`; the classifier is left out."""
    places = [
        (level, at) for level, groups in enumerate(_OF_LEVEL) for at in range(sum(_GROUPS[g].repeats for g in groups))
    ]
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith(("_conv_stem.", "_bn0.")):
            part, _, rest = name.partition(".")
            renamed[f"0.0.{0 if part == '_conv_stem' else 1}.{rest}"] = value
        elif match := _BLOCK.fullmatch(name):
            level, at = places[int(match["block"])]
            # The stem stands before the first block.
            renamed[f"{level}.{at + (level == 0)}.{_PARTS[match['part']]}.{match['rest']}"] = value
    return renamed


_BLOCK = re.compile(r"_blocks\.(?P<block>\d+)\.(?P<part>\w+)\.(?P<rest>\w+)")
_PARTS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def _convolution(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        SameConv(channels_in, channels_out, kernel, stride=stride, groups=groups),
        nn.BatchNorm2d(channels_out, eps=_EPSILON),
        nn.ReLU6(inplace=True),
    )
