from __future__ import annotations

from deepcolor import __version__
from deepcolor.coloring.colorizer import Colorizer
from deepcolor.config.schema import ModelConfig
from deepcolor.models.description import ModelDescription
from deepcolor.registry.card import model_card, version_text
from deepcolor.registry.names import Line
from deepcolor.registry.package import requirements
from deepcolor.registry.versions import ModelVersion


def _description(model: ModelConfig) -> ModelDescription:
    return ModelDescription(
        stage="colorizer",
        model=model,
        size_px=128,
        deepcolor_version=__version__,
        trajectory="t" * 32,
        epoch=3,
        data_digest="d" * 32,
    )


def _version(description: ModelDescription) -> ModelVersion:
    return ModelVersion(
        line=Line("colorizer"),
        number=1,
        aliases=(),
        registry_stage="None",
        created_ms=0,
        run_id=None,
        study="s",
        trial=4,
        weights_sha256="",
        data="fruits",
        data_digest="d" * 32,
        splits="",
        pictures=frozenset(),
        parent=None,
        size_px=128,
        model=description.model,
    )


def test_the_licence_of_published_weights_travels_with_the_model() -> None:
    """The description of a version and the card of a pulled model say whose weights the encoder began with, and under
    which licence; a network that began at random names nobody. A server needs torchvision where it builds the network.
    """
    known = ModelConfig(encoder="efficientnet_lite0")
    for model, named in ((known, True), (ModelConfig(), False), (ModelConfig(encoder="resnet18"), True)):
        description = _description(model)
        text = version_text(Colorizer, description, {"mse": 0.1}, study="s", trial=4)
        card = model_card(_version(description), description, stage=Colorizer, lineage=["colorizer@1"])
        licence = "Apache License 2.0" if model == known else "BSD 3-Clause"
        assert (licence in text, licence in card, "## Licence" in card) == (named, named, named)
        assert ("Started from random weights." in text) is not named
        needs = any(line.startswith("torchvision==") for line in requirements(Colorizer, model))
        assert needs is (model.encoder == "resnet18")
