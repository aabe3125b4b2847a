from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcolor.config.schema import ModelConfig, Sweep
from deepcolor.registry.references import References
from deepcolor.search.plan.paces import paces_in_store
from deepcolor.search.plan.price import Machine, Pace, filled, price, spread
from deepcolor.search.plan.workload import Form, Workload, workload
from deepcolor.search.study.starts import Start, write_start
from deepcolor.search.upkeep.collection import find_garbage, remove
from deepcolor.tracking.records import Provenance
from tests.search.conftest import Bench

Make = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")
DATA = "d" * 32
ONE = Machine(workers=1, threads=1, device="cpu", startup_s=0.0)


def work_of(bench: Bench, sweep: Sweep) -> Workload:
    """What a sweep would do now, in the bench's workspace."""
    storage = bench.storage()
    trials = storage.load(sweep.study).trials() if sweep.study in storage.names() else []
    store = bench.workspace.trajectories
    return workload(sweep, trials, data_digest=DATA, store=store, parent_of=lambda _: None)


def pace(epoch_s: float = 1.0, trial_s: float = 0.0) -> Pace:
    return Pace(epoch_s, trial_s, checkpoint_bytes=100, result_bytes=10, source="calibration")


def form(feature_maps: int, *, batch_size: int = 32) -> Form:
    return Form("regressor", ModelConfig(feature_maps=feature_maps), (("batch_size", batch_size),))


def cost_s(sweep: Sweep, work: Workload, **machine: Any) -> float:
    """Seconds of a workload beyond those of doing nothing."""
    paces = dict.fromkeys(work.forms(), pace())
    nothing = price(sweep, Workload(0, 0, 0, ()), paces={}, machine=ONE).wall_s
    return price(sweep, work, paces=paces, machine=Machine(**{**vars(ONE), **machine})).wall_s - nothing


def test_the_reports_grid_shares_its_epochs(bench: Bench, sweep_of: Make) -> None:
    """Three learning rates, three epoch counts, three weight decays: 27 trials, 9 trajectories, half of the epochs."""
    space = {"lr": [1e-3, 1e-4, 1e-1], "epochs": [100, 200, 300], "weight_decay": [0, 1e-5, 1e-6]}
    work = work_of(bench, sweep_of(space))
    assert (work.trials, work.trajectories, work.requested_epochs, work.trained_epochs) == (27, 9, 5400, 2700)


def test_a_plan_foretells_what_the_driver_trains(bench: Bench, sweep_of: Make) -> None:
    """Before, between and after: the plan's epochs are those that the driver then trains, across studies too."""
    first = sweep_of({"lr": [0.1, 0.01], "epochs": [2, 4]})
    second = sweep_of({"lr": [0.1, 0.001], "epochs": [3, 6]}, study="t")
    for sweep in (first, second):
        planned = work_of(bench, sweep)
        assert bench.run(sweep).trained_now == planned.trained_epochs > 0
        after = work_of(bench, sweep)
        assert (after.trials, after.trained_epochs, after.chains) == (0, 0, ())
    assert work_of(bench, second).trials == 0


def test_what_was_collected_is_planned_again(bench: Bench, sweep_of: Make) -> None:
    """Once checkpoints are collected, another study that needs them is planned, and trained, from the beginning."""
    bench.run(sweep_of({"lr": [0.1, 0.01]}))
    remove(find_garbage(bench.workspace, bench.storage(), keep=1, references=References()))
    sweep = sweep_of({"lr": [0.1, 0.01]}, study="t")
    assert work_of(bench, sweep).trained_epochs == 3


def test_drawn_settings_are_counted(bench: Bench, sweep_of: Make) -> None:
    """A random search is planned with as many draws from its space as trials are left, the same each time."""
    space = {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "feature_maps": {"low": 2, "high": 8}, "epochs": [2, 4]}
    sweep = sweep_of(space, sampler="random", trials=20)
    work = work_of(bench, sweep)
    assert work.trials == work.trajectories == 20
    assert work == work_of(bench, sweep)
    assert all(2 <= form.model.feature_maps <= 8 for form in work.forms())
    assert 2 * 20 <= work.requested_epochs <= 4 * 20


def test_more_workers_take_less_time(bench: Bench, sweep_of: Make) -> None:
    """Four trajectories of three epochs of a second: 12 s on one worker, 6 s on two; one trajectory cannot be split."""
    sweep = sweep_of({"lr": [0.1, 0.01, 0.001, 0.0001]})
    work = work_of(bench, sweep)
    assert cost_s(sweep, work) == pytest.approx(12, rel=0.05)
    assert cost_s(sweep, work, workers=2) == pytest.approx(6, rel=0.05)
    assert cost_s(sweep, work, workers=64) == pytest.approx(3, rel=0.05)


def test_a_budget_bounds_the_plan(bench: Bench, sweep_of: Make) -> None:
    """The limit that is reached first is named, and what is beyond it is not counted."""
    sweep = sweep_of({"lr": [0.1, 0.01, 0.001, 0.0001]}, budget={"epochs": 6, "wall_s": 1e6})
    work = work_of(bench, sweep)
    cost = price(sweep, work, paces=dict.fromkeys(work.forms(), pace()), machine=ONE)
    assert (cost.limited_by, cost.trained_epochs) == ("epochs", 6)


def test_a_plan_says_when_it_is_an_upper_bound(bench: Bench, sweep_of: Make) -> None:
    """A pruner, a target or early stopping may end the sweep sooner; a plain grid takes what it takes."""
    for search, bound in (({}, False), ({"pruner": "asha"}, True), ({"budget": {"target": 0.1}}, True)):
        sweep = sweep_of(**search)
        work = work_of(bench, sweep)
        assert price(sweep, work, paces=dict.fromkeys(work.forms(), pace()), machine=ONE).at_most is bound


@given(widths=st.lists(st.integers(1, 500), min_size=1, max_size=12, unique=True), most=st.integers(2, 5))
def test_measured_forms_span_the_space(widths: Sequence[int], most: int) -> None:
    """Whatever the space, the least and the most work are measured, so nothing has to be extrapolated; and if a step's
    seconds are proportional to its work, everything in between is exact.
    """
    forms = [form(width) for width in widths]
    work = {one: float(one.model.feature_maps) for one in forms}
    measured = spread(forms, work, most=most)
    assert len(measured) == min(most, len(forms))
    assert {min(widths), max(widths)} <= {one.model.feature_maps for one in measured}
    known = {one: pace(epoch_s=10 * (1 + 2 * work[one])) for one in measured}
    paces = filled(known, forms, work=work, steps=dict.fromkeys(forms, 10))
    assert all(paces[one].epoch_s == pytest.approx(10 * (1 + 2 * work[one])) for one in forms)


def test_beyond_what_was_measured_a_step_takes_as_its_work() -> None:
    """From one measured form the others follow by the work of their steps; a small form does not become free."""
    forms = [form(width) for width in (1, 10, 100)]
    work = {one: float(one.model.feature_maps) for one in forms}
    paces = filled({forms[1]: pace(epoch_s=20.0)}, forms, work=work, steps=dict.fromkeys(forms, 10))
    assert [paces[one].epoch_s for one in forms] == pytest.approx([5.0, 20.0, 200.0])


def test_paces_come_from_trials_that_were_run_alike(bench: Bench, sweep_of: Make) -> None:
    """Finished trials count with the workers, threads and data they were trained with, and for no others."""
    sweep = sweep_of({"lr": [0.1, 0.01]})
    bench.run(sweep)
    provenance = Provenance(data_digest=DATA, data_folder="photos", config_digest=sweep.digest())
    write_start(bench.workspace.study("s"), Start(provenance, "x", workers=2, threads=1))

    def known(**differently: Any) -> int:
        way: dict[str, Any] = {
            "data_digest": DATA,
            "workers": 2,
            "threads": 1,
            "device": "cpu",
            "host": "here",
        } | differently
        return len(paces_in_store(bench.workspace, bench.storage(), **way))

    assert known() == 1
    assert known(workers=1) == known(threads=4) == known(device="cuda") == known(data_digest="e" * 32) == 0
    assert known(host="elsewhere") == 0
