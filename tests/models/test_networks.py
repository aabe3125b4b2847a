from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.schema import ModelConfig
from deepcolor.errors import ModelError, ShapeError
from deepcolor.models.blocks import widths
from deepcolor.models.networks import Colorizer, Regressor, Target, build, load_encoder

models = st.builds(
    ModelConfig,
    feature_maps=st.integers(1, 4),
    growth=st.sampled_from(["constant", "double"]),
    hidden_activation=st.sampled_from(["relu", "leaky_relu", "tanh"]),
    output_activation=st.sampled_from(["sigmoid", "tanh"]),
    skip_connections=st.booleans(),
)
multiples = st.sampled_from([64, 128, 192])


@settings(max_examples=25, deadline=None)
@given(model=models, height=multiples, width=multiples)
def test_a_colorizer_keeps_the_size(model: ModelConfig, height: int, width: int) -> None:
    """Whatever its form, a colorizer gives two channels of the input's size, within its activation's range."""
    network = build("pixels", model, 64)
    output = network(torch.rand(2, 1, height, width))
    low = -1.0 if model.output_activation == "tanh" else 0.0
    assert output.shape == (2, 2, height, width)
    assert output.min() >= low
    assert output.max() <= 1


@settings(max_examples=20, deadline=None)
@given(model=models, size_px=multiples)
def test_a_regressor_gives_one_colour(model: ModelConfig, size_px: int) -> None:
    """Whatever its size, a regressor gives two numbers a picture, and takes no other size."""
    network = build("mean", model, size_px)
    assert network(torch.rand(3, 1, size_px, size_px)).shape == (3, 2)
    with pytest.raises(ShapeError, match="height and width must be"):
        network(torch.rand(1, 1, size_px + 64, size_px + 64))


@settings(max_examples=30, deadline=None)
@given(model=models, ab=st.lists(st.floats(-128, 127, width=32), min_size=2, max_size=8))
def test_scales_are_inverse(model: ModelConfig, ab: list[float]) -> None:
    """CIELAB units to the output's range and back are the same colours, and (value + 128) / 255 for a sigmoid."""
    network = build("pixels", model, 64)
    values = torch.tensor(ab)
    native = network.native_target(values)
    assert torch.allclose(network.to_ab(native), values, atol=1e-3)
    normalised = (values.double() + 128) / 255
    expected = normalised if model.output_activation == "sigmoid" else normalised * 2 - 1
    assert torch.allclose(native.double(), expected, atol=1e-6)
    assert network.span == (1.0 if model.output_activation == "sigmoid" else 2.0)


def test_widths_follow_the_reports() -> None:
    """`constant` is as wide everywhere as at first, `double` x 1 2 4 8 8 16."""
    assert widths(ModelConfig(feature_maps=3)) == (3, 3, 3, 3, 3, 3)
    assert widths(ModelConfig(feature_maps=4, growth="double")) == (4, 8, 16, 32, 32, 64)


@pytest.mark.parametrize(("target", "kind"), [("mean", Regressor), ("pixels", Colorizer)])
def test_the_network_of_each_target(target: Target, kind: type) -> None:
    """The number of weights is that of six blocks and the end."""
    network = build(target, ModelConfig(feature_maps=3), 128)
    assert isinstance(network, kind)
    encoder = 16 * (3 + 5 * 9) + 6 * 6
    end = 3 * 4 * 2 + 2 if target == "mean" else 16 * 5 * 9 + 5 * 6 + 16 * 6 + 2
    assert sum(parameter.numel() for parameter in network.parameters()) == encoder + end


def test_skip_connections_carry_the_encoders_outputs() -> None:
    """With skip connections every encoder block's output reaches the decoder: changing one changes the picture."""
    network = build("pixels", ModelConfig(feature_maps=2, skip_connections=True), 64)
    plain = build("pixels", ModelConfig(feature_maps=2), 64)
    assert isinstance(network, Colorizer)
    assert isinstance(plain, Colorizer)
    network.eval()
    encoded = network.encoder(torch.rand(1, 1, 64, 64))
    before = network.decoder(encoded)
    for index in range(6):
        changed = [features + (1.0 if at == index else 0.0) for at, features in enumerate(encoded)]
        assert not network.decoder(changed).equal(before)
    plain.eval()
    assert plain.decoder([*[features + 1 for features in encoded[:-1]], encoded[-1]]).equal(plain.decoder(encoded))


@pytest.mark.parametrize("shape", [(1, 1, 64, 65), (1, 1, 32, 64), (1, 3, 64, 64), (1, 64, 64), (1, 1, 0, 64)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """Anything but lightness with sides that are multiples of 64 is refused in one line."""
    with pytest.raises(ShapeError) as caught:
        build("pixels", ModelConfig(), 64)(torch.zeros(shape))
    assert "\n" not in str(caught.value)
    with pytest.raises(ShapeError, match="multiples of 64"):
        build("mean", ModelConfig(), 100)


def test_a_frozen_encoder_stays_as_it_is() -> None:
    """With a frozen encoder training changes the decoder only; the encoder's batch norm statistics stay too."""
    network = build("pixels", ModelConfig(feature_maps=2), 64)
    network.freeze_encoder()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
    network(torch.rand(4, 1, 64, 64)).square().mean().backward()
    optimizer.step()

    changed = {name for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_an_encoder_moves_from_a_regressor() -> None:
    """A colorizer with a regressor's encoder encodes the same, at any size; other widths are refused."""
    regressor = build("mean", ModelConfig(feature_maps=2, growth="double"), 64).eval()
    colorizer = build("pixels", ModelConfig(feature_maps=2, growth="double"), 128).eval()
    load_encoder(colorizer, regressor)
    lightness = torch.rand(1, 1, 128, 128)
    assert regressor.encoder(lightness)[-1].equal(colorizer.encoder(lightness)[-1])

    with pytest.raises(ModelError, match="Choose a model with the same feature_maps and growth"):
        load_encoder(build("pixels", ModelConfig(feature_maps=3), 64), regressor)
