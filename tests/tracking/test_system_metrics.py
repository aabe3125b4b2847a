from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deepcolor.tracking import layout, store
from deepcolor.tracking.payload import record_digest
from deepcolor.tracking.rebuild import rebuild
from deepcolor.tracking.records import StudyRecord, TrialRecord
from deepcolor.training.trajectory import EpochMetrics
from tests.tracking.building import make_sweep, study_record, trial_record

BUSY = "cpu_utilization_percentage"


def sampled(record: TrialRecord, *, busy: float) -> TrialRecord:
    """The same trial, whose machine was looked at after every second epoch."""

    def of(row: EpochMetrics) -> EpochMetrics:
        return replace(row, system={BUSY: busy + row.epoch}) if row.epoch % 2 else row

    return replace(record, history=tuple(map(of, record.history)))


def test_what_a_machine_had_to_do_stands_where_mlflow_shows_it(tracking_uri: str, tmp_path: Path) -> None:
    """System metrics are stored at their epochs under MLflow's prefix, in runs that had none too. Epochs that are
    trained again, on a machine that is busier, are the same epochs.
    """
    sweep = make_sweep()
    plain = trial_record(sweep, epochs=3)
    study = study_record(sweep, state="complete")
    artifacts = tmp_path / "artifacts"

    def stored(trial: TrialRecord) -> dict[int, tuple[float, int]]:
        records: list[StudyRecord | TrialRecord] = [study, trial]
        rebuild(records, tracking_uri=tracking_uri, artifact_root=artifacts)
        client = store.open_client(tracking_uri)
        experiment = client.get_experiment_by_name(layout.experiment_name("colorizer"))
        assert experiment is not None
        runs = store.find_runs(client, experiment.experiment_id, layout.study_filter(plain.study_id))
        (run,) = (run for run in runs if run.data.tags[layout.KIND] == "trial")
        history = client.get_metric_history(run.info.run_id, f"system/{BUSY}")
        return {metric.step: (metric.value, metric.timestamp) for metric in history}

    assert stored(plain) == {}
    seen = sampled(plain, busy=40.0)
    expected = {row.epoch: (40.0 + row.epoch, row.time_ms) for row in seen.history if row.system}
    assert stored(seen) == expected
    assert sorted(expected) == [1, 3]
    assert stored(sampled(plain, busy=90.0)) == expected
    assert record_digest(seen) != record_digest(plain)
