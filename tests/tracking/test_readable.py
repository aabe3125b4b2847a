from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from deepcolor.color import normalise_ab
from deepcolor.sqlite import sqlite_file
from deepcolor.tracking import layout, store, views
from deepcolor.tracking.rebuild import rebuild
from deepcolor.tracking.records import StudyRecord, TrialRecord
from tests.tracking.building import make_sweep, study_record, trial_record
from tests.tracking.test_views import state_of


def test_old_runs_get_the_error_in_cielab_units(tracking_uri: str, tmp_path: Path) -> None:
    """Beside each normalised MSE stands its root in CIELAB units, at the chosen epoch and in the description too; runs
    of a release that did not write it get it, once.
    """
    sweep = make_sweep()
    trial = trial_record(sweep, metrics={"psnr_db": 21.5, "best_epoch": 2.0})
    records: list[StudyRecord | TrialRecord] = [study_record(sweep, state="complete", best=((0, 1, 5e-4),)), trial]
    rebuild(records, tracking_uri=tracking_uri, artifact_root=tmp_path / "artifacts")
    database = sqlite_file(tracking_uri)
    assert database is not None
    with sqlite3.connect(database) as connection:
        for table in ("metrics", "latest_metrics"):
            connection.execute(f"DELETE FROM {table} WHERE key LIKE '%rmse_ab'")  # two known names
    connection.close()
    again = rebuild(records, tracking_uri=tracking_uri, artifact_root=tmp_path / "artifacts")
    assert (again.updated, again.unchanged) == (1, 1)
    client = store.open_client(tracking_uri)
    experiment = client.get_experiment_by_name(layout.experiment_name("colorizer"))
    assert experiment is not None
    runs = store.find_runs(client, experiment.experiment_id, layout.study_filter(trial.study_id))
    parent, run = sorted(runs, key=lambda run: run.data.tags[layout.KIND])
    stored = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "val/rmse_ab")}
    expected = {row.epoch: root_in_cielab_units(row.metrics["val/mse"]) for row in trial.history}
    assert stored == pytest.approx(expected, rel=1e-4)
    assert run.data.metrics["chosen/val/rmse_ab"] == pytest.approx(expected[2], rel=1e-4)
    assert "val/rmse_ab **5.702**" in parent.data.tags[layout.NOTE]
    view = state_of(experiment.tags[views.view_tag(views.best_key(trial.study_id))])
    assert "metrics.`chosen/val/rmse_ab`" in view["selectedColumns"]
    assert rebuild(records, tracking_uri=tracking_uri, artifact_root=tmp_path / "artifacts").unchanged == 2


def root_in_cielab_units(mse: float) -> float:
    """By the scale of the normalised units, as it is defined elsewhere."""
    return float(mse**0.5 / (normalise_ab(1.0) - normalise_ab(0.0)))
