from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.schema import ModelConfig, Sweep, TrainingConfig
from deepcolor.registry.references import References
from deepcolor.search.plan.neighbours import doubt, filled
from deepcolor.search.plan.paces import paces_in_store
from deepcolor.search.plan.price import Cost, Machine, Pace, price
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
    """A random search is planned with as many draws from its space as trials are left, evenly over each parameter,
    the same each time.
    """
    space = {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "feature_maps": {"low": 2, "high": 8}, "epochs": [2, 4]}
    sweep = sweep_of(space, sampler="random", trials=20)
    work = work_of(bench, sweep)
    assert work.trials == work.trajectories == 20
    assert work == work_of(bench, sweep)
    assert all(2 <= form.model.feature_maps <= 8 for form in work.forms())
    assert work.requested_epochs == 2 * 10 + 4 * 10
    widths = Counter(chain.form.model.feature_maps for chain in work.chains)
    assert set(widths) == set(range(2, 9))
    assert max(widths.values()) - min(widths.values()) <= 1


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


@settings(max_examples=40)
@given(widths=st.lists(st.integers(1, 500), min_size=1, max_size=12, unique=True), power=st.floats(0.2, 1.0))
def test_a_few_measured_forms_tell_all_of_their_kin(widths: Sequence[int], power: float) -> None:
    """Whatever the space and the power of the work that an epoch takes, what is measured until it is enough foretells
    the whole sweep within a quarter; at most half a dozen forms are measured, the one with the most work first.
    """
    forms = [form(width) for width in widths]
    work = {one: float(one.model.feature_maps) ** 2 for one in forms}
    true = {one: pace(epoch_s=3 * work[one] ** power) for one in forms}
    known = measured(forms, work, true)
    assert max(forms, key=lambda one: work[one]) == next(iter(known))
    assert len(known) <= 6
    said = sum(one.epoch_s for one in filled(known, forms, work=work).values())
    assert said == pytest.approx(sum(one.epoch_s for one in true.values()), rel=0.25)


def measured(forms: Sequence[Form], work: Mapping[Form, float], true: Mapping[Form, Pace]) -> dict[Form, Pace]:
    """What a plan with time enough would measure, in its order; each form has one epoch."""
    known: dict[Form, Pace] = {}
    while True:
        guess = filled(known, forms, work=work) if known else {}
        said = doubt(known, forms, work=work, epochs=dict.fromkeys(forms, 1), guess=guess)
        if said.enough or said.form is None:
            return known
        known[said.form] = true[said.form]


def test_between_two_measured_forms_an_epoch_is_read_off() -> None:
    """On the power of the work that joins the two, and on the same power beyond them; of one alone, on a usual one."""
    forms = [form(width) for width in (1, 4, 16, 64)]
    work = {one: float(one.model.feature_maps) for one in forms}
    paces = filled({forms[0]: pace(epoch_s=1.0), forms[2]: pace(epoch_s=4.0)}, forms, work=work)
    assert [paces[one].epoch_s for one in forms] == pytest.approx([1.0, 2.0, 4.0, 8.0])
    paces = filled({forms[2]: pace(epoch_s=4.0)}, forms, work=work)
    assert [paces[one].epoch_s for one in forms] == pytest.approx([4 / 16**0.4, 4 / 4**0.4, 4.0, 4 * 4**0.4])


@pytest.mark.parametrize(
    ("model", "others"),
    [
        ({}, {"batch_size": 64}),
        ({}, {"optimizer": "sgd"}),
        ({}, {"mixed_precision": True}),
        ({}, {"ema": True}),
        ({"growth": "double"}, {}),
        ({"hidden_activation": "tanh"}, {}),
        ({"decoder": "bilinear"}, {}),
    ],
)
def test_nothing_is_read_off_from_another_kin(model: dict[str, Any], others: dict[str, Any]) -> None:
    """A form that differs in more than the width of its network is measured, however much is known of others; what it
    weighs is then not mixed with theirs.
    """
    known = {form(width): pace(epoch_s=width) for width in (2, 8, 32)}
    one = Form("regressor", ModelConfig(feature_maps=8, **model), tuple(({"batch_size": 32} | others).items()))
    forms = [*known, one]
    work = {each: float(each.model.feature_maps) for each in forms}
    epochs = dict.fromkeys(forms, 1)
    said = doubt(known, forms, work=work, epochs=epochs, guess=filled(known, forms, work=work))
    assert (said.form, said.enough) == (one, False)
    wider = replace(one, model=one.model.model_copy(update={"feature_maps": 32}))
    paces = filled({**known, one: pace(epoch_s=100.0)}, [wider], work={**work, wider: 32.0})
    assert paces[wider].epoch_s == pytest.approx(100 * 4**0.4)


def test_what_decides_an_epoch_is_part_of_its_form(sweep_of: Make) -> None:
    """Settings with other weights, precision, terms or metrics are other forms; other values of what only counts by
    being there, and what costs nothing, are not.
    """

    def form_of(**training: Any) -> Form:
        return Form.of(trained(sweep_of(), epochs=2, **training).setting({"lr": 0.1}))

    plain = form_of()
    assert plain == form_of(seed=5) == form_of(weight_decay=0.1) == form_of(dropout=0.0)
    others: list[dict[str, Any]] = [
        {"batch_size": 7},
        {"optimizer": "sgd"},
        {"loss": "l1"},
        {"mixed_precision": True},
        {"ema": 0.9},
    ]
    others += [{"clip_norm": 1.0}, {"saturation_weight": 0.5}, {"dropout": 0.5}]
    assert len({plain, *(form_of(**one) for one in others)}) == 1 + len(others)
    assert form_of(ema=0.9) == form_of(ema=0.99)


def test_a_pruner_leaves_what_its_rules_let_through(bench: Bench, sweep_of: Make) -> None:
    """Nine trials of 9 epochs, compared after 1 and 3: in any order, at least the ladder's own 9 x 1 + 3 x 2 + 1 x 6
    epochs; what is said beside the bound lies between, and a search without a pruner has no such figure.
    """
    space = {"lr": {"low": 1e-4, "high": 0.1}}
    asha = {"name": "asha", "min_epochs": 1}
    sweep = trained(sweep_of(space, sampler="random", trials=9, pruner=asha), epochs=9)
    cost = priced(bench, sweep)
    assert cost.trained_epochs == 81
    assert cost.expected_epochs is not None
    assert 21 <= cost.expected_epochs <= 50
    assert cost.expected_s is not None
    assert cost.expected_s - cost.startup_s == pytest.approx(cost.expected_epochs, abs=2)
    assert cost.expected_s < cost.wall_s
    assert "about " in cost.time
    assert ", at most " in cost.time
    once = trained(sweep_of(space, sampler="random", trials=9, pruner=asha | {"resume": False}), epochs=9)
    assert 9 <= (priced(bench, once).expected_epochs or 0) < 81
    assert priced(bench, sweep_of(space, sampler="random", trials=9)).expected_s is None


def trained(sweep: Sweep, **training: Any) -> Sweep:
    """The same sweep, trained otherwise."""
    return sweep.model_copy(update={"training": TrainingConfig(**training)})


def priced(bench: Bench, sweep: Sweep) -> Cost:
    """What a sweep would cost on one worker at a second an epoch."""
    work = work_of(bench, sweep)
    return price(sweep, work, paces=dict.fromkeys(work.forms(), pace()), machine=ONE)


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
