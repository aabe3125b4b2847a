from __future__ import annotations

import signal
from itertools import pairwise

from mlflow import MlflowClient

from tests.reliability.conftest import Place
from tests.reliability.processes import Faults, Moment

DAY_S = 86_400
SERIAL = ("--executor", "serial")


SWEEP = """
study: grid
stage: regressor
data: {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}
search: {space: {lr: [1e-3, 1e-4], epochs: [1, 2]}}
"""
AUCKLAND, LOS_ANGELES = {"TZ": "Pacific/Auckland"}, {"TZ": "America/Los_Angeles"}


def test_a_clock_set_back_and_another_time_zone(place: Place) -> None:
    """Killed in one time zone, gone on with in another and a day earlier: nothing ends before it began or comes first
    that came last.
    """
    place.write("grid.yaml", SWEEP)
    there = Faults(Moment("deepcolor.search.study.writing:Writer", "change"), formula=False, environment=AUCKLAND)
    place.start("sweep", "grid.yaml", *SERIAL, faults=there).ends(-signal.SIGKILL)
    here = Faults(formula=False, environment=LOS_ANGELES, clock_shift_s=-DAY_S)
    done = place.sweep(*SERIAL, faults=here)
    assert (done["complete"], done["trials"], done["trained_epochs"]) == (4, 4, 4)
    assert 0 < done["wall_s"] < DAY_S / 2

    trials = place.trials()
    assert all(trial.started_ms <= (trial.ended_ms or 0) for trial in trials)
    assert all(before.started_ms <= after.started_ms for before, after in pairwise(trials))
    client = MlflowClient(place.mlflow_uri)
    for run in place.runs():
        assert run.info.start_time <= run.info.end_time
        for name in ("val/mse", "best/value"):
            history = client.get_metric_history(run.info.run_id, name)
            times = [metric.timestamp for metric in sorted(history, key=lambda metric: metric.step)]
            assert times == sorted(times)
            if name == "best/value":
                values = [metric.value for metric in sorted(history, key=lambda metric: metric.step)]
                assert values == sorted(values, reverse=True)
