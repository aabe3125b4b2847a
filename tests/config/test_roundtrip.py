from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.load import kind_of, load_pipeline, load_sweep, to_yaml
from deepcolor.config.schema import Pipeline, Sweep
from deepcolor.config.yamlfile import dump, parse
from tests.config.strategies import NAMES, TEXTS, pipelines, sweep_trees, sweeps

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_dumped_data_is_read_back_equal(tree: Any) -> None:
    """Whatever plain data is written comes back the same, by this reader and by any reader of YAML 1.1."""
    assert parse(dump(tree), where="test") == tree
    assert yaml.safe_load(dump(tree)) == tree


@settings(max_examples=30, deadline=None)
@given(sweeps())
def test_a_sweep_survives_its_file(sweep: Sweep) -> None:
    """A sweep written with all its defaults is read back as the same sweep, with the same digest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.yaml"
        path.write_text(to_yaml(sweep), encoding="utf-8")
        assert kind_of(path) == "sweep"
        loaded = load_sweep(path)
    assert loaded == sweep
    assert loaded.digest() == sweep.digest()


@settings(max_examples=12, deadline=None)
@given(pipelines())
def test_a_pipeline_survives_its_file(pipeline: Pipeline) -> None:
    """A pipeline written with all its defaults is read back as the same pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(to_yaml(pipeline), encoding="utf-8")
        assert kind_of(path) == "pipeline"
        assert load_pipeline(path) == pipeline


@settings(max_examples=30, deadline=None)
@given(sweep_trees(), NAMES)
def test_overrides_reach_every_field(tree: dict[str, Any], name: str) -> None:
    """Setting fields on the command line gives the sweep that the file would have given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.yaml"
        path.write_text(dump(tree), encoding="utf-8")
        overridden = load_sweep(path, [f"study='{name}'", "training.lr=2e-5", "data.augment.mode=fresh"])
    training = {**tree["training"], "lr": 2e-5}
    data = {**tree["data"], "augment": {**tree["data"].get("augment", {}), "mode": "fresh"}}
    assert overridden == Sweep.model_validate({**tree, "study": name, "training": training, "data": data})


@settings(max_examples=40, deadline=None)
@given(sweeps())
def test_a_grid_has_as_many_points_as_its_dimensions_give(sweep: Sweep) -> None:
    """The number of points is known without listing them, and every listed value is allowed by its field."""
    if sweep.search.sampler != "grid":
        return
    points = 1
    for dimension in sweep.search.space:
        values = dimension.values if hasattr(dimension, "values") else dimension.grid()
        points *= len(values)
        for value in values:
            sweep.setting({dimension.name: value})
    assert sweep.grid_points() == points
