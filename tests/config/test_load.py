from __future__ import annotations

from pathlib import Path

import pytest

from deepcolor.config.load import kind_of, load_pipeline, load_sweep, to_yaml
from deepcolor.config.schema import Choices, DataConfig, Range, SearchConfig, Space, Sweep
from tests.config.conftest import SWEEP, Write

PIPELINE = """\
pipeline: both
sweeps:
  - file: colorizer-tpe.yaml
    study: first
    stage: regressor
    training: {epochs: 5}
    search: {space: {weight_decay: null, epochs: [10, 20]}}
  - colorizer-tpe.yaml
"""


def test_numbers_are_read_as_in_yaml_1_2(write: Write) -> None:
    """`1e-3` is a number, `010` is ten, a date and `1:30` are text: nothing becomes something else on the quiet."""
    sweep = load_sweep(write("s.yaml", SWEEP.replace("study: colorizer-tpe", "study: 2026-01-01")))
    assert sweep.training.lr == 0.001
    assert sweep.study == "2026-01-01"
    assert load_sweep("s.yaml", ["training.epochs=010"]).training.epochs == 10
    assert load_sweep("s.yaml", ["description=1:30"]).description == "1:30"


def test_choices_take_the_type_of_their_field(write: Write) -> None:
    """A weight decay written as 0 is the same setting as one written as 0.0, so it gets the same name and digest."""
    first = load_sweep(write("a.yaml", SWEEP))
    second = load_sweep(write("b.yaml", SWEEP.replace("[0, 1e-5, 1e-6]", "[0.0, 0.00001, 1.0E-6]")))
    assert first.search.space == (Choices(name="weight_decay", values=(0.0, 1e-5, 1e-6)),)
    assert all(isinstance(value, float) for value in first.search.space[0].values)
    assert first.digest() == second.digest()


def test_later_overrides_win_and_null_takes_a_dimension_out(sweep_file: Path) -> None:
    """The command line is laid over the file in its own order; a search can be narrowed to fixed values."""
    overrides = ["training.lr=1", "training.lr=2e-2", "search.space.weight_decay=null", "search.space.epochs=[1, 2]"]
    sweep = load_sweep(sweep_file, overrides)
    assert sweep.training.lr == 0.02
    assert sweep.search.space == (Choices(name="epochs", values=(1, 2)),)


def test_an_override_can_change_one_end_of_a_range(write: Write) -> None:
    """Mappings are merged, so one bound can be moved without writing the others again."""
    path = write("s.yaml", SWEEP.replace("weight_decay: [0, 1e-5, 1e-6]", "lr: {low: 1e-4, high: 1e-2, log: true}"))
    sweep = load_sweep(path, ["search.sampler=tpe", "search.trials=4", "search.space.lr.high=1"])
    assert sweep.search.space == (Range(name="lr", low=1e-4, high=1.0, log=True),)


def test_fields_left_out_are_known_to_be_left_out(sweep_file: Path) -> None:
    """What a file does not say can be told from what it says, so that a transfer can take it over from its parent."""
    assert load_sweep(sweep_file).model.model_fields_set == {"feature_maps"}


def test_a_pipeline_lays_its_keys_over_a_file(sweep_file: Path, write: Write) -> None:
    """An entry with `file` changes what it names and keeps the rest; a plain path is the file as it is."""
    pipeline = load_pipeline(write("experiments/p.yaml", PIPELINE))
    first, second = pipeline.sweeps
    assert (first.study, first.stage, first.training.epochs, first.training.lr) == ("first", "regressor", 5, 1e-3)
    assert first.search.space == (Choices(name="epochs", values=(10, 20)),)
    assert second == load_sweep(sweep_file)


def test_a_pipeline_is_overridden_by_stage_and_by_number(sweep_file: Path, write: Write) -> None:
    """`colorizer.` reaches the sweeps of that stage, `sweeps.0.` one sweep, a section all sweeps, and plain keys the
    pipeline itself; the last one counts.
    """
    path = write("experiments/p.yaml", PIPELINE)
    overrides = ["training.lr=1e-2", "colorizer.training.epochs=7", "sweeps.0.data.size_px=64", "description=short"]
    pipeline = load_pipeline(path, overrides)
    assert [sweep.training.epochs for sweep in pipeline.sweeps] == [5, 7]
    assert [sweep.data.size_px for sweep in pipeline.sweeps] == [64, 128]
    assert [sweep.training.lr for sweep in pipeline.sweeps] == [1e-2, 1e-2]
    assert pipeline.description == "short"


def test_files_are_found_from_any_current_folder(
    sweep_file: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline's paths are relative to its own file, not to where the command is started."""
    write("experiments/p.yaml", PIPELINE)
    monkeypatch.chdir("experiments")
    assert load_pipeline("p.yaml").sweeps[1].study == "colorizer-tpe"
    assert kind_of("p.yaml") == "pipeline"


def test_anchors_share_a_section(write: Write) -> None:
    """An anchor and its alias stand for the same section in several sweeps of a pipeline."""
    text = """\
pipeline: shared
sweeps:
  - {study: a, stage: regressor, data: &data {name: faces, size_px: 64}, search: {}}
  - {study: b, stage: colorizer, data: *data, search: {}}
"""
    pipeline = load_pipeline(write("p.yaml", text))
    assert [sweep.data for sweep in pipeline.sweeps] == [DataConfig(name="faces", size_px=64)] * 2


def test_the_resolved_file_is_pleasant_to_read(sweep_file: Path) -> None:
    """Everything is written out in the order of the reference, short lists on one line, numbers with a point."""
    text = to_yaml(load_sweep(sweep_file))
    keys = [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert keys == list(Sweep.model_fields)
    assert "    weight_decay: [0.0, 1.0e-5, 1.0e-6]\n" in text
    assert "  early_stopping: null\n" in text


def test_the_description_is_no_part_of_the_digest(sweep_file: Path) -> None:
    """Changing what a study says about itself does not make it another study; changing its space does."""
    digest = load_sweep(sweep_file).digest()
    assert load_sweep(sweep_file, ["description=other words"]).digest() == digest
    assert load_sweep(sweep_file, ["search.space.weight_decay=[0]"]).digest() != digest


def test_a_grid_of_fractions_holds_the_numbers_one_means() -> None:
    """0.1 + 2 * 0.1 is written 0.3, so that a setting's name and identity are what the user meant."""
    assert Range(name="lr", low=0.1, high=0.5, step=0.1).grid() == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert Range(name="epochs", low=10, high=35, step=10).grid() == (10, 20, 30)


def test_an_empty_grid_is_a_single_training() -> None:
    """With nothing searched, a grid has one point: the setting itself."""
    assert Space(SearchConfig().space, own=lambda _: None).count() == 1
