"""What a study's parent run says, after the study has grown too, and in runs that early releases made."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from deepcolor.config.schema import SearchConfig, Sweep
from deepcolor.tracking import layout
from deepcolor.tracking.rebuild import Rebuilt, rebuild
from deepcolor.tracking.records import StudyRecord, TrialRecord
from tests.tracking.building import T0_MS, make_sweep, study_record, trial_record
from tests.tracking.test_projection import runs_of

SPACE = {"lr": [1e-3, 1e-4], "feature_maps": [3, 9]}
GROWN = {"lr": [1e-3, 1e-4, 1e-5]}


def sweep_of(**search: Any) -> Sweep:
    """A sweep with this search, as its file would say it."""
    return make_sweep(search=SearchConfig.model_validate(search))


def test_a_parent_says_how_its_study_stands(tracking_uri: str) -> None:
    """What may change when a study grows is kept in tags, which are updated; no param is left with outdated values."""
    sweep, grown = make_sweep(), sweep_of(space=GROWN, sampler="tpe", trials=9)
    assert rebuild([study_record(sweep)], tracking_uri=tracking_uri) == Rebuilt(made=1)
    before = runs_of(tracking_uri, sweep)[None]
    assert before.data.tags["deepcolor.space.feature_maps"] == "3, 9"
    assert "deepcolor.search.trials" not in before.data.tags
    assert rebuild([study_record(grown)], tracking_uri=tracking_uri) == Rebuilt(updated=1)
    after = runs_of(tracking_uri, grown)[None]
    assert after.info.run_id == before.info.run_id
    prefixes = (layout.SEARCH_PREFIX, layout.SPACE_PREFIX)
    said = {name: value for name, value in after.data.tags.items() if name.startswith(prefixes)}
    assert said == {
        "deepcolor.search.sampler": "tpe",
        "deepcolor.search.trials": "9",
        "deepcolor.search.seed": "0",
        "deepcolor.space.lr": "1e-3, 1e-4, 1e-5",
    }
    assert not {"search.trials", "search.sampler", "space.lr"} & after.data.params.keys()


def test_a_parent_that_says_how_its_study_was_is_made_again(tracking_uri: str) -> None:
    """A parent with a param of an early release that is no longer true, and that MLflow cannot change, is replaced; its
    children follow the new one, and what people wrote on it is kept. A parent whose params are still true is kept.
    """
    sweep, client = make_sweep(), MlflowClient(tracking_uri)
    records: list[StudyRecord | TrialRecord] = [study_record(sweep, state="complete"), trial_record(sweep)]
    rebuild(records, tracking_uri=tracking_uri)
    first = runs_of(tracking_uri, sweep)[None].info.run_id
    client.log_param(first, "space.lr", "1e-3, 1e-4")
    client.set_tag(first, "seen by", "Ada")
    client.delete_tag(first, "deepcolor.space.lr")
    assert rebuild(records, tracking_uri=tracking_uri) == Rebuilt(updated=1, unchanged=1)
    assert runs_of(tracking_uri, sweep)[None].info.run_id == first

    grown = sweep_of(space={**SPACE, **GROWN})
    records = [study_record(grown, state="complete"), trial_record(grown)]
    assert rebuild(records, tracking_uri=tracking_uri) == Rebuilt(made=1, updated=1)
    assert rebuild(records, tracking_uri=tracking_uri) == Rebuilt(unchanged=2)
    runs = runs_of(tracking_uri, grown)
    assert runs[None].info.run_id != first
    assert runs[None].data.tags["seen by"] == "Ada"
    assert runs[0].data.tags[layout.PARENT_RUN] == runs[None].info.run_id


def test_the_best_value_is_there_once_and_the_latest_is_the_best(tracking_uri: str) -> None:
    """Trials that end out of order leave the lowest value as the one that MLflow shows; each figure is that of the last
    summary, even if it is lower than the one before and of the same moment.
    """
    sweep = make_sweep()
    best = ((5, T0_MS + 5, 0.5), (3, T0_MS + 9, 0.3))
    for end in (1, 2):
        record = study_record(sweep, state="complete", best=best[:end], summary={"failed": float(2 - end)})
        rebuild([record], tracking_uri=tracking_uri)
    run, client = runs_of(tracking_uri, sweep)[None], MlflowClient(tracking_uri)
    assert run.data.metrics == {"best/value": 0.3, "summary/failed": 0.0}
    steps = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "best/value")]
    assert steps == [(5, 0.5), (6, 0.3)]
