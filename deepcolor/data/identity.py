"""What makes two sets of arrays the same. No torch in here: the command line asks too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deepcolor.config.schema import DataConfig, digest_of
from deepcolor.data.manifest import Manifest
from deepcolor.data.splits import SplitName

Augmentations = tuple[tuple[str, float], ...]
"""(name, strength) of each copy, in order."""

CACHE_FORMAT = 2
"""Raised when the same manifest and form would no longer give the same numbers."""
_SKETCH_PICTURES = 32
_SKETCH_DIGITS = 8


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


def splits_digest(sha256s: Mapping[SplitName, Iterable[str]]) -> str:
    """Name a data set's pictures and their splits alone, whatever copies are drawn of them: 32 hex digits.

    Args:
        sha256s: Of the pictures of each split, in hex.
    """
    return digest_of(sorted((sha256, split) for split, those in sha256s.items() for sha256 in those))[:32]


def pictures_sketch(sha256s: Iterable[str]) -> frozenset[str]:
    """Return a few of a data set's pictures that stand for all: those with the lowest checksums.

    Two sets with much in common have some of these in common, whatever was added, removed or split another way; two
    sets that share no picture have none.

    Args:
        sha256s: Of all pictures, in hex.
    Returns:
        The beginnings of up to 32 of them.
    """
    return frozenset(sorted(sha256[:_SKETCH_DIGITS] for sha256 in sha256s)[:_SKETCH_PICTURES])
