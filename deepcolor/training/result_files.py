"""The files of a view's result folder, and what they say of its weights. No torch in here: the driver reads it too."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from deepcolor.models.description import DESCRIPTION_FILE, WEIGHTS_FILE
from deepcolor.plainfile import read_plain

METRICS_FILE = "metrics.json"
SAMPLES_FILE = "samples.png"
EXTREMES_FILE = "extremes.png"
CATEGORIES_FILE = "categories.csv"
"""Of data sets with a folder for each kind of picture."""
LOSS_FILE = "loss.png"
RESULT_FILES = (WEIGHTS_FILE, DESCRIPTION_FILE, METRICS_FILE, SAMPLES_FILE, EXTREMES_FILE, LOSS_FILE)
"""Of the shipped stages; others may leave further ones, and no samples."""
_MOST_BYTES = 2**20
THREADS = "threads"
"""In the metrics file: the numbers of CPU threads that the weights were trained with; their last bits depend on it."""


def read_result(folder: Path, names: Iterable[str]) -> dict[str, float] | None:
    """Return the final metrics of a result folder, or None where there is none; it appears whole or not at all.

    Args:
        folder: `TrajectoryPaths.result(view)`.
        names: The final metrics of its stage; those that a result of an earlier version lacks are left out.
    """
    try:
        measured = json.loads(read_plain(folder / METRICS_FILE, most_bytes=_MOST_BYTES))
        # It was written whole: a metric that it lacks is one that the version which wrote it did not measure.
        figures = {name: float(measured[name]) for name in names if name in measured}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Missing or damaged, the remedy is the same: it is made again.
    return figures if all(math.isfinite(value) for value in figures.values()) else None


def read_threads(folder: Path) -> tuple[int, ...]:
    """Return the numbers of CPU threads that a result's weights were trained with; empty where that is not known."""
    try:
        return tuple(
            int(number) for number in json.loads(read_plain(folder / METRICS_FILE, most_bytes=_MOST_BYTES))[THREADS]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ()
