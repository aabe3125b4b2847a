"""What makes two sets of arrays the same. No torch in here: the command line asks too."""

from __future__ import annotations

from deepcolor.config.schema import DataConfig, digest_of
from deepcolor.data.manifest import Manifest

CACHE_FORMAT = 2
"""Raised when the same manifest and form would no longer give the same numbers."""


def data_digest(manifest: Manifest, config: DataConfig) -> str:
    """Name the numbers a network would see: contents, split, size and augmentation; neither paths nor names.

    Returns:
        32 hex digits.
    """
    augment = config.augment
    later = {name: value for name, value in config.identity().items() if name not in DataConfig.first_fields}
    identity = {
        "format": CACHE_FORMAT,
        "size_px": config.size_px,
        "augment": {"mode": augment.mode, "active": augment.active} if augment.active else None,
        # Fixed copies are drawn from the manifest's seed.
        "seed": manifest.seed if augment.active and augment.mode == "fixed" else None,
        "files": sorted((file.sha256, file.split) for file in manifest.files),
        **later,
    }
    return digest_of(identity)[:32]


def pictures_digest(manifest: Manifest) -> str:
    """Name a data set's pictures and their split, whatever form they are decoded in: 32 hex digits."""
    return digest_of([manifest.seed, sorted((file.sha256, file.split) for file in manifest.files)])[:32]
