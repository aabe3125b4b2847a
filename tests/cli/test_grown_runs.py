"""What MLflow shows of a study that grows: the same runs, gone on with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.entities import Run

from deepcolor.app.how import How
from deepcolor.app.sync import sync_studies
from deepcolor.config.schema import Sweep
from deepcolor.tracking.rebuild import Rebuilt
from tests.cli.conftest import run


def sweep_of(*rates: float) -> Sweep:
    """A grid over learning rates."""
    return Sweep.model_validate(
        {
            "study": "grid",
            "stage": "regressor",
            "data": {"name": "faces", "size_px": 64},
            "training": {"epochs": 1},
            "search": {"space": {"lr": list(rates)}},
        }
    )


def runs_of(how: How) -> dict[str, Run]:
    """All runs of the one study by trial number, its parent as `study`; fails when one is there twice."""
    client = MlflowClient(how.tracking_uri)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    names = Counter(each.data.tags.get("deepcolor.trial", "study") for each in found)
    assert set(names.values()) == {1}
    return {each.data.tags.get("deepcolor.trial", "study"): each for each in found}


def test_an_extended_study_has_one_parent_and_each_trial_once(how: How) -> None:
    """`--extend` goes on in the runs there are, with the digest of the sweep as it stands; sync then finds nothing to
    do, twice.
    """
    run(sweep_of(1e-2, 1e-3), how)
    before = runs_of(how)
    grown = sweep_of(1e-2, 1e-3, 1e-4)
    assert run(grown, replace(how, extend=True)).complete == 3
    after = runs_of(how)
    assert sorted(after) == ["0", "1", "2", "study"]
    assert {name: after[name].info.run_id for name in before} == {name: r.info.run_id for name, r in before.items()}
    assert {each.data.tags["mlflow.parentRunId"] for name, each in after.items() if name != "study"} == {
        after["study"].info.run_id
    }
    assert {each.data.tags["deepcolor.config_digest"] for each in after.values()} == {grown.digest()}
    assert after["study"].data.metrics["summary/trials"] == 3
    for _ in range(2):
        assert sync_studies(how.workspace, how.tracking_uri)[0] == {"grid": Rebuilt(unchanged=4)}
    assert sorted(runs_of(how)) == sorted(after)
