from __future__ import annotations

import dataclasses
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepcolor.tracking import layout, payload
from deepcolor.tracking.epochs import StoredEpochs
from deepcolor.tracking.records import TrialRecord
from tests.tracking.building import T0_MS, make_history, make_sweep, study_record, trial_record

SWEEP = make_sweep()
numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(
    train=numbers, val=numbers, figures=st.dictionaries(st.sampled_from(["psnr_db", "ssim"]), numbers), value=numbers
)
def test_only_finite_numbers_are_sent(train: float, val: float, figures: dict[str, float], value: float) -> None:
    """NaN and infinity become a tag, never a metric."""
    row = dataclasses.replace(row := make_history(1)[0], metrics={**row.metrics, "train/mse": train, "val/mse": val})
    record = trial_record(SWEEP, history=(row,), metrics=figures, value=value)
    points = payload.epoch_points(record) + payload.final_points(record)
    assert all(math.isfinite(point.value) for point in points)
    flawed = not (math.isfinite(train) and math.isfinite(val))
    assert (layout.NOT_FINITE in payload.trial_state_tags(record)) == flawed


@given(epochs=st.integers(0, 30), stored=st.integers(0, 30))
def test_epochs_already_stored_are_not_sent_again(epochs: int, stored: int) -> None:
    """For each epoch after the stored ones, every metric is sent once, with its recorded time."""
    record = trial_record(SWEEP, epochs=epochs, history=make_history(epochs), value=None)
    there = StoredEpochs()
    there.add(payload.epoch_points(trial_record(SWEEP, epochs=stored)))
    points = there.missing(record)
    shown = {*make_history(1)[0].values, "val/rmse_ab"}
    assert len(points) == len(shown) * max(0, epochs - stored)
    assert len(set(points)) == len(points)
    times = {row.epoch: row.time_ms for row in record.history}
    assert all(point.time_ms == times[point.step] for point in points)


def test_params_hold_every_setting_searched_or_fixed() -> None:
    """A run can be rebuilt from its params: data, augmentation, model, training and init are all there."""
    params = payload.trial_params(trial_record(SWEEP, 3).setting)
    assert params["lr"] == "0.0001"
    assert params["feature_maps"] == "9"
    assert params["data.name"] == "faces"
    assert params["augment.random_crop"] == "8"
    assert params["early_stopping"] == "null"
    assert params["skip_connections"] == "false"


def test_the_digest_of_a_record_follows_everything_it_shows() -> None:
    """Records that show the same have one digest; any difference changes it."""
    record = trial_record(SWEEP)
    changes: list[dict[str, Any]] = [
        {"state": "failed"},
        {"metrics": {}},
        {"history": record.history[:1]},
        {"error": "x"},
    ]
    digests = [payload.record_digest(dataclasses.replace(record, **change)) for change in changes]
    assert payload.record_digest(trial_record(SWEEP)) == payload.record_digest(record)
    assert len({payload.record_digest(record), *digests}) == len(changes) + 1


def test_a_child_carries_its_own_tags() -> None:
    """Study, stage, digests, commit, versions, host and trajectory are on the child itself: filters inherit nothing."""
    tags = payload.trial_tags(trial_record(SWEEP, 2, parent_model="regressor@3", threads=(1, 2)), parent_run="p")
    expected = {
        layout.PARENT_RUN: "p",
        layout.STUDY: "grid",
        layout.STUDY_ID: layout.study_id("grid", T0_MS),
        layout.TRIAL: "2",
        layout.STAGE: "colorizer",
        layout.STATE: "complete",
        layout.DATA_DIGEST: "d" * 32,
        layout.CONFIG_DIGEST: SWEEP.digest(),
        layout.GIT_COMMIT: "c" * 40,
        layout.GIT_DIRTY: "true",
        layout.HOST: "here",
        layout.DEVICE: "cpu",
        layout.THREADS: "1, 2",
        layout.PARENT_MODEL: "regressor@3",
        f"{layout.VERSION_PREFIX}torch": "2.15.0",
        layout.TRAJECTORY: f"{2:032x}",
    }
    assert expected.items() <= tags.items()


def test_a_failure_shows_its_reason() -> None:
    """A failed trial has the error's first line as a tag and all of it as description, cut to what a tag holds."""
    record: TrialRecord = trial_record(SWEEP, state="failed", error="out of memory\n" + "x" * 9000)
    tags = payload.trial_state_tags(record)
    assert tags[layout.ERROR] == "out of memory"
    assert len(tags[layout.NOTE]) == layout.MAX_TAG_CHARS


def test_the_description_says_how_to_run_it_again() -> None:
    """The parent's description names the best trial and the figures that are not zero, and holds the command."""
    summary = {"trials": 4, "failed": 0, "saved_s": 90}
    record = study_record(make_sweep(description="Why lr matters."), best=((0, 1, 0.5), (3, 2, 0.25)), summary=summary)
    note = payload.study_note(record)
    assert "Why lr matters." in note
    assert "trial **3**" in note
    assert "| saved, seconds | 90 |" in note
    assert "failed" not in note
    assert "deepcolor sweep experiments/grid.yaml" in note
