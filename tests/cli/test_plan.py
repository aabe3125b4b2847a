from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepcolor.app import plan as planning
from deepcolor.app.how import How
from deepcolor.app.plan import estimate, plan_file
from deepcolor.config.schema import Sweep, TrainingConfig
from deepcolor.errors import ModelError, StudyError
from deepcolor.search.plan import price
from deepcolor.training import calibration
from tests.cli.conftest import command, run
from tests.reporting import Heard

GRID = """
study: grid
stage: regressor
data: {name: faces, size_px: 64}
search:
  space:
    feature_maps: [2, 4]
    epochs: [1, 2]
"""


def sweep_of(study: str, stage: str = "regressor", **fields: Any) -> Sweep:
    """A sweep over two learning rates and two numbers of epochs."""
    search = {"space": {"lr": [1e-2, 1e-3], "epochs": [1, 2]}}
    data = {"name": "faces", "size_px": 64}
    return Sweep.model_validate({"study": study, "stage": stage, "data": data, "search": search, **fields})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment, and all there is: how well, and on how busy a machine, is not in question here."""
    monkeypatch.setattr(calibration, "MEASURE_S", 0.05)
    monkeypatch.setattr(planning, "LEAST_S", 1e6)


def test_a_plan_agrees_with_the_sweep_and_then_has_nothing_left(how: How) -> None:
    """The plan's epochs are those the sweep trains, and planning writes no training; afterwards nothing is left, and
    another study on the same forms is priced from what was trained.
    """
    sweep = sweep_of("grid", search={"space": {"feature_maps": [2, 4], "epochs": [1, 2]}})
    (cost,) = estimate((sweep,), how)
    assert (cost.trials, cost.trajectories, cost.requested_epochs, cost.trained_epochs) == (4, 2, 6, 4)
    assert cost.sources == {"calibration": 2}
    assert cost.wall_s > cost.startup_s > 0
    assert not how.workspace.trajectories.exists()
    assert run(sweep, how).trained_now == cost.trained_epochs
    (cost,) = estimate((sweep,), how)
    assert (cost.trials, cost.trained_epochs, cost.store_bytes) == (0, 0, 0)
    other = sweep_of("other", search={"space": {"feature_maps": [2, 4], "epochs": [2, 3]}})
    (cost,) = estimate((other,), how)
    assert (cost.trained_epochs, cost.sources) == (2, {"store": 2})
    with pytest.raises(StudyError, match=r"training\.lr"):
        estimate((sweep.model_copy(update={"training": TrainingConfig(lr=0.5)}),), how)


def test_a_plan_measures_as_much_as_its_sweep_is_worth(how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more than its share of time would go into measuring, one form is measured, and the others follow from it,
    those of other sweeps too; where there is time, nothing is derived from another batch size, or by a wide margin.
    What is said of a form names the stage and whatever tells it from the others, and nothing else.
    """
    reporter = Heard()
    said, how = reporter.notes, replace(how, reporter=reporter)
    wide = sweep_of("wide", search={"space": {"feature_maps": [2, 4], "batch_size": [4, 8]}})
    colorizer = sweep_of("two", "colorizer", search={"space": {"lr": [1e-2]}}, model={"feature_maps": 2})

    monkeypatch.setattr(planning, "LEAST_S", 0.0)
    monkeypatch.setattr(planning, "SHARE", 0.0)
    costs = planning.estimate((wide, colorizer), how)
    assert [cost.sources for cost in costs] == [{"calibration": 1, "interpolation": 3}, {"interpolation": 1}]
    assert all(cost.wall_s > 0 and cost.epoch_s > 0 for cost in costs)
    measured = [line for line in said if line.endswith("an epoch")]
    assert [line.split(":")[0] for line in measured] == ["regressor feature_maps=4 batch_size=4"]
    assert "derived" in said[-1]

    said.clear()
    monkeypatch.setattr(planning, "LEAST_S", 1e6)
    costs = planning.estimate((wide, colorizer), how)
    assert costs[0].sources["calibration"] >= 2
    assert costs[1].sources == {"calibration": 1}
    names = [line.split(":")[0] for line in said if line.endswith("an epoch")]
    assert len(set(names)) == len(names) >= 3
    assert {"batch_size=4", "batch_size=8"} <= {name.split()[-1] for name in names}


def test_a_file_is_planned_as_what_it_is(how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pipeline each sweep is priced, the promotion after it included, and the sums are over all; of a sweep it
    alone.
    """
    monkeypatch.setattr(price, "PROMOTION_S", 1e6)
    sweep, pipeline = how.workspace.root / "grid.yaml", how.workspace.root / "pipeline.yaml"
    sweep.write_text(GRID)
    grid = "".join(f"    {line}\n" for line in GRID.strip().splitlines())
    pipeline.write_text(f"pipeline: whole\nsweeps:\n  -{grid[3:]}")
    alone, whole = plan_file(sweep, how), plan_file(pipeline, how, overrides=["regressor.study=other"])
    assert [[cost.study for cost in planned.costs] for planned in (alone, whole)] == [["grid"], ["other"]]
    assert whole.costs[0].startup_s > 1e6 > alone.costs[0].startup_s
    assert whole.wall_s == whole.costs[0].wall_s
    assert whole.as_dict()["sweeps"][0]["stage"] == whole.sweeps[0].stage == "regressor"


def test_a_plan_is_one_json_object(how: How) -> None:
    """On the command line: the sum and each sweep, for a script to read."""
    (how.workspace.root / "grid.yaml").write_text(GRID)
    plan = command(how.workspace.root, "plan", "grid.yaml", "--executor", "serial")
    assert [cost["study"] for cost in plan["sweeps"]] == ["grid"]
    assert plan["hours"] * 3600 == pytest.approx(plan["wall_s"])
    assert plan["disk_bytes"] > 0


def test_a_pipeline_is_planned_before_its_parents_exist(how: How) -> None:
    """A later sweep starts from what an earlier one has yet to make; its form is taken from there."""
    wide = sweep_of("one", model={"feature_maps": 5}, search={"space": {"feature_maps": [3, 6]}})
    colorizer = sweep_of("two", "colorizer", init={"init_from": "regressor@champion"})
    first, second = estimate((wide, colorizer), how, promoted=True)
    assert (first.trials, second.trials) == (2, 4)
    assert second.trained_epochs == 4
    assert second.at_most
    assert second.store_bytes > 0


def test_a_parent_that_nobody_makes_is_an_error(how: How) -> None:
    """Alone, a sweep whose parent does not exist cannot be planned; the message names what is missing."""
    with pytest.raises(ModelError, match="regressor@champion"):
        estimate((sweep_of("two", "colorizer", init={"init_from": "regressor@champion"}),), how)
