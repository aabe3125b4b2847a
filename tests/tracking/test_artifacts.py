"""Folders of artifacts that belong to no run are found, and no others."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from deepcolor.tracking.artifacts import without_run
from deepcolor.tracking.rebuild import rebuild
from tests.tracking.building import make_result, make_sweep, study_record, trial_record
from tests.tracking.test_projection import runs_of


def test_only_folders_of_no_run_are_given_away(tracking_uri: str, tmp_path: Path) -> None:
    """A folder is given up if MLflow does not know its run. Kept are those of living and deleted runs, one with a model
    in it, whatever does not look like a run's folder, and all of them if there is no database to ask.
    """
    sweep, root = make_sweep(), tmp_path / "mlruns" / "artifacts"
    result = make_result(tmp_path / "result")
    trials = [trial_record(sweep, number, result=result) for number in (0, 1)]
    rebuild([study_record(sweep, state="complete"), *trials], tracking_uri=tracking_uri, artifact_root=root)
    assert without_run(tracking_uri, root) == []
    MlflowClient(tracking_uri).delete_run(runs_of(tracking_uri, sweep)[1].info.run_id)
    stage = root / "colorizer"
    for folder in ("a" * 32 + "/artifacts", "b" * 32 + "/artifacts/model", "models/m-1", "notes"):
        (stage / folder).mkdir(parents=True)
    assert without_run(tracking_uri, root) == [stage / ("a" * 32)]
    assert without_run(f"sqlite:///{tmp_path}/gone.db", root) == []
    assert without_run("http://127.0.0.1:9", root) == []
