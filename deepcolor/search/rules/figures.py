"""What a trial is judged by beside its value: what constraints and further objectives are about. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from deepcolor.config.aims import figures_needed
from deepcolor.config.constraints import KNOWN_BEFORE
from deepcolor.config.schema import SearchConfig
from deepcolor.stages.contract import EPOCH_S
from deepcolor.training.trajectory import EpochMetrics, View


def figures_of(
    search: SearchConfig,
    history: Sequence[EpochMetrics],
    view: View,
    *,
    final: Mapping[str, float],
    size: Mapping[str, float],
) -> dict[str, float]:
    """Return the figures of a trial, as far as they are known, by name.

    `epoch_s` is the median over its epochs: the first one is often slow. Other epoch metrics are those of the epoch
    that it takes.

    Args:
        search: Says which are needed.
        history: The epochs of its trajectory, which may reach further than it looks.
        view: How far it looks, and which epoch it takes.
        final: What was measured of the weights; empty while there are none.
        size: `parameters` and `mb`; empty where nobody asks.
    """
    taken = history[view.chosen_epoch - 1].values if view.chosen_epoch else {}
    known = {**taken, **final, **size, EPOCH_S: median_epoch_s(history, up_to=view.end_epoch)}
    return {name: float(known[name]) for name in figures_needed(search) if name in known}


def needs_size(search: SearchConfig) -> bool:
    """Whether `parameters` or `mb` is among the figures that a search needs."""
    return any(name in KNOWN_BEFORE for name in figures_needed(search))


def median_epoch_s(history: Sequence[EpochMetrics], *, up_to: int) -> float:
    """Return the seconds of an epoch: the median over a training's first ones."""
    return statistics.median(row.epoch_s for row in history[:up_to])
