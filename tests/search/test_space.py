"""Spaces: their points, with conditions and with parameters that set several fields; and what Optuna draws from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from deepcolor.config.schema import SearchConfig, Sweep
from deepcolor.search.study.space import distributions, grid_points, misfits, params_of, point_key

MOMENTUM = {"values": [0.5, 0.9], "when": {"optimizer": "sgd"}}
SIZES = {"values": {"small": {"feature_maps": 3, "lr": 0.01}, "large": {"feature_maps": 32}}}


def sweep_over(space: dict[str, Any], *, training: dict[str, Any] | None = None, **search: Any) -> Sweep:
    content = {"study": "s", "stage": "regressor", "data": {"name": "faces"}, "training": training or {}}
    return Sweep.model_validate({**content, "search": {"space": space, **search}})


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(1e-6, 0.1), min_size=1, max_size=4, unique=True),
)
def test_a_grid_has_each_combination_once(epochs: list[int], rates: list[float]) -> None:
    """A grid has all combinations, none twice, with the epochs of one training side by side, ascending."""
    points = grid_points(sweep_over({"epochs": epochs, "lr": rates}))
    assert len({point_key(point) for point in points}) == len(points) == len(epochs) * len(rates)
    assert [point["epochs"] for point in points] == sorted(epochs) * len(rates)


def test_a_stepped_range_is_a_grid_dimension() -> None:
    """A range with a step gives its values, both ends included."""
    points = grid_points(sweep_over({"feature_maps": {"low": 3, "high": 9, "step": 2}}))
    assert [point["feature_maps"] for point in points] == [3, 5, 7, 9]


def test_ranges_and_choices_become_the_distributions_they_say() -> None:
    """Whole bounds give whole numbers, log and step are kept, lists become choices, mappings their labels."""
    space = {
        "feature_maps": {"low": 3, "high": 64, "log": True},
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "output_activation": ["sigmoid", "tanh"],
        "epochs": {"low": 10, "high": 100, "step": 10},
        "size": {"values": {"a": {"patience": 3}, "b": {}}},
    }
    assert distributions(SearchConfig(sampler="tpe", trials=1, space=space)) == {  # type: ignore[arg-type]
        "feature_maps": IntDistribution(3, 64, log=True),
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "output_activation": CategoricalDistribution(["sigmoid", "tanh"]),
        "epochs": IntDistribution(10, 100, step=10),
        "size": CategoricalDistribution(["a", "b"]),
    }


@given(st.integers(-5, 5))
def test_a_point_is_the_same_point_as_int_or_float(value: int) -> None:
    """1 and 1.0 name one point, whatever the order of the names; True and 1 do not."""
    assert point_key({"a": value, "b": None}) == point_key({"b": None, "a": float(value)})
    assert point_key({"a": True}) != point_key({"a": 1})


def test_a_grid_has_only_what_conditions_allow() -> None:
    """A parameter is in the points where its condition holds, down a chain, and the others are not multiplied by it."""
    space = {
        "patience": {"values": [2, 3], "when": {"momentum": 0.9}},
        "momentum": MOMENTUM,
        "optimizer": ["adam", "sgd"],
        "lr": [0.1, 0.01],
    }
    sweep = sweep_over(space)
    points = grid_points(sweep)
    assert len(points) == sweep.grid_points() == 2 * (1 + 1 + 2)
    assert {(p["optimizer"], p.get("momentum"), p.get("patience")) for p in points} == {
        ("adam", None, None),
        ("sgd", 0.5, None),
        ("sgd", 0.9, 2),
        ("sgd", 0.9, 3),
    }
    assert all(sweep.space.is_whole(point) for point in points)
    assert not sweep.space.is_whole({"optimizer": "sgd", "lr": 0.1})
    assert not sweep.space.is_whole({"optimizer": "adam", "lr": 0.1, "momentum": 0.5})


def test_a_field_keeps_its_own_value_where_it_is_not_searched() -> None:
    """What a condition leaves out has the sweep's value, and so has a field that a label does not set."""
    sweep = sweep_over({"optimizer": ["adam", "sgd"], "patience": {"values": [2], "when": {"optimizer": "sgd"}}})
    assert sweep.setting({"optimizer": "adam"}).training.patience == 5
    assert sweep.setting({"optimizer": "sgd", "patience": 2}).training.patience == 2
    sizes = sweep_over({"size": SIZES}, training={"lr": 0.5})
    assert [sizes.setting({"size": label}).training.lr for label in ("small", "large")] == [0.01, 0.5]
    assert sizes.setting({"size": "large"}).model.feature_maps == 32


def test_a_condition_may_name_what_is_fixed() -> None:
    """Whether the rest of the sweep makes a field worth searching is decided once."""
    space = {"lr": [0.1], "patience": {"values": [2, 3], "when": {"early_stopping": True}}}
    assert len(grid_points(sweep_over(space))) == 1
    assert len(grid_points(sweep_over(space, training={"early_stopping": True}))) == 2


SPACES: list[dict[str, Any]] = [
    {"optimizer": ["adam", "sgd"], "momentum": {"values": [0.5, 0.9], "when": {"optimizer": "sgd"}}, "epochs": [1, 2]},
    {"size": SIZES, "batch_size": {"values": [8, 16], "when": {"size": "large"}}},
    {"size": [{"feature_maps": 3, "lr": 0.01}, {"feature_maps": 5}]},
]


@pytest.mark.parametrize("space", SPACES)
def test_a_setting_leads_back_to_its_point(space: dict[str, Any]) -> None:
    """Each point of a space is told from its setting, and the setting fits; written down, the space is the same."""
    sweep = sweep_over(space)
    for point in grid_points(sweep):
        assert params_of(sweep, sweep.setting(point)) == point
        assert misfits(sweep, sweep.setting(point)) == []
    assert Sweep.model_validate(sweep.model_dump(mode="json")) == sweep


def test_a_setting_that_is_no_point_says_why() -> None:
    """A value that only another condition allows is no point, nor are fields that no label sets together."""
    sweep = sweep_over(SPACES[0])
    setting = sweep.setting({"optimizer": "sgd", "momentum": 0.9, "epochs": 1})
    other = setting.model_copy(update={"training": setting.training.model_copy(update={"optimizer": "adam"})})
    assert misfits(sweep, other) == ["training.momentum: 0.9 -> None"]
    sizes = sweep_over({"size": SIZES})
    odd = sweep_over({"lr": [0.01]}).setting({"lr": 0.01})
    odd = odd.model_copy(update={"model": odd.model.model_copy(update={"feature_maps": 7})})
    assert misfits(sizes, odd) == ["search.space.size: {'feature_maps': 7, 'lr': 0.01} is no longer in it"]


def test_most_epochs_are_those_of_any_setting() -> None:
    """A label's count, and so does the sweep's own where a condition may leave the parameter out."""
    assert sweep_over({"size": {"values": {"a": {"epochs": 3}, "b": {"epochs": 9}}}}).most_epochs == 9
    space = {"optimizer": ["adam", "sgd"], "epochs": {"values": [3], "when": {"optimizer": "sgd"}}}
    assert sweep_over(space, training={"epochs": 20}).most_epochs == 20


def test_the_forms_of_the_data_that_trials_ask_for() -> None:
    """Fields of data.augment are searched under their own names; each combination that a trial can have is a form."""
    space = {
        "random_rotation": [5, 15, None],
        "random_crop": {"values": [4], "when": {"random_rotation": 5}},
        "plain": {"values": {"yes": {"mode": "fresh"}, "no": {}}},
    }
    sweep = sweep_over(space)
    forms = [(form.augment.random_rotation, form.augment.random_crop, form.augment.mode) for form in sweep.data_forms]
    assert forms[0] == (15.0, 8, "fixed")
    assert set(forms) == {(r, 4 if r == 5 else 8, mode) for r in (5.0, 15.0, None) for mode in ("fixed", "fresh")}
    setting = sweep.setting({"random_rotation": 5.0, "random_crop": 4, "plain": "no"})
    assert setting.data in sweep.data_forms
    assert params_of(sweep, setting) == {"random_rotation": 5.0, "random_crop": 4, "plain": "no"}
    assert sweep_over({"lr": [0.1]}).data_forms == (sweep.data,)
    other = sweep_over({"random_rotation": [5, 15]})
    assert misfits(other, setting) == ["data.augment.random_crop: 4 -> 8"]
