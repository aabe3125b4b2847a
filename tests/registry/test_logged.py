from __future__ import annotations

import json

import pytest
from mlflow.entities import LoggedModelStatus

from deepcolor.registry import names
from deepcolor.registry.logged import show_versions
from deepcolor.registry.versions import list_versions
from deepcolor.tracking import layout, store
from tests.registry.world import World


def test_a_promoted_trial_is_one_logged_model_linked_to_all_that_is_known_of_it(world: World) -> None:
    """Run, data set, figures, settings and versions; once, however often and under whatever names it is promoted; what
    was deleted in MLflow, or never made, is made by the next sync.
    """
    version = world.promote(0).version
    world.promote(0, force=True)
    world.promote(0, name="fruits")
    client = store.open_client(world.uri)
    experiment = client.get_experiment_by_name(layout.experiment_name("colorizer"))
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert version.run_id is not None
    run = client.get_run(version.run_id)
    assert run.outputs is not None
    assert run.inputs is not None
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert model.status == LoggedModelStatus.READY
    assert model.name == "grid-t0000"
    assert model.params["lr"] == "0.001"
    told = json.loads(model.tags["mlflow.modelVersions"])
    assert sorted(each["name"] for each in told) == ["deepcolor-colorizer", "deepcolor-colorizer-fruits"]
    figures = {metric.key: metric for metric in model.metrics or ()}
    assert figures["test/mse"].value == pytest.approx(version.test["mse"])
    assert figures["value"].dataset_name == run.inputs.dataset_inputs[0].dataset.name
    assert "val/mse" not in figures
    client.delete_logged_model(model.model_id)
    for _ in range(2):
        show_versions(world.uri)
    (again,) = client.search_logged_models([experiment.experiment_id])
    assert {metric.key for metric in again.metrics or ()} == figures.keys()
    of = {
        client.get_model_version(v.line.registered_name, str(v.number)).tags[names.LOGGED_MODEL]
        for v in list_versions(world.uri)
    }
    assert of == {again.model_id}
