"""The sampler that `auto` stands for: by the space and the number of trials, once for a study."""

from __future__ import annotations

from typing import Any

import pytest

from deepcolor.config.choosing import chosen_sampler
from deepcolor.config.load import sweep_of
from deepcolor.config.schema import Sweep
from deepcolor.errors import ConfigError

LR = {"low": 1e-4, "high": 0.1, "log": True}
RANGES: dict[str, Any] = {"lr": LR, "weight_decay": {"low": 0.0, "high": 0.1}}
CONDITIONAL: dict[str, Any] = {**RANGES, "optimizer": ["adam", "sgd"], "momentum": {"low": 0.0, "high": 0.9}}
CONDITIONAL["momentum"]["when"] = {"optimizer": "sgd"}


def auto(space: dict[str, Any], **search: Any) -> Sweep:
    content = {"study": "s", "stage": "regressor", "data": {"name": "faces"}}
    return sweep_of({**content, "search": {"sampler": "auto", "space": space, **search}})


@pytest.mark.parametrize(
    ("space", "search", "sampler"),
    [
        ({"epochs": [1, 2], "batch_size": [8, 16]}, {"trials": 4}, "grid"),
        ({"epochs": [1, 2], "batch_size": [8, 16]}, {"trials": 3}, "tpe"),
        ({"epochs": [1, 2]}, {}, "grid"),
        ({}, {}, "grid"),
        (RANGES, {"trials": 60}, "tpe"),
        (RANGES, {"trials": 300, "objective": ["val/mse", "epoch_s"]}, "nsga2"),
        (RANGES, {"trials": 300, "budget": {"trials": 30}, "objective": ["val/mse", "epoch_s"]}, "tpe"),
        (RANGES, {"budget": {"wall_s": 60}}, "tpe"),
        (CONDITIONAL, {"trials": 30}, "tpe"),
    ],
)
def test_the_sampler_suits_space_and_trials(space: dict[str, Any], search: dict[str, Any], sampler: str) -> None:
    """It is chosen when the study begins, and what is written down then can be read again as it is."""
    sweep = auto(space, **search)
    settled = sweep.settled()
    assert settled.search.sampler == sampler
    assert Sweep.model_validate(settled.model_dump(mode="json")) == settled
    assert sweep.why_sampler().startswith(f"the sampler chosen is {sampler}: ")


def test_several_objectives_take_a_genetic_sampler_where_it_has_generations() -> None:
    """A population that is never bred anew would be a random search."""
    space = auto(RANGES, trials=9).space
    assert [chosen_sampler(space, trials=trials, objectives=2)[0] for trials in (249, 250)] == ["tpe", "nsga2"]


def test_a_study_keeps_its_sampler_unless_its_grid_has_grown_too_large() -> None:
    """More trials do not change how a study goes on."""
    both = ["val/mse", "epoch_s"]
    began = auto(RANGES, trials=60, objective=both).settled()
    assert auto(RANGES, trials=300, objective=both).settled(began).search.sampler == "tpe"
    grid = auto({"epochs": [1, 2]}, trials=4).settled()
    assert auto({"epochs": [1, 2, 3]}, trials=4).settled(grid).search.sampler == "grid"
    assert auto({"epochs": [1, 2, 3, 4, 5]}, trials=4).settled(grid).search.sampler == "tpe"


def test_auto_says_what_it_needs() -> None:
    """A range never ends by itself, and options belong to a sampler."""
    with pytest.raises(ConfigError, match="trials: a space with a range needs a number of trials; got lr"):
        auto(RANGES)
    with pytest.raises(ConfigError, match="sampler_options: what options mean depends on the sampler"):
        auto(RANGES, trials=3, sampler_options={"multivariate": True})
