"""The two networks, from a setting: lightness in, colour out, in the range of the output activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from deepcolor.color import denormalise_ab, normalise_ab, normalised_to_tanh, tanh_to_normalised
from deepcolor.config.schema import ModelConfig, StageName
from deepcolor.errors import ModelError, ShapeError
from deepcolor.models.blocks import SIZE_MULTIPLE_PX, Decoder, Encoder, activation, widths

Target = Literal["pixels", "mean"]

CHANNELS_LAST_FROM = 16
"""Feature maps from which a network's weights lie in memory with the channels last: a CPU then trains it 1.1 to 1.6
times faster. With fewer it would be slower."""

_ENCODER_KEYS = "encoder."


def build(stage: StageName, model: ModelConfig, size_px: int) -> Network:
    """Build the network of a stage, with random weights from torch's global generator.

    Args:
        stage: `transfer` builds a Colorizer.
        model: The network's form.
        size_px: Side of the square it is trained on; a multiple of 64. A Regressor takes this size only.
    Raises:
        ShapeError: `size_px` is not a multiple of 64.
    """
    network: Network = Regressor(model, size_px=size_px) if stage == "regressor" else Colorizer(model, size_px=size_px)
    if model.feature_maps >= CHANNELS_LAST_FROM:
        network.to(memory_format=torch.channels_last)
    return network


def build_from(
    stage: StageName, model: ModelConfig, size_px: int, *, weights: Mapping[str, Tensor], device: str | torch.device
) -> Network:
    """Build the network of a stage with given weights, without drawing random ones first.

    Args:
        stage: As for `build`.
        model: As for `build`.
        size_px: As for `build`.
        weights: `state_dict()` of such a network; they are copied.
        device: Where the network goes.
    """
    with torch.device("meta"):
        network = build(stage, model, size_px)
    network.to_empty(device=device)
    network.load_state_dict(weights)
    return network


class Network(nn.Module):
    """What the two networks have in common: the encoder, and the scale of their output."""

    target: Target
    """What the network predicts: a colour for each pixel, or the mean colour."""

    def __init__(self, model: ModelConfig, *, size_px: int) -> None:
        super().__init__()
        _check_size(size_px, size_px)
        self.model = model
        self.size_px = size_px
        self.encoder = Encoder(widths(model))
        self.output_activation = activation(model.output_activation)
        self._encoder_frozen = False
        self._offset = _native(0.0, model)
        self._scale = _native(1.0, model) - self._offset

    @property
    def span(self) -> float:
        """Length of the output's range: 1 for sigmoid, 2 for tanh. MSE / span ** 2 is in the normalised units."""
        return 2.0 if self.model.output_activation == "tanh" else 1.0

    def native_target(self, ab: Tensor) -> Tensor:
        """Scale a*, b* in CIELAB units, of any shape, to the range of the output activation."""
        # One pass over memory instead of one a step of the scale: targets are as large as the picture.
        return torch.add(torch.tensor(self._offset), ab, alpha=self._scale)

    def to_ab(self, output: Tensor) -> Tensor:
        """Scale the network's output, of any shape, back to a*, b* in CIELAB units."""
        normalised = tanh_to_normalised(output) if self.model.output_activation == "tanh" else output
        return denormalise_ab(normalised)

    def freeze_encoder(self) -> None:
        """Train the rest only: the encoder's weights and its batch norm statistics stay as they are."""
        self.encoder.requires_grad_(False)
        self._encoder_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self._encoder_frozen:
            self.encoder.eval()
        return self


class Regressor(Network):
    """Predict the mean colour of a picture: six encoder blocks and one linear layer."""

    target: Target = "mean"

    def __init__(self, model: ModelConfig, *, size_px: int) -> None:
        super().__init__(model, size_px=size_px)
        side = size_px // SIZE_MULTIPLE_PX
        self.mean_colour = nn.Linear(widths(model)[-1] * side * side, 2)

    def forward(self, lightness_B1HW: Tensor) -> Tensor:
        """Predict the mean a* and b*.

        Args:
            lightness_B1HW: Normalised L*. Shape (B, 1, size_px, size_px), float32, range [0, 1].
        Returns:
            Mean a*, b* in the range of the output activation. Shape (B, 2).
        Raises:
            ShapeError: The picture is of another size.
        """
        height, width = _size_of(lightness_B1HW)
        if (height, width) != (self.size_px, self.size_px):
            raise ShapeError(
                f"regressor input: height and width must be {self.size_px} px, the size it was built for; "
                f"got {height} x {width} px. Resize the picture."
            )
        out: Tensor = self.output_activation(self.mean_colour(self.encoder(lightness_B1HW)[-1].flatten(1)))
        return out


class Colorizer(Network):
    """Predict the colour of every pixel: six encoder blocks down, six transposed convolutions up."""

    target: Target = "pixels"

    def __init__(self, model: ModelConfig, *, size_px: int) -> None:
        super().__init__(model, size_px=size_px)
        self.decoder = Decoder(
            widths(model), hidden_activation=model.hidden_activation, skip_connections=model.skip_connections
        )

    def forward(self, lightness_B1HW: Tensor) -> Tensor:
        """Predict a* and b*.

        Args:
            lightness_B1HW: Normalised L*. Shape (B, 1, H, W), float32, range [0, 1]; H, W any multiples of 64.
        Returns:
            a*, b* in the range of the output activation. Shape (B, 2, H, W).
        Raises:
            ShapeError: H or W is not a multiple of 64.
        """
        _check_size(*_size_of(lightness_B1HW))
        out: Tensor = self.output_activation(self.decoder(self.encoder(lightness_B1HW)))
        return out


def load_encoder(network: Network, regressor_state: Mapping[str, Tensor]) -> None:
    """Copy a regressor's encoder, batch norm statistics included, into `network`.

    Args:
        network: Receives the weights in place.
        regressor_state: `state_dict()` of a network with an encoder of the same widths.
    Raises:
        ModelError: The encoder's layers differ in number or width.
    """
    given = {
        key.removeprefix(_ENCODER_KEYS): value
        for key, value in regressor_state.items()
        if key.startswith(_ENCODER_KEYS)
    }
    wanted = network.encoder.state_dict()
    if {key: value.shape for key, value in given.items()} != {key: value.shape for key, value in wanted.items()}:
        raise ModelError(
            f"encoder weights: the widths must be those of the network, {list(widths(network.model))}; "
            f"got {_widths_in(given)}. Choose a model with the same feature_maps and growth."
        )
    network.encoder.load_state_dict(given)


def _native(ab: float, model: ModelConfig) -> float:
    normalised = normalise_ab(ab)
    return normalised_to_tanh(normalised) if model.output_activation == "tanh" else normalised


def _widths_in(encoder_state: Mapping[str, Any]) -> list[int]:
    return [value.shape[0] for key, value in encoder_state.items() if key.endswith("conv.weight")]


def _size_of(lightness_B1HW: Tensor) -> tuple[int, int]:
    if lightness_B1HW.ndim != 4 or lightness_B1HW.shape[1] != 1:
        raise ShapeError(
            f"network input: must be lightness of shape (B, 1, H, W); got {tuple(lightness_B1HW.shape)}. "
            "Pass L* / 100 with a channel axis of one."
        )
    return lightness_B1HW.shape[2], lightness_B1HW.shape[3]


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height % SIZE_MULTIPLE_PX or width % SIZE_MULTIPLE_PX:
        raise ShapeError(
            f"network input: height and width must be multiples of {SIZE_MULTIPLE_PX} px; got {height} x {width} px. "
            "Resize or pad the picture."
        )
