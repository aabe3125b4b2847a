from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from deepcolor.config.schema import SearchConfig
from deepcolor.search.study.space import distributions, grid_points, point_key


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(1e-6, 0.1), min_size=1, max_size=4, unique=True),
)
def test_a_grid_has_each_combination_once(epochs: list[int], rates: list[float]) -> None:
    """A grid has all combinations, none twice, with the epochs of one training side by side, ascending."""
    points = grid_points(SearchConfig(space={"epochs": epochs, "lr": rates}))  # type: ignore[arg-type]
    assert len({point_key(point) for point in points}) == len(points) == len(epochs) * len(rates)
    assert [point["epochs"] for point in points] == sorted(epochs) * len(rates)


def test_a_stepped_range_is_a_grid_dimension() -> None:
    """A range with a step gives its values, both ends included."""
    search = SearchConfig(space={"feature_maps": {"low": 3, "high": 9, "step": 2}})  # type: ignore[arg-type]
    assert [point["feature_maps"] for point in grid_points(search)] == [3, 5, 7, 9]


def test_ranges_and_choices_become_the_distributions_they_say() -> None:
    """Whole bounds give whole numbers, log and step are kept, lists become choices."""
    space = {
        "feature_maps": {"low": 3, "high": 64, "log": True},
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "output_activation": ["sigmoid", "tanh"],
        "epochs": {"low": 10, "high": 100, "step": 10},
    }
    assert distributions(SearchConfig(sampler="tpe", trials=1, space=space)) == {  # type: ignore[arg-type]
        "feature_maps": IntDistribution(3, 64, log=True),
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "output_activation": CategoricalDistribution(["sigmoid", "tanh"]),
        "epochs": IntDistribution(10, 100, step=10),
    }


@given(st.integers(-5, 5))
def test_a_point_is_the_same_point_as_int_or_float(value: int) -> None:
    """1 and 1.0 name one point, whatever the order of the names; True and 1 do not."""
    assert point_key({"a": value, "b": None}) == point_key({"b": None, "a": float(value)})
    assert point_key({"a": True}) != point_key({"a": 1})
