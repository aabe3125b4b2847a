"""What is prepared in MLflow's pages, and the links that open it; a browser looks at them in `test_pages`."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.tracking import layout, views

STUDY_ID = "grid-18bcfe56800"
GRID = views.StudyViews(
    study="grid",
    study_id=STUDY_ID,
    created_ms=5,
    searched=("lr", "feature_maps"),
    final=("psnr_db",),
    beside=("chosen/val/rmse_ab",),
    curves=("val/rmse_ab", "val/mse"),
    pictures=("pictures/1", "pictures/2"),
    shown_epoch=9,
    confirmed=True,
)


def state_of(value: str) -> dict[str, Any]:
    """What a saved view holds, as the pages read it."""
    _, _, packed = json.loads(value)["state"].partition("deflate;")
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


@pytest.mark.parametrize(
    ("link", "query"),
    [
        (views.study_link, {"viewStateShareKey": [f"deepcolor-{STUDY_ID}"]}),
        (views.charts_link, {"viewStateShareKey": [f"deepcolor-{STUDY_ID}"], "compareRunsMode": ["CHART"]}),
        (views.confirmation_link, {"viewStateShareKey": [f"deepcolor-{STUDY_ID}-confirmation"]}),
    ],
)
def test_each_link_opens_the_training_view_with_a_saved_view(link: Any, query: dict[str, list[str]]) -> None:
    """It carries the view's key, and keeps the UI from opening on traces; in a description it names no server."""
    base, _, words = link("http://host:5000/", experiment_id="7", study_id=STUDY_ID).partition("?")
    assert base == "http://host:5000/#/experiments/7/runs"
    assert parse_qs(words) == {"workflowType": ["machine_learning"], **query}
    assert link("", experiment_id="7", study_id=STUDY_ID).startswith("#/experiments/7/runs?")


def test_without_a_saved_view_the_link_carries_filter_and_sort() -> None:
    """A store without the view still shows the study's trials, best first."""
    link = views.study_link("http://h", experiment_id="7", study_id=STUDY_ID, has_view=False)
    query = parse_qs(link.partition("?")[2])
    assert query["searchFilter"] == [layout.trials_filter(STUDY_ID)]
    assert query["orderByKey"] == ["metrics.`value`"]
    assert query["orderByAsc"] == ["true"]


def test_the_views_show_the_best_first() -> None:
    """The smallest value is at the top, or the largest where larger is better; what was not confirmed has one view."""
    best, confirmation = (state_of(value) for value in GRID.tags().values())
    assert best["orderByAsc"] is confirmation["orderByAsc"] is True
    assert best["searchFilter"] == layout.trials_filter(STUDY_ID)
    assert confirmation["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "deepcolor.confirms"}]
    assert {card["type"] for card in best["compareRunCharts"]} == {"LINE", "PARALLEL", "SCATTER", "IMAGE"}
    (other,) = dataclasses.replace(GRID, maximized=True, confirmed=False).tags().values()
    assert state_of(other)["orderByAsc"] is False


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=40))
def test_a_saved_view_always_fits_a_tag(searched: list[str]) -> None:
    """However many parameters are searched, each view is one that the pages can read, with the filter in it."""
    study_id = layout.study_id("s" * 100, 2**41)
    many = dataclasses.replace(GRID, study="s" * 100, study_id=study_id, searched=searched)
    values = list(many.tags().values())
    assert all(len(value) <= views.MAX_TAG_CHARS for value in values)
    assert state_of(values[0])["searchFilter"] == layout.trials_filter(study_id)
    assert state_of(values[1])["searchFilter"] == layout.confirmations_filter(study_id)


def test_the_oldest_views_leave_the_list_and_can_be_opened() -> None:
    """The pages list views with a name, and allow no more than 40 beside which a user could save one."""
    studies = [
        dataclasses.replace(GRID, study_id=f"s{number:02d}", created_ms=number, confirmed=False) for number in range(23)
    ]
    tags = {name: value for study in studies for name, value in study.tags().items()}
    own = {"mlflow.sharedViewState.1": json.dumps({"name": "mine", "createdAt": 0, "updatedAt": 0, "state": "{}"})}
    changed = views.no_longer_listed({**tags, **own, "mlflow.note.content": "x"})
    assert [name.rpartition("-")[2] for name in changed] == ["s00", "s01", "s02"]
    assert all(value.startswith("deflate;") for value in changed.values())
    assert views.no_longer_listed({**tags, **own, **changed}) == {}
