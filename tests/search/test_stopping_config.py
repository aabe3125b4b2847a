from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.config.load import load_sweep, to_yaml
from deepcolor.config.schema import BudgetConfig, PrunerConfig
from deepcolor.errors import ConfigError

HEAD = "{study: s, stage: regressor, data: {name: d}, search: {space: {lr: [0.1, 0.01]}, "


def test_a_name_is_short_for_a_pruner(tmp_path: Path) -> None:
    """A pruner can be written as just its name; written out with all defaults it is read back equal."""
    short, long = tmp_path / "short.yaml", tmp_path / "long.yaml"
    short.write_text(HEAD + "pruner: asha, budget: {epochs: 10}}}")
    sweep = load_sweep(short)
    assert sweep.search.pruner == PrunerConfig(name="asha")
    assert sweep.search.budget == BudgetConfig(epochs=10)
    long.write_text(to_yaml(sweep))
    assert load_sweep(long) == sweep
    assert load_sweep(short, ["search.pruner={name: median, warmup_trials: 3}"]).search.pruner.warmup_trials == 3


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pruner: ashaa", ["ashaa", "asha"]),
        ("pruner: {name: asha, reduction_factor: 1}", ["reduction_factor", "at least 2"]),
        ("pruner: {name: asha, warmup_trials: 9}", ["warmup_trials", "means nothing to the pruner asha"]),
        ("pruner: {min_epochs: 9}", ["min_epochs", "means nothing to the pruner none"]),
        ("pruner: {name: asha, rungs: 2}", ["rungs", "unknown key", "resume"]),
        ("budget: {hours: 2}", ["hours", "unknown key", "gpu_hours"]),
        ("budget: {wall_s: 0}", ["wall_s", "above 0"]),
        ("sampler: tpe", ["trials", "a budget that ends the search"]),
        ("sampler: tpe, budget: {target: 0.1}", ["trials", "a budget that ends the search"]),
        ("warm_start: [other]", ["warm_start", "grid learns from no trials"]),
        ("sampler: tpe, trials: 3, warm_start: [s]", ["warm_start", "cannot start from itself"]),
        ("sampler: tpe, trials: 3, warm_start: ['../s']", ["warm_start", "letters"]),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, parts: list[str]) -> None:
    """A wrong pruner, budget or warm start is refused with its key and what to do."""
    path = tmp_path / "sweep.yaml"
    path.write_text(HEAD + text + "}}")
    with pytest.raises(ConfigError) as refused:
        load_sweep(path)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_a_study_keeps_how_it_compares_trials() -> None:
    """A new study has its first rung and its way of comparing written down; one that grows keeps those it had, and one
    from before trials were compared by their curves goes on by values.
    """
    asha, earlier = PrunerConfig(name="asha"), PrunerConfig(name="asha", min_epochs=6)
    new = asha.settled(None, most_epochs=60)
    assert (new.min_epochs, new.extrapolate) == (5, True)
    assert asha.settled(new, most_epochs=600) == new
    assert asha.settled(earlier, most_epochs=60) == earlier
    assert PrunerConfig(name="asha", extrapolate=True).settled(earlier, most_epochs=60).extrapolate is True
    assert PrunerConfig(name="median").settled(None, most_epochs=60).extrapolate is None
