from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from deepcolor.models.convolution import MOST_CHANNELS, Downsample, Upsample

CHANNELS = st.integers(1, MOST_CHANNELS + 2)
SIDES = st.integers(1, 5)


def gradients(out: Tensor, upstream: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, inputs, upstream)


@settings(max_examples=40)
@given(channels_in=CHANNELS, channels_out=CHANNELS, height=SIDES, width=SIDES, seed=st.integers(0, 100))
def test_down_is_the_convolution(channels_in: int, channels_out: int, height: int, width: int, seed: int) -> None:
    """Values and both gradients are those of torch's own convolution, for any channels and sides."""
    torch.manual_seed(seed)
    layer = Downsample(channels_in, channels_out)
    values = torch.randn(2, channels_in, 2 * height, 2 * width, requires_grad=True)
    expected = conv2d(values, layer.weight, stride=2, padding=1)
    out = layer(values)
    upstream = torch.randn_like(out)

    torch.testing.assert_close(out, expected)
    got = gradients(out, upstream, values, layer.weight)
    torch.testing.assert_close(got, gradients(expected, upstream, values, layer.weight), atol=1e-4, rtol=1e-4)


@settings(max_examples=40)
@given(channels_in=CHANNELS, channels_out=CHANNELS, height=SIDES, width=SIDES, bias=st.booleans())
def test_up_is_the_transposed_convolution(
    channels_in: int, channels_out: int, height: int, width: int, *, bias: bool
) -> None:
    """Values and all gradients are those of torch's own transposed convolution, for any channels and sides."""
    torch.manual_seed(0)
    layer = Upsample(channels_in, channels_out, bias=bias)
    values = torch.randn(2, channels_in, height, width, requires_grad=True)
    expected = conv_transpose2d(values, layer.weight, layer.bias, stride=2, padding=1)
    out = layer(values)
    upstream = torch.randn_like(out)

    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    inputs = [values, *layer.parameters()]
    got = gradients(out, upstream, *inputs)
    torch.testing.assert_close(got, gradients(expected, upstream, *inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [Downsample(3, 4), Upsample(4, 3, bias=True)])
def test_what_is_frozen_gets_no_gradient(layer: nn.Module) -> None:
    """A frozen layer passes the gradient on and keeps none."""
    layer.requires_grad_(requires_grad=False)
    values = torch.randn(1, 3 if isinstance(layer, Downsample) else 4, 4, 4, requires_grad=True)
    layer(values).sum().backward()

    assert values.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())
