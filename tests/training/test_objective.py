"""Epochs compared by any metric, in either direction."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from deepcolor.fields.objective import Objective
from deepcolor.training.early_stopping import view_of
from deepcolor.training.trajectory import EpochMetrics, View

values = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), min_size=1, max_size=12)


def history_of(metric: list[float]) -> list[EpochMetrics]:
    """Epochs with one metric of the user's own."""
    return [EpochMetrics(epoch, {"val/score": value}, 0.1, epoch) for epoch, value in enumerate(metric, start=1)]


def mirrored(view: View | None) -> View | None:
    """The same view of the opposite values."""
    return view and View(view.end_epoch, view.chosen_epoch, -view.value, diverged=view.diverged)


@given(metric=values, epochs=st.integers(1, 14), patience=st.one_of(st.none(), st.integers(1, 4)))
def test_a_metric_that_is_maximised_is_seen_as_its_opposite_that_is_minimised(
    metric: list[float], epochs: int, patience: int | None
) -> None:
    """How far a trial looks and which epoch it takes does not depend on the sign that a figure is given."""
    large, small = Objective("val/score", "maximize"), Objective("val/score", "minimize")
    of_large = view_of(history_of(metric), epochs=epochs, patience=patience, objective=large)
    of_small = view_of(history_of([-v for v in metric]), epochs=epochs, patience=patience, objective=small)
    assert mirrored(of_large) == of_small


@given(metric=values)
def test_a_figure_of_the_training_that_is_no_number_ends_it(metric: list[float]) -> None:
    """A training whose own loss is no number has diverged, whatever its objective says of it."""
    history = [
        EpochMetrics(row.epoch, {**row.metrics, "train/loss": row.metrics["val/score"], "val/score": 1.0}, 0.1, 0)
        for row in history_of(metric)
    ]
    view = view_of(history, epochs=len(metric), patience=None, objective=Objective("val/score", "maximize"))
    first = next((epoch for epoch, value in enumerate(metric, start=1) if math.isnan(value)), None)
    assert view is not None
    assert (view.diverged, view.end_epoch) == (first is not None, first or len(metric))
    assert view.value == (-math.inf if first else 1.0)
