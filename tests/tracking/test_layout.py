from __future__ import annotations

import json
from urllib.parse import parse_qs

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


def test_a_study_link_opens_the_training_view_with_the_saved_view() -> None:
    """The link carries the view's key, and keeps the UI from opening on traces."""
    link = layout.study_link("http://host:5000/", experiment_id="7", study_id="grid-18bcfe56800")
    base, _, query = link.partition("?")
    assert base == "http://host:5000/#/experiments/7/runs"
    assert parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "viewStateShareKey": ["deepcolor-grid-18bcfe56800"],
    }


def test_without_a_saved_view_the_link_carries_filter_and_sort() -> None:
    """A store without the view still shows the study's trials, best first."""
    link = layout.study_link("http://h", experiment_id="7", study_id="grid-18bcfe56800", has_view=False)
    query = parse_qs(link.partition("?")[2])
    assert query["searchFilter"] == [layout.trials_filter("grid-18bcfe56800")]
    assert query["orderByKey"] == ["metrics.`value`"]
    assert query["orderByAsc"] == ["true"]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=40))
def test_a_saved_view_always_fits_a_tag(searched: list[str]) -> None:
    """However many parameters are searched, the view is JSON that MLflow's tag can hold, with the filter in it."""
    study_id = layout.study_id("s" * 100, 2**41)
    value = layout.view_value("s" * 100, study_id, searched=searched, final=["psnr_db"], created_ms=1)
    assert len(value) <= layout.MAX_TAG_CHARS
    state = json.loads(json.loads(value)["state"])
    assert state["searchFilter"] == layout.trials_filter(study_id)
