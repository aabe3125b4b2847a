"""The networks, from a setting: lightness in, colour out, in the range of the output activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, dropout2d

from deepcolor.color import (
    ab_to_signed,
    denormalise_ab,
    normalise_ab,
    normalised_to_tanh,
    signed_to_ab,
    tanh_to_normalised,
)
from deepcolor.config.sections import SIZE_MULTIPLE_PX, ModelConfig
from deepcolor.errors import CodeError, ModelError, ShapeError
from deepcolor.fields.named import NETWORKS
from deepcolor.models.backbones import Backbone
from deepcolor.models.bins import BINS, DOUBLINGS, Bins
from deepcolor.models.blocks import Decoder, Encoder, activation, widths
from deepcolor.models.decoders import UpsampledDecoder
from deepcolor.models.shapes import without_weights
from deepcolor.plugins import Code

Target = Literal["pixels", "mean"]

CHANNELS_LAST_FROM = 16
"""Feature maps from which a network's weights lie in memory with the channels last: a CPU then trains it 1.1 to 1.6
times faster. With fewer it would be slower; a GPU is faster with any number of them."""


def build(target: Target, model: ModelConfig, size_px: int, *, code: Code | None = None) -> Network:
    """Build a network, with random weights from torch's global generator.

    Args:
        target: `mean` builds a Regressor, `pixels` a Colorizer.
        model: The network's form.
        size_px: Side of the square it is trained on; a multiple of 64. A Regressor takes this size only.
        code: Holds a network of the user's own.
    Raises:
        ShapeError: `size_px` is not a multiple of 64.
        CodeError: The user's own cannot be imported or made.
    """
    if model.network not in NETWORKS.shipped:
        return _brought(target, model, size_px, code=code or Code({}))
    network: Network = Regressor(model, size_px=size_px) if target == "mean" else Colorizer(model, size_px=size_px)
    if model.encoder is not None or model.feature_maps >= CHANNELS_LAST_FROM:
        network.to(memory_format=torch.channels_last)
    return network


def build_from(
    target: Target,
    model: ModelConfig,
    size_px: int,
    *,
    weights: Mapping[str, Tensor],
    device: str | torch.device,
    code: Code | None = None,
) -> Network:
    """Build a network with given weights, without drawing random ones first.

    Args:
        target: As for `build`.
        model: As for `build`.
        size_px: As for `build`.
        weights: `state_dict()` of such a network; they are copied.
        device: Where the network goes.
        code: As for `build`.
    """
    if model.network not in NETWORKS.shipped:  # It may hold more than its state, such as constants made from data.
        with torch.random.fork_rng(devices=[]):
            network = put_on(build(target, model, size_px, code=code), torch.device(device))
        network.load_state_dict(weights)
    else:
        with without_weights():
            network = build(target, model, size_px)
        if torch.device(device).type == "cuda":
            network.to(memory_format=torch.channels_last)
        # Where a network without memory is only filled by `to_empty`, torch imports sympy: 0.3 s, and 80 megabytes.
        empty = network.state_dict()
        laid_out = {name: _laid_out(weight, like=empty.get(name), device=device) for name, weight in weights.items()}
        network.load_state_dict(laid_out, assign=True)
    return network


def _laid_out(weight: Tensor, *, like: Tensor | None, device: str | torch.device) -> Tensor:
    if like is None or like.shape != weight.shape:
        return weight  # What does not belong there is refused by `load_state_dict`.
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=device).copy_(weight)


def put_on(network: Network, device: torch.device) -> Network:
    """Move a network to a device, its weights laid out as is fastest there; `build_from` lays them out alike."""
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    return network.to(device)


class Network(nn.Module):
    """What all networks have in common: the encoder, and the scale of their output."""

    target: Target
    """What the network predicts: a colour for each pixel, or the mean colour."""

    def __init__(self, model: ModelConfig, *, size_px: int, encoder: Encoder | Backbone | None) -> None:
        super().__init__()
        _check_size(size_px, size_px)
        self.model = model
        self.size_px = size_px
        if encoder is not None:
            self.encoder = encoder
        self.output_activation = activation(model.output_activation)
        self.dropout = 0.0
        """Share of the encoder's last features that is left out in training."""
        self._encoder_frozen = False
        self._offset = _native(0.0, model)
        self._scale = _native(1.0, model) - self._offset

    @property
    def output_range(self) -> float:
        """Length of the output's range: 1 for sigmoid, 2 for tanh."""
        return 2.0 if self.model.output_activation == "tanh" else 1.0

    @property
    def span(self) -> float:
        """Units of the output in one normalised unit: MSE / span ** 2 is in these. The range, unless it is scaled."""
        end = self.model.output_scale
        return self.output_range if end is None else self.output_range / (normalise_ab(end) - normalise_ab(-end))

    def native_target(self, ab: Tensor) -> Tensor:
        """Scale a*, b* in CIELAB units, of any shape, to the range of the output activation."""
        # One pass over memory instead of one a step of the scale: targets are as large as the picture.
        return torch.add(torch.tensor(self._offset), ab, alpha=self._scale)

    def to_ab(self, output: Tensor) -> Tensor:
        """Scale the network's output, of any shape, back to a*, b* in CIELAB units."""
        if self.model.output_scale is not None:
            signed = output if self.model.output_activation == "tanh" else normalised_to_tanh(output)
            return signed_to_ab(signed, self.model.output_scale)
        normalised = tanh_to_normalised(output) if self.model.output_activation == "tanh" else output
        return denormalise_ab(normalised)

    @property
    def trained_on(self) -> Target:
        """What the loss compares what `trained` gives with."""
        return self.target

    @property
    def neutral(self) -> float:
        """What the output is where a* or b* is 0."""
        return self._offset

    def trained(self, lightness_B1HW: Tensor) -> Tensor:
        """Return what the loss is told of a batch: the output, unless colours are chosen among bins."""
        out: Tensor = self(lightness_B1HW)
        return out

    @property
    def encoder_part(self) -> nn.Module:
        """What other trainings can start from, or leave as it is."""
        return self.encoder

    def freeze_encoder(self) -> None:
        """Train the rest only: the encoder's weights and its batch norm statistics stay as they are."""
        self.encoder_part.requires_grad_(False)
        self._encoder_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self._encoder_frozen:
            self.encoder_part.eval()
        return self


class Regressor(Network):
    """Predict the mean colour of a picture: an encoder and one linear layer, or a decoder and the mean of its pixels.

    The reports' layer knows where in the picture each feature is; with a known network it is told their means.
    """

    target: Target = "mean"
    encoder: Encoder | Backbone

    def __init__(self, model: ModelConfig, *, size_px: int) -> None:
        encoder = _encoder(model)
        super().__init__(model, size_px=size_px, encoder=encoder)
        self.decoder: UpsampledDecoder | None = None
        if model.head == "pixel_mean":
            self.decoder = _upsampled(model, encoder.channels, outputs=2, stop=DOUBLINGS)
            return
        side = size_px // SIZE_MULTIPLE_PX if model.encoder is None else 1
        self.mean_colour = nn.Linear(encoder.channels[-1] * side * side, 2)

    @property
    def trained_on(self) -> Target:
        """Pixels, where their mean is the answer."""
        return self.target if self.decoder is None else "pixels"

    def forward(self, lightness_B1HW: Tensor) -> Tensor:
        """Predict the mean a* and b*.

        Args:
            lightness_B1HW: Normalised L*. Shape (B, 1, size_px, size_px), float32, range [0, 1].
        Returns:
            Mean a*, b* in the range of the output activation. Shape (B, 2).
        Raises:
            ShapeError: The picture is of another size; a known network's may be smaller in training.
        """
        height, width = _size_of(lightness_B1HW)
        if self.training and self.model.encoder is not None:
            _check_size(height, width)
        elif (height, width) != (self.size_px, self.size_px):
            raise ShapeError(
                f"regressor input: height and width must be {self.size_px} px, the size it was built for; "
                f"got {height} x {width} px. Resize the picture."
            )
        out = self._mean_of(self.trained(lightness_B1HW))
        if self.model.flip_at_test and not self.training:
            out = (out + self._mean_of(self.trained(lightness_B1HW.flip(3)))) / 2
        return out

    def trained(self, lightness_B1HW: Tensor) -> Tensor:
        """Return the output, or the colours at a quarter of the size whose mean it is: shape (B, 2, H / 4, W / 4)."""
        encoded = self.encoder(lightness_B1HW)
        if self.decoder is not None:
            if self.dropout and self.training:
                encoded = [*encoded[:-1], dropout2d(encoded[-1], self.dropout)]
            painted: Tensor = self.output_activation(self.decoder(encoded, lightness_B1HW))
            return painted
        features = encoded[-1]
        flat = features.flatten(1) if self.model.encoder is None else features.mean(dim=(2, 3))
        if self.dropout and self.training:
            flat = dropout(flat, self.dropout)
        out: Tensor = self.output_activation(self.mean_colour(flat))
        return out

    @staticmethod
    def _mean_of(output: Tensor) -> Tensor:
        return output.mean(dim=(2, 3)) if output.ndim == 4 else output


class Colorizer(Network):
    """Predict the colour of every pixel: an encoder down, a decoder up; the reports' have six blocks each."""

    target: Target = "pixels"
    encoder: Encoder | Backbone
    decoder: Decoder | UpsampledDecoder
    bins: Bins | None
    mean_colour: nn.Linear
    """Where `mean_hint` asks for it."""

    def __init__(self, model: ModelConfig, *, size_px: int) -> None:
        encoder = _encoder(model)
        super().__init__(model, size_px=size_px, encoder=encoder)
        self.decoder = _decoder(model, encoder.channels)
        self.bins = Bins() if model.head == "bins" else None
        if model.mean_hint:
            self.mean_colour = nn.Linear(encoder.channels[-1], 2)
            # As the decoder does, it begins with grey.
            nn.init.zeros_(self.mean_colour.weight)
            nn.init.zeros_(self.mean_colour.bias)

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
        out = self._finished(self._decoded(lightness_B1HW))
        if self.model.flip_at_test and not self.training:
            mirrored = self._finished(self._decoded(lightness_B1HW.flip(3)))
            out = (out + mirrored.flip(3)) / 2
        return out

    def trained(self, lightness_B1HW: Tensor) -> Tensor:
        """Return the output, or the logits of the bins at a quarter of the size."""
        return self(lightness_B1HW) if self.bins is None else self._decoded(lightness_B1HW)

    def chosen(self, logits_BQhw: Tensor) -> Tensor:
        """Return the output that logits of bins stand for."""
        return self._finished(logits_BQhw)

    def _decoded(self, lightness_B1HW: Tensor) -> Tensor:
        encoded = self.encoder(lightness_B1HW)
        if self.dropout and self.training:
            encoded = [*encoded[:-1], dropout2d(encoded[-1], self.dropout)]
        out: Tensor = (
            self.decoder(encoded, lightness_B1HW)
            if isinstance(self.decoder, UpsampledDecoder)
            else self.decoder(encoded)
        )
        if self.model.mean_hint:
            out = out + self.mean_colour(encoded[-1].mean(dim=(2, 3)))[:, :, None, None]
        return out

    def _finished(self, decoded: Tensor) -> Tensor:
        if self.bins is not None:
            return self.native_target(self.bins.colours(decoded, annealing=self.model.annealing))
        out: Tensor = self.output_activation(decoded)
        return out


class Brought(Network):
    """Puts the output activation, and the scale of the targets, around a user's module."""

    def __init__(self, inner: nn.Module, model: ModelConfig, *, target: Target, size_px: int) -> None:
        super().__init__(model, size_px=size_px, encoder=None)
        self.target = target
        self.inner = inner

    def forward(self, lightness_B1HW: Tensor) -> Tensor:
        """Predict a* and b*: shape (B, 2, H, W), or (B, 2) for the mean, in the range of the output activation.

        Raises:
            CodeError: The user's module gives another shape.
        """
        out = self.inner(lightness_B1HW)
        batch, _, height, width = lightness_B1HW.shape
        wanted = (batch, 2, height, width) if self.target == "pixels" else (batch, 2)
        if not isinstance(out, Tensor) or tuple(out.shape) != wanted:
            got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            rule = f"{self.model.network} must give a tensor of shape {wanted} for lightness of {height} x {width} px"
            raise CodeError(rule, got=got, advice="Fix it, and give the sweep another study name.")
        activated: Tensor = self.output_activation(out.float())
        return activated

    @property
    def encoder_part(self) -> nn.Module:
        """What other trainings start from: the module's own `encoder`.

        Raises:
            CodeError: It has none.
        """
        encoder = getattr(self.inner, "encoder", None)
        if not isinstance(encoder, nn.Module):
            rule = f"{self.model.network} must have a part called encoder, to be frozen or handed on"
            raise CodeError(rule, advice="Give it one, or leave init out.")
        return encoder


def _brought(target: Target, model: ModelConfig, size_px: int, *, code: Code) -> Brought:
    """Make a network that a sweep names: it is called as Network(model, target=..., size_px=...).

    Args:
        target: What it is to predict.
        model: Its section of the sweep, for what it uses of it, such as `feature_maps`.
        size_px: Side of the pictures it is trained on.
        code: Holds it.
    Raises:
        CodeError: It cannot be imported or made, or is no module.
    """
    kind: Any = code.load(model.network, group=NETWORKS.group)
    try:
        made = kind(model, target=target, size_px=size_px)
    except Exception as error:
        rule = f"{model.network} must be made as Network(model, target=..., size_px=...)"
        got = f"{type(error).__name__}: {error}"
        raise CodeError(rule, got=got, advice="Fix it, and give the sweep another study name.") from error
    if not isinstance(made, nn.Module):
        rule = f"{model.network} must give a torch.nn.Module"
        raise CodeError(rule, got=type(made).__name__, advice="Fix it, and give the sweep another study name.")
    return Brought(made, model, target=target, size_px=size_px)


def load_encoder(network: Network, parent: Network) -> None:
    """Copy a regressor's encoder, batch norm statistics included, into `network`.

    Args:
        network: Receives the weights in place.
        parent: With an encoder of the same widths.
    Raises:
        ModelError: The encoder's layers differ in number or width.
        CodeError: A network of a user's own has no encoder.
    """
    given, wanted = parent.encoder_part.state_dict(), network.encoder_part.state_dict()
    if network.model.encoder != parent.model.encoder:
        raise ModelError(
            f"encoder weights: must be those of the same encoder, {network.model.encoder or _REPORTS}; got "
            f"{parent.model.encoder or _REPORTS}. Choose a model with the same one."
        )
    if network.model.network != parent.model.network:
        raise ModelError(
            f"encoder weights: must be those of the same network, {network.model.network}; got "
            f"{parent.model.network}. Choose a model of the same network."
        )
    if {key: value.shape for key, value in given.items()} != {key: value.shape for key, value in wanted.items()}:
        raise ModelError(
            f"encoder weights: the widths must be those of the network, {list(widths(network.model))}; "
            f"got {_widths_in(given)}. Choose a model with the same feature_maps and growth."
        )
    network.encoder_part.load_state_dict(given)
    if not (isinstance(network, Colorizer) and isinstance(parent, Regressor)):
        return
    if parent.decoder is not None:
        _load_steps(network.decoder, parent.decoder, alike=_decoding(network) == _decoding(parent))
    elif network.model.mean_hint and _scale_of(network) == _scale_of(parent):
        network.mean_colour.load_state_dict(parent.mean_colour.state_dict())


def _load_steps(decoder: Decoder | UpsampledDecoder, given: UpsampledDecoder, *, alike: bool) -> None:
    """Copy the steps of a decoder that ends at a quarter of the size into one that goes on from there."""
    if not alike or not isinstance(decoder, UpsampledDecoder):
        return
    for step, other in zip(decoder.steps, given.steps, strict=False):
        step.load_state_dict(other.state_dict())


def _decoding(network: Network) -> tuple[object, ...]:
    model = network.model
    return model.decoder, model.decoder_width, model.skip_connections, model.hidden_activation


def _scale_of(network: Network) -> tuple[str, float | None]:
    return network.model.output_activation, network.model.output_scale


_REPORTS = "the reports'"


def _encoder(model: ModelConfig) -> Encoder | Backbone:
    return Encoder(widths(model)) if model.encoder is None else Backbone(model.encoder)


def _decoder(model: ModelConfig, channels: tuple[int, ...]) -> Decoder | UpsampledDecoder:
    if model.decoder == "transposed":
        form = {"hidden_activation": model.hidden_activation, "skip_connections": model.skip_connections}
        return Decoder(channels, **form)  # type: ignore[arg-type]  # each by its name
    chosen = model.head == "bins"
    return _upsampled(model, channels, outputs=BINS if chosen else 2, stop=DOUBLINGS if chosen else 0)


def _upsampled(model: ModelConfig, channels: tuple[int, ...], *, outputs: int, stop: int) -> UpsampledDecoder:
    assert model.decoder != "transposed"  # Refused with such a head, as a sweep is read.
    return UpsampledDecoder(
        channels,
        outputs=outputs,
        width=model.decoder_width,
        mode=model.decoder,
        stop=stop,
        hidden_activation=model.hidden_activation,
        skip_connections=model.skip_connections,
    )


def _native(ab: float, model: ModelConfig) -> float:
    if model.output_scale is not None:
        signed = ab_to_signed(ab, model.output_scale)
        return signed if model.output_activation == "tanh" else tanh_to_normalised(signed)
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
