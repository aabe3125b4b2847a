from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.tracking import layout


def test_run_names_are_short_and_in_the_words_of_the_field() -> None:
    """A run's name holds the trial's number and the searched parameters, the way people write them."""
    params = {"lr": 1e-3, "weight_decay": 3.716e-05, "feature_maps": 9, "epochs": 100, "skip_connections": True}
    assert layout.run_name(42, params) == "t0042 lr=1e-3 wd=3.72e-5 fm=9 ep=100 skip=yes"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (0.01, "0.01"),
        (1e-5, "1e-5"),
        (20000.0, "2e4"),
        (None, "none"),
        (False, "no"),
        (3, "3"),
    ],
)
def test_values_read_as_people_write_them(value: float | None, text: str) -> None:
    """Numbers in run names have no trailing zeros and no padded exponents."""
    assert layout.short(value) == text


@given(
    number=st.integers(0, 10**6),
    params=st.dictionaries(
        st.sampled_from(["lr", "epochs", "init_from"]), st.floats(allow_nan=False, allow_infinity=False) | st.text()
    ),
)
def test_the_trial_can_be_read_back_from_its_run_name(number: int, params: dict[str, float | str]) -> None:
    """Whatever the parameters, the name fits MLflow and gives the number back."""
    name = layout.run_name(number, params)
    assert len(name) <= 250
    assert layout.trial_number(name.split("\n")[0].split("\r")[0].split(" ")[0]) == number


@pytest.mark.parametrize("name", ["grid", "t12", "xt0001", ""])
def test_other_names_are_no_trials(name: str) -> None:
    """The name of a study is not mistaken for that of a trial."""
    assert layout.trial_number(name) is None


@pytest.mark.parametrize("stage", ["regressor", "colorizer", "transfer", "my_stage"])
def test_each_stage_has_an_experiment(stage: str) -> None:
    """The stage can be read back from the experiment's name; foreign experiments have none."""
    assert layout.stage_in(layout.experiment_name(stage)) == stage
    assert layout.stage_in("Default") is None
