"""The sweeps that are disturbed: one of each kind, over so few settings that all of them can be trained beforehand."""

from __future__ import annotations

from dataclasses import dataclass

_FAST = "training: {batch_size: 16}"
_SLOW = "training: {batch_size: 2}\nmodel: {feature_maps: 16, growth: double}"


@dataclass(frozen=True)
class Kind:
    """A sweep, how it may grow afterwards, and what it must come to."""

    name: str
    text: str
    reference: str = "search"
    """Which of the `REFERENCES` trains its settings."""
    grown: str = ""
    """The same sweep with more to do, for `--extend`; empty where it does not grow."""
    points: int | None = None
    """Points of the grid, where it is one."""
    grown_points: int | None = None

    @property
    def budgeted(self) -> bool:
        return "budget:" in self.text


def _grid(name: str, *, training: str, lr: str, epochs: str) -> str:
    return f"""
study: {name}
stage: regressor
data: {{name: faces, size_px: 64}}
{training}
search:
  space: {{lr: {lr}, epochs: {epochs}}}
"""


def _search(name: str, *, trials: int, more: str) -> str:
    return f"""
study: {name}
stage: regressor
data: {{name: faces, size_px: 64}}
training: {{batch_size: 16, epochs: 27}}
search:
  trials: {trials}
  space: {{lr: [1e-2, 3e-3, 1e-3, 3e-4], weight_decay: [0.0, 1e-4]}}
  {more}
"""


_ASHA = "{name: asha, min_epochs: 3}"
KINDS = (
    Kind(
        "fast-grid",
        _grid("fast-grid", training=_FAST, lr="[1e-2, 1e-3]", epochs="[40, 120]"),
        grown=_grid("fast-grid", training=_FAST, lr="[1e-2, 1e-3, 3e-3]", epochs="[40, 120]"),
        reference="fast",
        points=4,
        grown_points=6,
    ),
    Kind(
        "longer-grid",
        _grid("longer-grid", training=_FAST, lr="[1e-2, 1e-3]", epochs="[40, 120]"),
        grown=_grid("longer-grid", training=_FAST, lr="[1e-2, 1e-3]", epochs="[40, 120, 150]"),
        reference="fast",
        points=4,
        grown_points=6,
    ),
    Kind(
        "slow-grid", _grid("slow-grid", training=_SLOW, lr="[1e-3, 3e-4]", epochs="[2, 5]"), reference="slow", points=4
    ),
    Kind(
        "tpe-asha",
        _search("tpe-asha", trials=8, more=f"sampler: tpe\n  pruner: {_ASHA}"),
        grown=_search("tpe-asha", trials=11, more=f"sampler: tpe\n  pruner: {_ASHA}"),
    ),
    Kind(
        "random-hyperband",
        _search("random-hyperband", trials=8, more="sampler: random\n  pruner: {name: hyperband, min_epochs: 3}"),
    ),
    Kind(
        "tpe-median",
        _search("tpe-median", trials=9, more="sampler: tpe\n  pruner: {name: median, min_epochs: 3, warmup_trials: 2}"),
    ),
    Kind(
        "confirmed",
        _search("confirmed", trials=4, more="sampler: random"),
        grown=_search("confirmed", trials=4, more="sampler: random\n  confirm: {top: 2, seeds: 2}"),
    ),
    Kind(
        "budget",
        _search("budget", trials=12, more="sampler: random\n  budget: {epochs: 60}"),
        grown=_search("budget", trials=12, more="sampler: random\n  budget: {epochs: 150}"),
    ),
)
SMALL = Kind(
    "small-grid", _grid("small-grid", training=_FAST, lr="[1e-2, 1e-3]", epochs="[9, 30]"), reference="small", points=4
)
"""For the tests, which play one round with it."""

REFERENCES = {
    "small": _grid("small-reference", training=_FAST, lr="[1e-2, 1e-3]", epochs="[9, 30]"),
    "fast": _grid("fast-reference", training=_FAST, lr="[1e-2, 1e-3, 3e-3]", epochs="[40, 120, 150]"),
    "slow": _grid("slow-reference", training=_SLOW, lr="[1e-3, 3e-4]", epochs="[2, 5]"),
    "search": """
study: search-reference
stage: regressor
data: {name: faces, size_px: 64}
training: {batch_size: 16}
search:
  space: {lr: [1e-2, 3e-3, 1e-3, 3e-4], weight_decay: [0.0, 1e-4], seed: [0, 1, 2], epochs: [3, 9, 27]}
""",
}
"""Grids that train every setting of the kinds that name them, undisturbed."""
