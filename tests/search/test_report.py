"""What the pictures of a study's report show."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.config.schema import Choices, ParamValue, Sweep
from deepcolor.report import figures as report_figures
from deepcolor.report.axis import axis_of
from deepcolor.report.figures import Pictured, pictured
from deepcolor.report.writing import all_importances
from deepcolor.search.study.importances import importances
from deepcolor.search.study.storage import StoredTrial
from deepcolor.training.trajectory import View
from tests.search.conftest import Bench

SPACE: dict[str, Any] = {
    "lr": [0.3, 0.1, 0.03, 0.02, 0.01],
    "weight_decay": [0.0],
    "hidden_activation": ["relu", "leaky_relu"],
}


def trial(number: int, state: str, value: float | None, **params: ParamValue) -> StoredTrial:
    from deepcolor.search.study.trials import Outcome

    outcome = Outcome(View(3, 3, value)) if value is not None and state != "waiting" else None
    reached = {1: value} if state == "waiting" and value is not None else {}
    return StoredTrial(number, state, params, None if reached else value, 0, 1, None, outcome, None, reached=reached)


@pytest.fixture
def mixed() -> tuple[Sweep, list[StoredTrial]]:
    """Trials of every kind, of which 1, 4, 5 and 7 can be drawn."""
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "colorizer", "data": {"name": "faces"}, "search": {"space": SPACE, "pruner": "asha"}}
    )
    settings = itertools.cycle([{"lr": lr, "weight_decay": 0.0, "hidden_activation": "relu"} for lr in SPACE["lr"]])
    kinds = [
        ("failed", None),
        ("complete", 0.02),
        ("waiting", None),
        ("complete", float("inf")),
        ("pruned", 0.05),
        ("waiting", 0.07),
        ("failed", None),
        ("complete", 0.01),
    ]
    return sweep, [trial(number, *kind, **next(settings)) for number, kind in enumerate(kinds)]


def dots(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    """What is drawn of complete trials and of those at a rung: places and values."""
    lines = {line.get_label(): line for line in axes.lines if line.get_marker() == "o"}
    return {name: (list(line.get_xdata()), list(line.get_ydata())) for name, line in lines.items()}


def labels(ticks: Sequence[Any]) -> list[str]:
    return [tick.get_text() for tick in ticks]


def test_trials_keep_their_numbers_and_pruned_ones_their_place(mixed: tuple[Sweep, list[StoredTrial]]) -> None:
    """The history draws trials at their own numbers, hollow if at a rung; the title says what is left out."""
    figure = report_figures.history_figure(pictured(*mixed))
    (axes,) = figure.axes
    assert dots(axes) == {"complete": ([1, 7], [0.02, 0.01]), "at its last rung": ([4, 5], [0.05, 0.07])}
    assert all(float(place) == int(place) for place in axes.get_xticks())
    title = figure.get_suptitle()
    assert title.startswith("s: val/mse of each trial")
    assert "2 trials at the last rung" in title
    assert "4 trials without a finite value" in title


def test_every_searched_field_has_its_slice_with_legible_labels(mixed: tuple[Sweep, list[StoredTrial]]) -> None:
    """A field of one value, of names and of numbers over decades: each has a panel with its values written below."""
    figure = report_figures.slices_figure(pictured(*mixed))
    panels = {axes.get_xlabel(): axes for axes in figure.axes if axes.get_visible()}
    assert list(panels) == ["lr (log)", "weight_decay", "hidden_activation"]
    assert labels(panels["hidden_activation"].get_xticklabels()) == ["relu", "leaky_relu"]
    assert labels(panels["weight_decay"].get_xticklabels()) == ["0"]
    assert labels(panels["lr (log)"].get_xticklabels()) == ["0.01", "0.03", "0.1", "0.3"]
    assert all(len(values[0]) == 2 for axes in panels.values() for values in dots(axes).values())


def test_the_worst_line_is_seen_on_white(mixed: tuple[Sweep, list[StoredTrial]]) -> None:
    """In parallel coordinates the best trial is darkest, the worst still far from white; whole numbers stay whole."""
    figure = report_figures.parallel_figure(pictured(*mixed))
    colours = [tuple(row[:3]) for lines in figure.axes[0].collections for row in lines.get_edgecolor()]  # type: ignore[index]
    assert len(colours) == 4
    assert max(map(min, colours)) < 0.9
    assert min(map(sum, colours)) < 1.0


def test_importances_need_trials(bench: Bench, sweep_of: Callable[..., Sweep]) -> None:
    """With few trials a sentence says that they mean nothing, and no picture is drawn; with enough, bars are in the
    order of the legend.
    """
    few = bench.run(sweep_of({"lr": [0.1, 0.01], "weight_decay": [0.0, 0.1]}, study="few"))
    many = {"lr": [0.2, 0.1, 0.03, 0.01, 0.003, 0.001], "weight_decay": [0.0, 0.1], "epochs": [1, 2]}
    bench.run(sweep_of(many, study="many"))
    assert few.complete == 4
    said = bench.workspace.report("few") / "importances.txt"
    assert said.read_text() == "Importances are meaningful from about 20 complete trials on; this study has 4.\n"
    assert not said.with_suffix(".png").exists()
    assert [path.name for path in bench.workspace.report("many").glob("importances.*")] == ["importances.png"]
    study = bench.storage().load("many")
    of = pictured(study.sweep, study.trials())
    figure = report_figures.importances_figure(of, {"val/mse": importances(study, of.varying)})
    (axes,) = figure.axes
    (legend,) = figure.legends
    assert labels(legend.get_texts()) == ["fANOVA", "PED-ANOVA"]
    first, second = (container[0] for container in axes.containers)
    assert first.get_y() < second.get_y()
    assert axes.yaxis_inverted()
    assert sorted(labels(axes.get_yticklabels())) == ["epochs", "lr", "weight_decay"]


def test_each_of_several_objectives_has_its_importances(bench: Bench, sweep_of: Callable[..., Sweep]) -> None:
    """What decides one objective need not decide another: each is explained by itself, in a panel of its own."""
    space = {"lr": [0.2, 0.1, 0.03, 0.01, 0.003, 0.001], "feature_maps": [2, 4, 8, 16]}
    bench.run(sweep_of(space, objective=["val/mse", "parameters"]))
    study = bench.storage().load("s")
    of = pictured(study.sweep, study.trials())
    shares = all_importances(study, of)
    assert list(shares) == ["val/mse", "parameters"]
    assert max(shares["parameters"]["fANOVA"], key=shares["parameters"]["fANOVA"].__getitem__) == "feature_maps"
    assert max(shares["val/mse"]["fANOVA"], key=shares["val/mse"]["fANOVA"].__getitem__) == "lr"
    figure = report_figures.importances_figure(of, shares)
    assert [panel.get_title() for panel in figure.axes] == ["val/mse", "parameters"]
    assert figure.png()


@given(st.lists(st.one_of(st.integers(1, 512), st.floats(1e-7, 1e3)), min_size=1, max_size=40))
def test_labels_stand_apart_and_say_whole_numbers_whole(values: list[int | float]) -> None:
    """Whatever numbers a field took: labels differ, lie within the axis, do not touch, and show whole numbers without a
    fraction.
    """
    axis = axis_of(Choices.model_construct(name="lr", values=tuple(values)), values)
    ticks = axis.ticks(narrow=True)
    assert ticks
    low, high = axis.limits
    assert all(low <= place <= high for place, _ in ticks)
    if all(isinstance(value, int) for value in values):
        assert all(float(label) == int(float(label)) for _, label in ticks)
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(ticks)]
    assert all(gap >= 0.16 * (high - low) / 1.16 * 0.99 for gap in gaps) or len(ticks) == 2


def test_a_zero_beside_decades_has_a_place_of_its_own() -> None:
    """No weight decay, and three decades of it: four evenly spaced places."""
    values = [0.0, 1e-5, 1e-4, 1e-3]
    axis = axis_of(Choices(name="weight_decay", values=tuple(values)), values)
    assert [axis.place(value) for value in values] == [0, 1, 2, 3]
    assert [label for _, label in axis.ticks(narrow=True)] == ["0", "1e-5", "1e-4", "1e-3"]


@pytest.mark.parametrize(
    ("values", "maximized", "log"),
    [
        ([0.9, 0.95, 0.99], True, False),
        ([0.01, 0.5, 0.9], True, False),
        ([0.01, 0.5, 0.9], False, True),
        ([6e-4, 5e-3], False, False),
        ([6e-4, 6e-3], False, True),
        ([-1.0, 5.0], False, False),
        ([2.0, 30.0], True, True),
    ],
)
def test_an_objective_is_drawn_by_its_decades_where_it_has_some(
    values: list[float], maximized: bool, log: bool
) -> None:
    """On a logarithmic axis where values span a factor of ten, unless they are shares up to 1 that are maximised."""
    assert axis_of(None, values, maximized=maximized).log == log


def test_nothing_to_draw_is_no_error() -> None:
    """A study of which nothing is known yet has nothing to draw."""
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "faces"}, "search": {"space": {"lr": [0.1]}}}
    )
    empty = pictured(sweep, [trial(0, "failed", None)])
    assert isinstance(empty, Pictured)
    assert (empty.trials, empty.left_out) == ((), 1)
