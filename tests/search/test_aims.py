"""Constraints and several objectives in studies that are driven for real, with a formula in place of a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deepcolor.app.promote import promote_trial
from deepcolor.atomic import write_folder_atomically
from deepcolor.cli import console
from deepcolor.cli.app import app
from deepcolor.config.schema import Sweep
from deepcolor.errors import StudyError
from deepcolor.execution.serial import SerialExecutor
from deepcolor.report.writing import ReportFolder, leaderboard
from deepcolor.search.rules.confirmation import confirmation_of
from deepcolor.search.study.sizes import fitting_points, left_out
from deepcolor.search.study.starts import Start, write_start
from deepcolor.study import open_study
from deepcolor.tracking import payload
from deepcolor.tracking.records import Provenance, StudyRecord, TrialRecord
from deepcolor.training.checkpoint import Record, read_history, write_checkpoint
from deepcolor.training.trajectory import EpochMetrics, Segment, SegmentOutcome, TrajectoryPaths
from tests.search.conftest import Bench
from tests.search.trivial import trivial

SweepOf = Callable[..., Sweep]
WIDE = {"lr": {"low": 1e-4, "high": 0.3, "log": True}, "feature_maps": {"low": 1, "high": 40}}


def timed(segment: Segment, on_epoch: Callable[[EpochMetrics], None] | None = None) -> SegmentOutcome:
    """The formula, where more feature maps make an epoch slower and the loss lower; the first epoch is slow."""
    maps = segment.trajectory.setting.model.feature_maps
    outcome = trivial(segment, None)
    paths = TrajectoryPaths(segment.store, segment.trajectory.digest)
    rows = tuple(
        replace(
            row,
            metrics={name: value + 1 / maps for name, value in row.metrics.items()},
            epoch_s=maps / 10 if row.epoch > 1 else 99.0,
        )
        if row.epoch_s == 0.001
        else row
        for row in read_history(paths)
    )
    write_checkpoint(paths, Record(history=rows, best_epoch=len(rows), kept=True), b"weights")
    view = outcome.view and replace(outcome.view, value=rows[outcome.view.chosen_epoch - 1].metrics["val/mse"])
    if outcome.result:
        metrics = {"psnr_db": 20.0 + maps, "ssim": 0.5, "colourfulness": 0.9}
        write_folder_atomically(outcome.result, {"metrics.json": json.dumps(metrics).encode()})
    for row in rows if on_epoch else ():
        on_epoch(row)  # type: ignore[misc]
    return replace(outcome, history=rows, view=view)


def run(bench: Bench, sweep: Sweep, **how: Any) -> Any:
    return bench.run(sweep, SerialExecutor(timed), **how)


def read_again(bench: Bench, study: str) -> tuple[dict[int, TrialRecord], StudyRecord]:
    """The records that `deepcolor sync` makes of what is stored."""
    sweep = bench.storage().load(study).sweep
    provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=sweep.digest())
    write_start(bench.workspace.study(study), Start(provenance, "deepcolor sweep x.yaml", workers=2, threads=1))
    parent, *trials = bench.replay(study)
    assert isinstance(parent, StudyRecord)
    return {trial.number: trial for trial in trials if isinstance(trial, TrialRecord)}, parent


@pytest.mark.usefixtures("no_pictures")
def test_a_grid_leaves_out_what_is_too_large_and_is_done_without_it(bench: Bench, sweep_of: SweepOf) -> None:
    """Settings over a known bound are counted, said and never trained; the study ends, and starts with nothing left."""
    sweep = sweep_of({"feature_maps": [2, 4, 8, 64], "lr": [0.1, 0.01]}, constraints={"parameters": 20_000})
    assert str(left_out(sweep)) == "2 of 8 settings left out: over search.constraints.parameters"
    summary = run(bench, sweep)
    assert (summary.state, summary.complete) == ("complete", len(fitting_points(sweep)))
    assert summary.left_out.startswith("2 of 8")
    assert bench.memory.snapshots[-1].total == 6
    assert run(bench, sweep).trained_now == 0
    assert {trial.params["feature_maps"] for trial in bench.storage().load("s").trials()} == {2, 4, 8}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_draw_again_what_is_too_large(bench: Bench, sweep_of: SweepOf, sampler: str) -> None:
    """Every trial keeps to a bound that few settings keep to; where none does, one line says how small they get."""
    search = {"sampler": sampler, "trials": 6}
    summary = run(bench, sweep_of(WIDE, constraints={"mb": 0.02}, **search))
    assert summary.complete == 6
    assert all(int(str(trial.params["feature_maps"])) <= 7 for trial in bench.storage().load("s").trials())
    with pytest.raises(
        StudyError, match=r"search\.constraints: must leave something to train; got parameters at most 3"
    ):
        run(bench, sweep_of(WIDE, study="none", constraints={"parameters": 3}, **search))


@pytest.mark.usefixtures("no_pictures")
def test_what_breaks_a_measured_bound_is_shown_so_and_never_wins(bench: Bench, sweep_of: SweepOf) -> None:
    """The widest network is the best and too slow: another wins and is confirmed, everywhere it is said, a bound that
    none keeps to names the nearest, and the same is read from what is stored.
    """
    space = {"feature_maps": [4, 8, 20], "lr": [0.01]}
    sweep = sweep_of(space, constraints={"epoch_s": 1, "psnr_db": {"at_least": 25}}, confirm={"top": 2, "seeds": 2})
    summary = run(bench, sweep)
    study = bench.storage().load("s")
    trials = study.trials()
    assert [trial.breaks for trial in trials[:3]] == [("psnr_db",), (), ("epoch_s",)]
    assert trials[2].breaks_text == "epoch_s 2 (at most 1)"
    assert summary.best is not None
    assert (summary.best.number, summary.broken, summary.nearest) == (1, 2, None)
    assert {trial.confirms.trial for trial in trials if trial.confirms} == {1}
    noted = [trial.constraints for trial in study.optuna_study.get_trials()[:3]]  # as Trial.set_constraint does it
    assert noted[2] == {"epoch_s": pytest.approx(1.0), "psnr_db": pytest.approx(-15 / 25)}
    assert [all(excess <= 0 for excess in each.values()) for each in noted] == [False, True, False]
    assert list(leaderboard(trials)["breaks"]) == ["", "epoch_s", "psnr_db"]
    uri = bench.workspace.mlflow_uri
    with pytest.raises(StudyError, match=r"must keep to search\.constraints; trial 2 of s has epoch_s 2 \(at most 1\)"):
        promote_trial(bench.workspace, "s", uri, number=2)
    records, parent = read_again(bench, "s")
    assert records == bench.memory.trials
    assert payload.trial_state_tags(records[2])["deepcolor.breaks"] == "epoch_s 2 (at most 1)"
    assert records[2].metrics["chosen/epoch_s"] == 2.0
    assert parent.best_trial == 1

    tighter = sweep_of(space, constraints={"epoch_s": 0.1, "psnr_db": {"at_least": 25}})
    grown = run(bench, tighter, extend=True)
    assert grown.best is None
    assert grown.nearest is not None
    assert grown.nearest.number == 0
    _, parent = read_again(bench, "s")
    assert "No trial keeps to the constraints; the nearest is trial 0" in payload.study_note(parent)
    with pytest.raises(
        StudyError, match=r"no trial to promote\. No trial keeps to the constraints; the nearest is trial 0"
    ):
        promote_trial(bench.workspace, "s", uri)
    with pytest.raises(StudyError, match=r"search\.constraints\.ssim: was not recorded of them"):
        run(bench, sweep_of(space, constraints={"ssim": 1}), extend=True)


@pytest.mark.usefixtures("no_pictures")
def test_asha_lets_nothing_on_that_is_too_slow(bench: Bench, sweep_of: SweepOf) -> None:
    """Trials whose epochs take longer than allowed end at their first rung, however good; after a stop, too."""
    space = {"feature_maps": [2, 3, 4, 5, 6, 20, 21, 22, 23], "lr": [0.01], "epochs": [9]}
    sweep = sweep_of(space, pruner={"name": "asha", "min_epochs": 3}, constraints={"epoch_s": 1})
    executor = SerialExecutor(timed)
    driver = bench.driver(sweep, executor)
    bench.memory.update = lambda snapshot: (  # type: ignore[method-assign]
        driver.request_stop() if snapshot.at_rung >= 4 else None
    )
    assert driver.run().state == "interrupted"
    executor.close()
    del bench.memory.update
    summary = run(bench, sweep)
    trials = bench.storage().load("s").trials()
    ends = {trial.params["feature_maps"]: trial.outcome.view.end_epoch for trial in trials if trial.outcome}
    assert {ends[maps] for maps in (20, 21, 22, 23)} == {3}
    assert summary.best is not None
    assert summary.best.params["feature_maps"] == 6
    assert ends[6] == 9


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_two_objectives_have_a_front_and_a_choice(
    bench: Bench, sweep_of: SweepOf, sampler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Optuna's study has both, its front is ours, the rule's trial is best, confirmed and shown; a restart and `sync`
    give the same, and more trials continue it.
    """
    search: dict[str, Any] = {
        "sampler": sampler,
        "objective": ["val/mse", "epoch_s"],
        "choose": {"lowest": "val/mse", "where": {"epoch_s": 2.0}},
        "constraints": {"epoch_s": 3.5},
        "confirm": {"seeds": 2},
        "sampler_options": {"population_size": 4} if sampler == "nsga2" else {},
    }
    if sampler == "nsga2":
        monkeypatch.setattr(ReportFolder, "write", lambda *_: None)
    first = run(bench, sweep_of(WIDE, trials=6, **search))
    summary = run(bench, sweep_of(WIDE, trials=14, **search), extend=True)
    study = bench.storage().load("s")
    trials = study.trials()
    assert (first.complete, summary.complete) == (6, 14)
    front = [trial.number for trial in summary.front]
    own = [trial for trial in trials if not trial.confirms]
    assert [way.name for way in study.optuna_study.directions] == ["MINIMIZE", "MINIMIZE"]
    allowed = [trial for trial in own if trial.values[1] <= 2 and not trial.breaks]
    best = min(allowed, key=lambda trial: trial.loss)
    assert summary.best == best
    assert best.values == (best.value, best.params["feature_maps"] / 10)  # type: ignore[operator]
    assert {trial.confirms.trial for trial in trials if trial.confirms} >= {best.number}
    confirmation = confirmation_of(study.sweep, trials, spent=study.spent)
    assert confirmation is not None
    assert confirmation.winner is not None
    assert confirmation.winner.trial == best.number
    assert bench.memory.snapshots[-1].front == len(front)
    records, parent = read_again(bench, "s")
    assert records == bench.memory.trials
    assert sorted(number for number, record in records.items() if record.front) == sorted(front)
    assert payload.study_tags(parent)["deepcolor.front"] == ", ".join(map(str, front))
    assert f"chosen is trial {best.number}, the lowest val/mse where epoch_s is at most 2" in payload.study_note(parent)
    if sampler == "tpe":
        assert (bench.workspace.report("s") / "front.png").stat().st_size > 10_000

    table = open_study("s", workspace=tmp_path)
    assert list(table.trials()["trial"][: len(front)]) == front
    assert list(table.trials().query("chosen")["trial"]) == [best.number]
    assert table.best is not None
    assert table.best["trial"] == best.number
    monkeypatch.setattr(console, "settings", console.Settings())
    shown = CliRunner().invoke(app, ["studies", "s", "-w", str(tmp_path)]).stdout
    assert f"{len(front)} trial" in shown
    assert "chosen" in shown
