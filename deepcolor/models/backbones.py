"""Known networks as encoders of lightness: their levels, one for each size, and a first convolution for grey."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from deepcolor.errors import ModelError
from deepcolor.models.efficientnet import lite0_levels, published_lite0
from deepcolor.models.shapes import without_weights

_Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
_IMAGENET: _Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TENSORFLOW: _Statistics = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and deviation of red, green and blue that a network's pictures were normalised by."""


class Backbone(nn.Module):
    """A known network, with lightness in the place of a colour picture: (B, 1, H, W) to five levels, H/2 to H/32.

    Its first convolution is the sum of the three over red, green and blue, with their normalisation folded in:
    lightness in [0, 1] gives what a grey picture in [0, 1] gave. A second channel of ones carries the means, as a bias
    would not where the picture is padded with zeros.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        levels = _LEVELS[name]()
        self.channels = _CHANNELS[name]
        """Of its outputs, the largest picture first."""
        _replace_first(levels, _grey_form)
        self.levels = nn.ModuleList(levels)

    def forward(self, lightness_B1HW: Tensor) -> list[Tensor]:
        """Return the output of every level, the largest one first."""
        features = torch.cat((lightness_B1HW, torch.ones_like(lightness_B1HW)), dim=1)
        outputs = []
        for level in self.levels:
            features = level(features)
            outputs.append(features)
        return outputs


def colour_backbone(name: str) -> nn.ModuleList:
    """Build a known network's levels for colour pictures, as it was published."""
    return nn.ModuleList(_LEVELS[name]())


def published_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn published weights of a network into those of its `colour_backbone`.

    Args:
        name: Of the network.
        state: As published, classifier included.
    Raises:
        ModelError: They are not those of this network.
    """
    if name == "efficientnet_lite0":
        renamed = published_lite0(state)
    else:
        renamed = {new: state[old] for old, new in _names_of(name).items() if old in state}
    with without_weights():  # Shapes alone are asked for.
        wanted = _shapes(colour_backbone(name).state_dict())
    # Counters of batches, which old files lack, decide nothing.
    got = {**{key: shape for key, shape in wanted.items() if key.endswith("num_batches_tracked")}, **_shapes(renamed)}
    differing = sorted(key for key in wanted.keys() | got.keys() if wanted.get(key) != got.get(key))
    if differing:
        raise ModelError(
            f"encoder weights: must be a state dict of {name} as published; got {len(differing)} tensors that differ, "
            f"{differing[0]} first. Choose the file of this network, or the network of this file."
        )
    return {key: renamed.get(key, torch.zeros(wanted[key], dtype=torch.int64)) for key in wanted}


def grey_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn weights of a `colour_backbone` into those of the `Backbone`: the first convolution is folded."""
    with without_weights():  # All of its weights are given.
        levels = _LEVELS[name]()
    nn.ModuleList(levels).load_state_dict(dict(state), assign=True)
    _replace_first(levels, lambda convolution: _folded(convolution, _statistics(name)))
    return {f"levels.{key}": value for key, value in nn.ModuleList(levels).state_dict().items()}


def _statistics(name: str) -> _Statistics:
    return _TENSORFLOW if name == "efficientnet_lite0" else _IMAGENET


def _folded(convolution: nn.Conv2d, statistics: _Statistics) -> nn.Conv2d:
    mean, deviation = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in statistics)
    weight = convolution.weight.detach().double()
    grey = (weight / deviation).sum(dim=1)
    ones = -(weight * mean / deviation).sum(dim=1)
    folded = _grey_form(convolution)
    folded.weight = nn.Parameter(torch.stack((grey, ones), dim=1).float())
    return folded


def _grey_form(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution for two channels, lightness and ones; of what its weights would have been."""
    form = copy.deepcopy(convolution)
    form.in_channels = 2
    two = convolution.weight.detach()[:, :2]
    # On the device `meta`, where shapes alone are wanted, a clone would have torch import sympy: 0.3 s, 50 megabytes.
    form.weight = nn.Parameter(torch.empty(two.shape, dtype=two.dtype, device=two.device).copy_(two))
    return form


def _replace_first(levels: list[nn.Sequential], made: Callable[[nn.Conv2d], nn.Conv2d]) -> None:
    """Put another convolution in the place of the first one."""
    parent = levels[0]
    while isinstance(child := parent[0], nn.Sequential):
        parent = child
    assert isinstance(child, nn.Conv2d)
    parent[0] = made(child)


def _resnet18() -> list[nn.Sequential]:
    from torchvision.models import resnet18

    net = resnet18(weights=None)
    return [
        nn.Sequential(net.conv1, net.bn1, net.relu),
        nn.Sequential(net.maxpool, net.layer1),
        nn.Sequential(net.layer2),
        nn.Sequential(net.layer3),
        nn.Sequential(net.layer4),
    ]


def _efficientnet_b0() -> list[nn.Sequential]:
    from torchvision.models import efficientnet_b0

    # Blocks left out at random would make an epoch depend on more than (seed, epoch).
    return _cut(efficientnet_b0(weights=None, stochastic_depth_prob=0.0).features, ends=(2, 3, 4, 6, 8))


def _mobilenet_v3_large() -> list[nn.Sequential]:
    from torchvision.models import mobilenet_v3_large

    return _cut(mobilenet_v3_large(weights=None).features, ends=(2, 4, 7, 13, 16))


def _cut(features: nn.Sequential, *, ends: tuple[int, ...]) -> list[nn.Sequential]:
    return [nn.Sequential(*features[start:end]) for start, end in zip((0, *ends[:-1]), ends, strict=True)]


_LEVELS: Mapping[str, Callable[[], list[nn.Sequential]]] = {
    "efficientnet_lite0": lite0_levels,
    "efficientnet_b0": _efficientnet_b0,
    "mobilenet_v3_large": _mobilenet_v3_large,
    "resnet18": _resnet18,
}
_CHANNELS: Mapping[str, tuple[int, ...]] = {
    "efficientnet_lite0": (16, 24, 40, 112, 320),
    "efficientnet_b0": (16, 24, 40, 112, 320),
    "mobilenet_v3_large": (16, 24, 40, 112, 160),
    "resnet18": (64, 64, 128, 256, 512),
}


def _names_of(name: str) -> dict[str, str]:
    """The names of a network's weights among its levels, by those that torchvision gives them."""
    with without_weights():
        keys, levels = list(colour_backbone(name).state_dict()), _LEVELS[name]()
    if name == "resnet18":
        parts = {"conv1": "0.0", "bn1": "0.1", "layer1": "1.1", "layer2": "2.0", "layer3": "3.0", "layer4": "4.0"}
        pairs = {key: key.split(".", 2) for key in keys}
        back = {new: old for old, new in parts.items()}
        return {f"{back[f'{a}.{b}']}.{rest}": key for key, (a, b, rest) in pairs.items()}
    starts, at = [], 0
    for level in levels:
        starts.append(at)
        at += len(level)
    names = {}
    for key in keys:
        number, index, rest = key.split(".", 2)
        names[f"features.{starts[int(number)] + int(index)}.{rest}"] = key
    return names


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}
