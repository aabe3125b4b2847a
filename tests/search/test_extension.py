from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from typer.testing import CliRunner

from deepcolor.cli.app import app
from deepcolor.config.load import load_sweep
from deepcolor.config.schema import ModelConfig, Sweep
from deepcolor.errors import ConfigError, StudyError
from deepcolor.search.study.extension import COPY_SUFFIX
from deepcolor.search.study.starts import Start, write_start
from deepcolor.tracking.records import Provenance
from tests.cli.conftest import command
from tests.search.conftest import Bench

SweepOf = Callable[..., Sweep]
pytestmark = pytest.mark.usefixtures("no_pictures")
LOG_RANGE = {"low": 1e-3, "high": 0.1, "log": True}


def test_a_grid_grows_by_values_without_repeating_any(bench: Bench, sweep_of: SweepOf) -> None:
    """More values and a new dimension train only the new points; existing trials keep their number and value."""
    bench.run(sweep_of({"lr": [0.1, 0.01]}))
    before = bench.storage().load("s").trials()
    grown = bench.run(sweep_of({"lr": [0.1, 0.01, 0.001], "weight_decay": [0.0, 0.1]}), extend=True)
    after = bench.storage().load("s").trials()
    assert (grown.complete, grown.trials, grown.trained_now) == (6, 6, 12)
    assert [(t.value, t.started_ms, t.ended_ms) for t in after[:2]] == [
        (t.value, t.started_ms, t.ended_ms) for t in before
    ]
    assert [t.params for t in after[:2]] == [{"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.01, "weight_decay": 0.0}]
    assert bench.run(sweep_of({"lr": [0.1, 0.01, 0.001], "weight_decay": [0.0, 0.1]})).trained_now == 0


def test_a_sampled_study_grows_by_trials_and_space(bench: Bench, sweep_of: SweepOf) -> None:
    """More trials from a wider space are added to the existing ones, whatever the sampler."""
    bench.run(sweep_of({"lr": LOG_RANGE}, sampler="random", trials=5))
    wider = {"lr": {**LOG_RANGE, "low": 1e-5}, "epochs": {"low": 1, "high": 4}}
    grown = bench.run(sweep_of(wider, sampler="tpe", trials=12), extend=True)
    trials = bench.storage().load("s").trials()
    assert (grown.complete, [t.number for t in trials]) == (12, list(range(12)))
    assert all(t.params["epochs"] == 3 for t in trials[:5])


def test_without_extend_the_refusal_names_it(bench: Bench, sweep_of: SweepOf) -> None:
    """A changed sweep is refused as before, and the message names the option."""
    bench.run(sweep_of({"lr": [0.1]}))
    with pytest.raises(StudyError, match="--extend"):
        bench.run(sweep_of({"lr": [0.1, 0.2]}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"search": {"space": {"lr": [0.01, 0.001]}}}, r"search\.space\.lr: 0\.1 is no longer in it"),
        ({"training": {"epochs": 4}}, r"training\.epochs: 3 -> 4"),
        ({"data": {"name": "fruits"}}, r"data\.name: faces -> fruits"),
        ({"data": {"name": "faces", "size_px": 64}}, r"data\.size_px: 128 -> 64"),
        ({"stage": "colorizer"}, "stage: regressor -> colorizer"),
        ({"search": {"objective": "val/mse_a", "space": {"lr": [0.1, 0.01]}}}, "objective: val/mse -> val/mse_a"),
    ],
)
def test_what_would_change_finished_trials_is_refused(
    bench: Bench, sweep_of: SweepOf, change: dict[str, Any], reason: str
) -> None:
    """An extension that would give finished trials another meaning is refused with the reason, and changes nothing."""
    sweep = sweep_of({"lr": [0.1, 0.01]})
    bench.run(sweep)
    with pytest.raises(StudyError, match=reason):
        bench.run(Sweep.model_validate({**sweep.model_dump(), **change}), extend=True)
    assert bench.run(sweep).trained_now == 0


def test_pruned_trials_go_on_when_the_study_grows(bench: Bench, sweep_of: SweepOf) -> None:
    """A larger grid reopens the pruned trials: those now among the best continue from their checkpoint."""
    rates = [0.3, 0.1, 0.03, 0.003, 0.001, 0.0003]
    first = bench.run(sweep_of({"lr": rates, "epochs": [27]}, pruner={"name": "asha", "min_epochs": 1}))
    assert (first.complete, first.pruned) == (1, 5)
    grown = bench.run(sweep_of({"lr": [*rates, 0.01], "epochs": [27]}), extend=True)
    trials = bench.storage().load("s").trials()
    assert (grown.complete, grown.pruned) == (7, 0)
    assert [t.params["lr"] for t in trials] == [*rates, 0.01]
    assert first.trained_now + grown.trained_now == grown.trained_epochs == 7 * 27


def test_a_study_that_has_grown_says_what_it_holds_and_how_to_go_on(
    bench: Bench, sweep_of: SweepOf, tmp_path: Path
) -> None:
    """The earlier file is refused with what differs and the ways to continue, and each of them works: the file that
    `--write-sweep` writes, the resolved sweep in the study's folder, and --extend.
    """
    asked = {"sampler": "random", "trials": 3}
    bench.run(sweep_of({"lr": LOG_RANGE}, **asked))
    grown = sweep_of({"lr": {**LOG_RANGE, "high": 0.2}}, **{**asked, "trials": 4})
    bench.run(grown, extend=True)
    provenance = Provenance(data_digest="d" * 32, data_folder="photos", config_digest=grown.digest())
    write_start(bench.workspace.study("s"), Start(provenance, "deepcolor sweep x.yaml --extend -o search.trials=4"))
    with pytest.raises(StudyError) as refused:
        bench.run(sweep_of({"lr": LOG_RANGE}, **asked))
    for part in (
        "search.trials: 4 -> 3",
        "search.space.lr.high: 0.2 -> 0.1",
        "last started with: deepcolor sweep x.yaml --extend -o search.trials=4",
        "deepcolor studies s --write-sweep FILE",
        "--extend",
    ):
        assert part in str(refused.value)
    said = command(bench.workspace.root, "studies", "s", "--write-sweep", "written.yaml")
    assert load_sweep(said["file"]) == grown
    assert load_sweep(bench.workspace.study("s") / "sweep.yaml") == bench.storage().load("s").sweep
    assert bench.run(load_sweep(said["file"])).trained_now == 0
    again = CliRunner().invoke(app, ["studies", "s", "--write-sweep", said["file"], "-w", str(bench.workspace.root)])
    assert isinstance(again.exception, ConfigError)


def test_a_written_sweep_leaves_out_what_a_parent_gave(bench: Bench, sweep_of: SweepOf, tmp_path: Path) -> None:
    """A study that took its network's form over from a parent continues with the file written from it, which names none
    of the form, and with its resolved sweep, which names all of it.
    """
    sweep = sweep_of({"lr": [0.1]})
    adopted = sweep.model_copy(update={"model": sweep.model.model_copy(update={"feature_maps": 7})})
    study = bench.storage().open(sweep, lambda: adopted)
    (tmp_path / "written.yaml").write_text(study.file_text())
    written, resolved = load_sweep(tmp_path / "written.yaml"), load_sweep(bench.workspace.study("s") / "sweep.yaml")
    assert ("feature_maps" in written.model.model_fields_set, resolved.model.feature_maps) == (False, 7)
    for given in (sweep, written, resolved):
        assert bench.storage().open(given, lambda: adopted).sweep == adopted
    with pytest.raises(StudyError, match=r"model\.growth"):
        bench.storage().open(resolved.model_copy(update={"model": ModelConfig(growth="double")}), lambda: adopted)


@pytest.mark.parametrize("whole", [True, False])
def test_a_growing_that_was_cut_off_is_finished_or_undone(bench: Bench, sweep_of: SweepOf, whole: bool) -> None:
    """An unfinished copy is removed, and the study is as it was; a complete one replaces what is left of the study."""
    sweep = sweep_of({"lr": [0.1, 0.01]})
    bench.run(sweep)
    url = bench.workspace.optuna_url
    optuna.copy_study(from_study_name="s", from_storage=url, to_storage=url, to_study_name=f"s{COPY_SUFFIX}")
    if whole:
        optuna.load_study(study_name=f"s{COPY_SUFFIX}", storage=url).set_user_attr("whole", value=True)
        optuna.delete_study(study_name="s", storage=url)
    again = bench.run(sweep)
    assert (again.complete, again.trained_now) == (2, 0)
    assert bench.storage().names() == ["s"]
    assert optuna.get_all_study_names(url) == ["s"]


def test_other_studies_trials_inform_tpe_and_are_not_counted(bench: Bench, sweep_of: SweepOf) -> None:
    """TPE begins with another study's trials if its space covers them; they are neither counted nor shown."""
    bench.run(sweep_of({"lr": LOG_RANGE}, study="earlier", sampler="random", trials=15))
    bench.run(sweep_of({"lr": [0.5, 0.3]}, study="outside"))
    warm = sweep_of({"lr": LOG_RANGE}, study="warm", sampler="tpe", trials=20, warm_start=["earlier", "outside"])
    summary = bench.run(warm)
    assert (summary.learnt_from, summary.complete, summary.trials) == (15, 20, 20)
    trials = bench.storage().load("warm").trials()
    assert len(trials) == 20
    assert set(bench.memory.trials) >= {trial.number for trial in trials}
    assert bench.run(warm).learnt_from == 15
    drawn, known = (
        sum(t.value or 0 for t in ts) / len(ts) for ts in (trials, bench.storage().load("earlier").trials())
    )
    assert drawn < known


def test_trials_of_another_kind_are_not_offered(bench: Bench, sweep_of: SweepOf) -> None:
    """A study with another fixed field says nothing about this one."""
    bench.run(sweep_of({"lr": [0.1], "batch_size": [64]}, study="larger-batches"))
    warm = sweep_of({"lr": LOG_RANGE}, study="warm", sampler="tpe", trials=2, warm_start=["larger-batches"])
    assert bench.run(warm).learnt_from == 0
