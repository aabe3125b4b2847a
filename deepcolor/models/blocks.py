"""What the networks are made of: six blocks down, six blocks up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepcolor.config.sections import SIZE_MULTIPLE_PX, ModelConfig
from deepcolor.models.convolution import Downsample, Upsample

BLOCKS = SIZE_MULTIPLE_PX.bit_length() - 1
"""Each halves or doubles the size."""

_GROWTH: dict[str, tuple[int, ...]] = {"constant": (1, 1, 1, 1, 1, 1), "double": (1, 2, 4, 8, 8, 16)}
_ENCODER_SLOPE = 0.01


def widths(model: ModelConfig) -> tuple[int, ...]:
    """Return the channels of the six encoder blocks, the first one first."""
    return tuple(model.feature_maps * factor for factor in _GROWTH[model.growth])


def activation(name: str) -> nn.Module:
    """Return the activation that a `ModelConfig` names."""
    known: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
    }
    return known[name]()


class EncoderBlock(nn.Module):
    """Convolution 4 x 4 with stride 2, batch norm, LeakyReLU: (B, C, H, W) to (B, C', H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        # No bias: batch norm subtracts it again.
        self.conv = Downsample(channels_in, channels_out)
        self.norm = nn.BatchNorm2d(channels_out)
        self.activation = nn.LeakyReLU(_ENCODER_SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(features)))
        return out


class DecoderBlock(nn.Module):
    """Transposed convolution 4 x 4 with stride 2, batch norm, activation: (B, C, H, W) to (B, C', 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int, *, hidden_activation: str) -> None:
        super().__init__()
        self.conv = Upsample(channels_in, channels_out, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.activation = activation(hidden_activation)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(features)))
        return out


class Encoder(nn.Module):
    """Six encoder blocks: (B, 1, H, W) to (B, C, H/64, W/64)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        """Of its outputs, the largest picture first."""
        pairs = zip((1, *channels[:-1]), channels, strict=True)
        self.blocks = nn.ModuleList(EncoderBlock(channels_in, channels_out) for channels_in, channels_out in pairs)

    def forward(self, lightness_B1HW: Tensor) -> list[Tensor]:
        """Return the output of every block, the largest one first."""
        outputs = [lightness_B1HW]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return outputs[1:]


class Decoder(nn.Module):
    """A decoder block for each of the encoder's outputs but one, and a last transposed convolution.

    (B, C, H/64, W/64) to (B, 2, H, W) after six encoder blocks, not yet activated.
    """

    def __init__(self, channels: Sequence[int], *, hidden_activation: str, skip_connections: bool) -> None:
        super().__init__()
        self.skip_connections = skip_connections
        upwards = tuple(reversed(channels))
        joined = tuple(width * 2 if skip_connections else width for width in upwards[1:])
        pairs = zip((upwards[0], *joined[:-1]), upwards[1:], strict=True)
        self.blocks = nn.ModuleList(DecoderBlock(cin, cout, hidden_activation=hidden_activation) for cin, cout in pairs)
        self.last = Upsample(joined[-1], 2, bias=True)

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's outputs; without skip connections only the last one counts."""
        features = encoded[-1]
        for block, same_size in zip(self.blocks, reversed(encoded[:-1]), strict=True):
            features = block(features)
            if self.skip_connections:
                features = torch.cat((features, same_size), dim=1)
        out: Tensor = self.last(features)
        return out
