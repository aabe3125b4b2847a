from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepcolor.coloring.base import PICTURE_METRICS
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution import serial
from deepcolor.execution.serial import SerialExecutor
from deepcolor.registry.references import References
from deepcolor.search.plan.workload import workload
from deepcolor.search.rules.completion import is_finished
from deepcolor.search.rules.confirmation import confirmation_of, finalists, welch_interval
from deepcolor.search.rules.summary import Snapshot, Summary, best_of
from deepcolor.search.study.starts import Start, write_start
from deepcolor.search.study.storage import Confirms, Outcome, Place, Spent, StoredTrial, owned
from deepcolor.search.study.trials import searched
from deepcolor.search.upkeep.collection import find_garbage, remove
from deepcolor.tracking import layout
from deepcolor.tracking.records import StudyRecord
from deepcolor.training.result_files import read_result
from deepcolor.training.trajectory import View
from deepcolor.workspace import Workspace
from tests.search.conftest import Bench, Memory
from tests.search.trivial import loss, luck, trivial

Make = Callable[..., Sweep]
LRS = [0.1, 0.0095, 0.001, 0.01]
"""Under seed 0 the last one is the best; over seeds 1 to 3 the second one is."""
CONFIRM = {"top": 2, "seeds": 3}


def confirming(bench: Bench, study: str = "s") -> list[StoredTrial]:
    """The trials of a study that confirm others."""
    return [trial for trial in bench.storage().load(study).trials() if trial.confirms is not None]


def grid(*, study: str = "s", lrs: Sequence[float] = LRS, **search: Any) -> Sweep:
    """Settings of three epochs each."""
    return Sweep.model_validate(
        {
            "study": study,
            "stage": "regressor",
            "data": {"name": "faces"},
            "training": {"epochs": 3},
            "search": {"space": {"lr": lrs}, **search},
        }
    )


def planned(bench: Bench, sweep: Sweep) -> tuple[int, int, int | None]:
    """Trainings that a plan counts for the confirmation, all epochs to be trained, and what it has to assume."""
    storage, store = bench.storage(), bench.workspace.trajectories
    trials = storage.load(sweep.study).trials() if sweep.study in storage.names() else []
    work = workload(sweep, trials, data_digest="d" * 32, store=store, parent_of=lambda _: None)
    return work.confirmations, work.trained_epochs, work.presumed_epochs


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """No reports: their pictures take longer than everything else, and only those of `confirmed` are looked at."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    return bench


class Killed(BaseException):
    """What nothing catches, as nothing catches `kill -9`."""


def kill_after(bench: Bench, sweep: Sweep, *, steps: int) -> bool:
    """Drive a study, and die after this many steps; return whether it came to that."""
    seen = 0

    def update(snapshot: Snapshot) -> None:
        nonlocal seen
        seen += 1
        if seen > steps:
            raise Killed

    executor = SerialExecutor(trivial)
    bench.memory.update = update  # type: ignore[method-assign]
    try:
        with owned(bench.workspace, sweep.study), pytest.MonkeyPatch.context() as patch:
            patch.setattr(serial, "PROGRESS_EVERY_S", 0.0)  # A message for each epoch, so that there is one to die at.
            bench.driver(sweep, executor).run()
    except Killed:
        return True
    finally:
        del bench.memory.update
        executor.close()
    return False


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Summary]:
    """A study of four settings whose best two are confirmed; to be read only."""
    bench = Bench(Workspace.at(tmp_path_factory.mktemp("confirmed")).create(), Memory())
    return bench, bench.run(grid(confirm=CONFIRM))


def test_the_winner_is_the_lowest_mean_under_other_seeds(confirmed: tuple[Bench, Summary]) -> None:
    """The two best settings are trained under seeds 1, 2 and 3; the mean decides, without the value in the search."""
    bench, summary = confirmed
    trials = bench.storage().load("s").trials()
    asked = Counter((trials[c.trial].params["lr"], c.seed) for t in trials if (c := t.confirms))
    assert asked == Counter({(lr, seed): 1 for lr in (0.01, 0.0095) for seed in (1, 2, 3)})
    values = {lr: [loss(lr, 0, 3) + luck(lr, seed) for seed in (1, 2, 3)] for lr in (0.01, 0.0095)}
    assert summary.best is not None
    assert summary.best.params["lr"] == 0.01
    confirmation = summary.confirmation
    assert confirmation is not None
    assert confirmation.winner is not None
    assert confirmation.winner.params["lr"] == 0.0095
    assert confirmation.winner.mean == pytest.approx(statistics.fmean(values[0.0095]))
    assert confirmation.winner.std == pytest.approx(statistics.stdev(values[0.0095]))
    assert confirmation.difference is not None
    expected = stats.ttest_ind(values[0.0095], values[0.01], equal_var=False).confidence_interval()
    assert confirmation.difference.interval == pytest.approx((expected.low, expected.high))
    assert confirmation.difference.verdict == "other seeds could change that"


def test_the_search_is_as_it_would_be_without(confirmed: tuple[Bench, Summary], bench: Bench) -> None:
    """Its figures, its best trial and its report are the same; the confirmation's epochs are added to its own."""
    summary, plain = confirmed[1], bench.run(grid())
    for name in ("trials", "complete", "failed", "diverged", "pruned", "stopped_by"):
        assert getattr(summary, name) == getattr(plain, name)
    assert summary.best is not None
    assert plain.best is not None
    assert (summary.best.number, summary.best.value) == (plain.best.number, plain.best.value)
    assert (summary.requested_epochs, plain.requested_epochs) == (12 + 18, 12)
    report, plain_report = (one.workspace.study("s") / "report" for one in (confirmed[0], bench))
    assert (report / "leaderboard.csv").read_text() == (plain_report / "leaderboard.csv").read_text()
    assert len((report / "confirmation.csv").read_text().splitlines()) == 1 + 2
    assert (report / "confirmation.png").stat().st_size > 0
    assert not (plain_report / "confirmation.csv").exists()


def test_runs_say_what_they_confirm_and_can_be_rebuilt(confirmed: tuple[Bench, Summary]) -> None:
    """A confirmation's name differs from a trial's; the parent names the winner; rebuilding gives the same records."""
    bench, _ = confirmed
    shown = bench.memory.trials[4]
    assert shown.confirms == (3, 1)
    assert layout.run_name(shown.number, shown.params) == "t0004 confirms=3 seed=1 lr=0.01"
    assert shown.setting.training.seed == 1
    parent = bench.memory.study
    assert parent is not None
    assert (parent.best_trial, parent.confirmed_trial) == (3, 1)
    assert "other seeds could change that" in parent.confirmation
    write_start(bench.workspace.study("s"), Start(parent.provenance, parent.command))
    rebuilt = bench.replay("s")
    assert {record.number: record for record in rebuilt if not isinstance(record, StudyRecord)} == bench.memory.trials
    again = next(record for record in rebuilt if isinstance(record, StudyRecord))
    assert (again.confirmation, again.state) == (parent.confirmation, "complete")


def test_what_the_store_holds_costs_nothing(confirmed: tuple[Bench, Summary]) -> None:
    """Another study that confirms the same settings trains none of them again."""
    bench, _ = confirmed
    other = Bench(bench.workspace, Memory()).run(grid(study="other", confirm=CONFIRM))
    assert (other.trained_now, other.requested_epochs, len(confirming(bench, "other"))) == (0, 30, 6)


def test_killed_at_every_step_it_goes_on(bench: Bench, sweep_of: Make) -> None:
    """A driver that dies after every second step, again and again: each training is there once, and complete."""
    sweep = grid(confirm=CONFIRM)
    deaths = 0
    while kill_after(bench, sweep, steps=2):
        deaths += 1
    assert deaths > 6
    trials = bench.storage().load("s").trials()
    assert len(searched(trials)) == 4
    assert Counter(t.confirms for t in confirming(bench)) == Counter(
        {Confirms(trial, seed): 1 for trial in (1, 3) for seed in (1, 2, 3)}
    )
    assert all(trial.state == "complete" for trial in trials)
    again = bench.run(sweep)
    assert (again.trained_now, again.state, again.trained_epochs) == (0, "complete", 12 + 18)
    assert len(bench.storage().load("s").trials()) == len(trials)
    assert again.confirmation is not None
    assert again.confirmation.winner is not None


def test_a_stop_while_it_confirms_is_an_interruption(bench: Bench, sweep_of: Make) -> None:
    """What is missing is reported, no run stays open, and the next start makes up for it."""
    sweep = grid(confirm=CONFIRM)
    executor = SerialExecutor(trivial)
    with owned(bench.workspace, "s"):
        driver = bench.driver(sweep, executor)
        bench.memory.update = lambda snapshot: driver.request_stop() if snapshot.confirmed == 2 else None  # type: ignore[method-assign]
        summary = driver.run()
    executor.close()
    assert summary.state == "interrupted"
    assert summary.confirmation is not None
    assert summary.confirmation.winner is None
    assert "of 6 trainings are left" in summary.confirmation.missing
    assert {record.state for record in bench.memory.trials.values()} <= {"complete", "waiting"}
    del bench.memory.update
    done = bench.run(sweep)
    assert (done.state, len(confirming(bench))) == ("complete", 6)
    assert summary.trained_now + done.trained_now == 12 + 18


@pytest.mark.parametrize(
    ("search", "space"),
    [
        ({"budget": {"target": 0.5}}, {"lr": [0.01, 0.1, 0.001]}),
        ({"budget": {"patience_trials": 1}}, {"lr": [0.01, 0.1, 0.001]}),
        ({"budget": {"trials": 2}}, {"lr": [0.01, 0.1, 0.001]}),
    ],
    ids=["target", "patience_trials", "trials"],
)
def test_a_search_that_its_budget_ends_is_confirmed(
    bench: Bench, sweep_of: Make, search: dict[str, Any], space: dict[str, Any]
) -> None:
    """If a target, patience or the number of trials ends the search, its winner is confirmed, and both are reported."""
    summary = bench.run(sweep_of(space, confirm=CONFIRM, **search))
    assert summary.stopped_by == next(iter(search["budget"]))
    assert summary.state == "complete"
    assert summary.confirmation is not None
    assert summary.confirmation.winner is not None
    assert len(confirming(bench)) == 3 * min(2, summary.complete)
    assert bench.run(sweep_of(space, confirm=CONFIRM, **search)).trained_now == 0


def test_a_budget_of_work_that_the_search_has_spent_leaves_none_to_confirm(bench: Bench) -> None:
    """Once the epochs are spent the confirmation does not start, and the summary says why."""
    summary = bench.run(grid(confirm=CONFIRM, budget={"epochs": 12}))
    assert summary.confirmation is not None
    assert summary.confirmation.missing.startswith("6 of 6 trainings are left; search.budget.epochs is spent")
    assert confirming(bench) == []


def test_a_budget_of_work_ends_the_confirmation_too(bench: Bench) -> None:
    """If it is spent while confirming, nothing more is trained, and the winner stays unconfirmed until it is raised."""
    summary = bench.run(grid(confirm=CONFIRM, budget={"epochs": 18}))
    assert summary.confirmation is not None
    assert summary.confirmation.winner is None
    assert summary.confirmation.missing.startswith("4 of 6 trainings are left; search.budget.epochs is spent")
    assert sum(trial.state == "complete" for trial in confirming(bench)) == 2
    study = bench.storage().load("s")
    assert (summary.state, is_finished(study, study.trials())) == ("complete", True)
    more = bench.run(grid(confirm=CONFIRM, budget={"epochs": 100}), extend=True)
    assert more.confirmation is not None
    assert more.confirmation.winner is not None
    assert (len(confirming(bench)), more.trained_epochs) == (6, 12 + 18)


def test_the_sampler_does_not_learn_from_it(bench: Bench, sweep_of: Make) -> None:
    """The next setting that a study draws is the same whether or not its best have been confirmed."""
    space = {"lr": {"low": 1e-3, "high": 0.3, "log": True}}
    drawn = []
    for study, confirm in (("plain", None), ("confirmed", {"top": 4, "seeds": 3})):
        sweep = sweep_of(space, study=study, sampler="tpe", trials=11, confirm=confirm)
        bench.run(sweep)
        stored = bench.storage().load(study)
        stored.use_sampler(sweep.search)
        drawn.append([trial.params for trial in (*searched(stored.trials()), stored.ask(sweep.search))])
    assert drawn[0] == drawn[1]


def test_a_finished_study_can_be_confirmed_later(bench: Bench) -> None:
    """Asking for it changes no trial: `--extend` allows it, and without that it is refused. Only what is new is
    trained, as planned.
    """
    bench.run(grid())
    before = bench.storage().load("s").trials()
    sweep = grid(confirm=CONFIRM)
    with pytest.raises(StudyError, match=r"search\.confirm: None -> .*--extend"):
        bench.run(sweep)
    assert planned(bench, sweep) == (6, 18, None)
    assert bench.run(sweep, extend=True).trained_now == 18
    assert searched(bench.storage().load("s").trials()) == before
    more = grid(confirm={"top": 3, "seeds": 4})
    assert planned(bench, more) == (6, 18, None)
    assert bench.run(more, extend=True).trained_now == 18
    assert len(confirming(bench)) == 12


def test_what_confirms_a_setting_that_is_one_of_the_best_no_longer_ends(bench: Bench) -> None:
    """If a study grows while it confirms, the new best settings are confirmed; what was begun for others fails."""
    small = grid(lrs=[0.1, 0.001], confirm=CONFIRM)
    assert kill_after(bench, small, steps=1)
    while all(trial.finished for trial in confirming(bench)):
        assert kill_after(bench, small, steps=1)
    summary = bench.run(grid(confirm=CONFIRM), extend=True)
    assert summary.confirmation is not None
    assert {one.params["lr"] for one in summary.confirmation.settings} == {0.01, 0.0095}
    assert summary.confirmation.winner is not None
    assert (summary.state, summary.failed) == ("complete", 0)
    trials = bench.storage().load("s").trials()
    assert {trial.state for trial in searched(trials)} == {"complete"}
    assert {trial.error for trial in trials if trial.state == "failed"} == {"its setting is no longer one of the best"}
    assert bench.run(grid(confirm=CONFIRM)).trained_now == 0


def test_a_plan_counts_it(bench: Bench, sweep_of: Make) -> None:
    """Before the search it counts as trainings as long as the longest trial; afterwards nothing is left of it."""
    sweep = sweep_of({"lr": LRS, "epochs": [2, 4]}, confirm=CONFIRM)
    assert planned(bench, sweep) == (6, 4 * 4 + 6 * 4, 4)
    assert bench.run(sweep).trained_now == 4 * 4 + 6 * 4
    assert planned(bench, sweep) == (0, 0, None)


def test_a_pruner_stops_no_confirmation(bench: Bench, sweep_of: Make) -> None:
    """Under asha the best settings are trained to their end under every seed, and count at no rung."""
    space = {"lr": {"low": 1e-3, "high": 0.3, "log": True}}
    sweep = sweep_of(space, sampler="random", trials=12, pruner={"name": "asha", "min_epochs": 1}, confirm=CONFIRM)
    summary = bench.run(sweep)
    assert summary.pruned > 0
    assert (summary.complete + summary.pruned, len(confirming(bench))) == (12, 6)
    for trial in confirming(bench):
        assert trial.outcome is not None
        assert (trial.state, trial.outcome.view.end_epoch) == ("complete", 3)
        assert trial.reached == {}


def test_a_setting_that_diverges_under_one_seed_never_wins(bench: Bench, sweep_of: Make) -> None:
    """The best of the search loses to the second, which has a value under every seed; none is left to compare with."""
    sweep = sweep_of({"lr": [0.01, 0.001]}, confirm=CONFIRM)
    sweep = sweep.model_copy(update={"training": sweep.training.model_copy(update={"seed": 12})})
    summary = bench.run(sweep)
    assert summary.best is not None
    assert summary.best.params["lr"] == 0.01
    confirmation = summary.confirmation
    assert confirmation is not None
    assert confirmation.winner is not None
    assert confirmation.winner.params["lr"] == 0.001
    assert confirmation.runner_up is None
    assert confirmation.difference is None
    assert [setting.mean for setting in confirmation.settings][1] == math.inf


def test_a_failed_training_is_made_up_for_by_the_next_start(bench: Bench, sweep_of: Make) -> None:
    """A setting with a failed training does not win; on the next start it is trained again, and can win."""
    space = {"lr": [0.5, 0.001]}
    bench.run(sweep_of(space))
    bench.workspace.studies.joinpath("broken").touch()
    first = bench.run(sweep_of(space, confirm=CONFIRM), extend=True)
    assert first.failed == 0
    assert first.confirmation is not None
    assert first.confirmation.winner is not None
    assert first.confirmation.winner.params["lr"] == 0.001
    assert first.confirmation.runner_up is None
    bench.workspace.studies.joinpath("broken").unlink()
    second = bench.run(sweep_of(space, confirm=CONFIRM))
    assert (second.trained_now, second.failed) == (9, 0)
    assert second.confirmation is not None
    assert second.confirmation.runner_up is not None


def test_clean_up_keeps_what_a_promotion_compares(bench: Bench, sweep_of: Make) -> None:
    """With one trial kept, the trainings of winner and runner-up keep their weights, and no other confirmations do."""
    sweep = grid(confirm={"top": 3, "seeds": 2})
    summary = bench.run(sweep)
    garbage = find_garbage(bench.workspace, bench.storage(), keep=1, references=References())
    remove(garbage)
    confirmation = summary.confirmation
    assert confirmation is not None
    assert confirmation.winner is not None
    assert confirmation.runner_up is not None
    kept = {confirmation.winner.trial, *confirmation.winner.trainings}
    kept |= {confirmation.runner_up.trial, *confirmation.runner_up.trainings}
    for trial in bench.storage().load("s").trials():
        assert trial.outcome is not None
        there = read_result(bench.workspace.trajectories / str(trial.outcome.result), PICTURE_METRICS) is not None
        assert there is (trial.number in kept)
    assert bench.run(sweep).trained_now == 0


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"space": {"seed": [1, 2]}, "confirm": {}}, "seed is searched"),
        ({"confirm": {"top": 0}}, "confirm"),
        ({"confirm": {"seeds": 1}}, "confirm"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(search: dict[str, Any], message: str) -> None:
    """If the seed is searched, no other seeds are left; a single one has no spread."""
    with pytest.raises(ValueError, match=message):
        Sweep.model_validate({"study": "s", "stage": "regressor", "data": {"name": "x"}, "search": search})


VALUES = st.floats(1e-6, 1e3) | st.just(math.inf)


def stored(number: int, value: float, lr: float, confirms: Confirms | None = None) -> StoredTrial:
    """A complete trial on a trajectory of its own."""
    return StoredTrial(
        number=number,
        state="complete",
        params={"lr": lr},
        value=value,
        started_ms=0,
        ended_ms=1,
        place=Place(f"{number:032x}", 0, started_ms=0),
        outcome=Outcome(View(3, 3, value, diverged=math.isinf(value)), ended_ms=1),
        error=None,
        confirms=confirms,
    )


@given(values=st.lists(VALUES, min_size=1, max_size=8), top=st.integers(1, 4), data=st.data())
def test_the_lowest_mean_wins_whatever_the_search_saw(values: list[float], top: int, data: st.DataObject) -> None:
    """For any values in the search and under other seeds: the finalists are its best, the winner has their lowest mean,
    and the search's own best does not change.
    """
    search = {"space": {"lr": {"low": 0.01, "high": 1.0}}, "sampler": "random", "trials": 8}
    sweep = Sweep.model_validate(
        {"study": "s", "stage": "regressor", "data": {"name": "x"}, "search": {**search, "confirm": {"top": top}}}
    )
    own = [stored(number, value, lr=(number + 1) / 10) for number, value in enumerate(values)]
    best = finalists(own, top=top)
    finite = sorted(value for value in values if math.isfinite(value))
    assert [trial.value for trial in best] == finite[:top]
    seeds = {trial.number: data.draw(st.lists(VALUES, min_size=3, max_size=3)) for trial in best}
    others = [Confirms(trial.number, seed) for trial in best for seed in (1, 2, 3)]
    found = [
        stored(len(own) + index, seeds[c.trial][c.seed - 1], lr=(c.trial + 1) / 10, confirms=c)
        for index, c in enumerate(others)
    ]
    trials = [*own, *found]
    assert best_of(trials) == best_of(own)
    assert finalists(trials, top=top) == best
    confirmation = confirmation_of(sweep, trials, spent=Spent())
    assert confirmation is not None
    means = {number: statistics.fmean(drawn) for number, drawn in seeds.items() if all(map(math.isfinite, drawn))}
    if means:
        assert confirmation.winner is not None
        assert confirmation.winner.mean == min(means.values()) == means[confirmation.winner.trial]
    else:
        assert confirmation.winner is None
        assert confirmation.missing


@given(
    first=st.lists(st.floats(0, 1), min_size=2, max_size=6), second=st.lists(st.floats(0, 1), min_size=2, max_size=6)
)
def test_the_interval_holds_the_difference(first: list[float], second: list[float]) -> None:
    """It is finite, contains the difference of the means, and is mirrored when the two are swapped."""
    low, high = welch_interval(first, second)
    difference = statistics.fmean(first) - statistics.fmean(second)
    assert low - 1e-9 <= difference <= high + 1e-9
    assert welch_interval(second, first) == pytest.approx((-high, -low), abs=1e-9)
