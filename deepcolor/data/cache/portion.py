"""What a child process is given to decode. No torch in here: its parent has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepcolor.data.identity import Augmentations
from deepcolor.data.splits import SplitName


@dataclass(frozen=True)
class Portion:
    """Some pictures of a split for a child process to decode."""

    folder: Path
    """Of the arrays."""
    split: SplitName
    originals: int
    """Pictures of the whole split."""
    first_row: int
    pictures: tuple[tuple[str, str], ...]
    """Path below `source` and SHA-256 of each, in consecutive rows."""
    copies: Augmentations
    keeps_rgb: bool
    source: Path
    seed: int
    size_px: int
