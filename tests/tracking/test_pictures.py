"""What MLflow's image grid is given of a trial: one key per picture, at each rung and at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from deepcolor.coloring.samples import draw_sheet
from deepcolor.coloring.sheet import INPUT, PREDICTION, TRUTH
from deepcolor.tracking.rebuild import Rebuilt, rebuild
from deepcolor.tracking.records import TrialRecord
from tests.tracking.building import make_result, make_sweep, study_record, trial_record
from tests.tracking.test_projection import runs_of

SHADES = (0.2, 0.8)
"""Of the two pictures on each sheet."""
SWEEP = make_sweep()


def draw(file: Path) -> Path:
    """A contact sheet of two pictures, each of a shade of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tiles = np.stack([np.full((128, 128, 3), shade, np.float32) for shade in SHADES])
    draw_sheet({INPUT: tiles, TRUTH: tiles, PREDICTION: tiles}, title="drawn").save(file)
    return file


@pytest.fixture
def trial(tmp_path: Path) -> TrialRecord:
    """A trial with sheets of two rungs and of its end; that of a third rung is missing."""
    result = make_result(tmp_path / "result")
    draw(result / "samples.png")
    rungs = [(1, draw(tmp_path / "e1.webp")), (2, draw(tmp_path / "e2.webp")), (3, tmp_path / "gone.webp")]
    return trial_record(SWEEP, epochs=4, result=result, rungs=tuple(rungs))


def put(tracking_uri: str, trial: TrialRecord) -> Rebuilt:
    """Store the study and the trial."""
    return rebuild([study_record(SWEEP), trial], tracking_uri=tracking_uri)


def images(tracking_uri: str) -> dict[tuple[str, int], str]:
    """The pictures that the grid finds, by key and epoch; each must have its thumbnail."""
    client, run = MlflowClient(tracking_uri), runs_of(tracking_uri, SWEEP)[0]
    files = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    thumbnails = {path.removesuffix("+compressed.webp") for path in files if path.endswith("+compressed.webp")}
    found = {}
    for path in files:
        stem, _, suffix = path.rpartition(".")
        if not stem.endswith("+compressed"):
            key, _, step, *_ = stem.removeprefix("images/").split("+")
            found[key.replace("~", "/"), int(step)] = path
            assert stem in thumbnails
            assert suffix in {"png", "webp"}
    return found


def test_one_picture_can_be_followed_across_epochs(tracking_uri: str, trial: TrialRecord) -> None:
    """Each picture of the sheets has a key, at each rung that left one and at the end, beside the sheets; it shows what
    the sheet predicts of it, is small, and storing it all again changes nothing.
    """
    put(tracking_uri, trial)
    found = images(tracking_uri)
    assert set(found) == {(key, epoch) for key in ("samples", "pictures/1", "pictures/2") for epoch in (1, 2, 4)}
    client, run = MlflowClient(tracking_uri), runs_of(tracking_uri, SWEEP)[0]
    for number, shade in enumerate(SHADES, start=1):
        file = Path(client.download_artifacts(run.info.run_id, found[f"pictures/{number}", 2]))
        with Image.open(file) as picture:
            assert picture.size == (128, 128)
            assert np.asarray(picture).mean() / 255 == pytest.approx(shade, abs=0.02)
        assert file.stat().st_size < 10_000
    assert run.data.tags["mlflow.loggedImages"] == "True"
    assert put(tracking_uri, trial) == Rebuilt(unchanged=2)
    assert images(tracking_uri) == found


def test_a_training_shows_its_rungs_while_it_goes_on(tracking_uri: str, trial: TrialRecord, tmp_path: Path) -> None:
    """The pictures of a rung are there before the trial has ended, and a damaged sheet holds up nothing."""
    (tmp_path / "e2.webp").write_bytes(b"RIFF")
    put(tracking_uri, trial_record(SWEEP, state="waiting", epochs=2, rungs=trial.rungs[:2]))
    assert set(images(tracking_uri)) == {("samples", 1), ("pictures/1", 1), ("pictures/2", 1)}
    put(tracking_uri, trial)
    assert {epoch for _, epoch in images(tracking_uri)} == {1, 4}


def test_runs_from_before_get_the_pictures(tracking_uri: str, trial: TrialRecord) -> None:
    """A run that was stored without them, as by an earlier release, is given them when it is rebuilt; unless they are
    not wanted: then there is the sheet of its end alone.
    """
    plain = trial_record(SWEEP, epochs=4, result=trial.result, pictures=0)
    put(tracking_uri, plain)
    assert set(images(tracking_uri)) == {("samples", 4)}
    assert put(tracking_uri, plain) == Rebuilt(unchanged=2)
    assert put(tracking_uri, trial) == Rebuilt(updated=1, unchanged=1)
    assert len(images(tracking_uri)) == 9
