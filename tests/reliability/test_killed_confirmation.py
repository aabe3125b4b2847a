from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, Moment

WRITER, CLIENT = "deepcolor.search.study.writing:Writer", "mlflow:MlflowClient"
CONFIRM = ("--executor", "serial", "-o", "search.confirm={top: 2, seeds: 2}")
TRAININGS = 4
MOMENTS = {
    "in the start of a training": Moment(WRITER, "create", nth=POINTS + 2, after=True),
    "with a run made and nothing in it": Moment(CLIENT, "create_run", nth=1 + POINTS + 2, after=True),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_driver_killed_while_it_confirms_is_gone_on_with(place: Place, moment: Moment) -> None:
    """The two best settings have each training under two other seeds once, with a run of its own, none left RUNNING."""
    place.start("sweep", "grid.yaml", *CONFIRM, faults=Faults(dies_at=moment)).ends(-signal.SIGKILL)
    assert any(trial.confirms for trial in place.trials())
    done = place.sweep(*CONFIRM)
    confirmed = Counter(trial.confirms for trial in place.trials() if trial.confirms)
    assert (len(confirmed), set(confirmed.values())) == (TRAININGS, {1})
    assert {trial.state for trial in place.trials()} == {"complete"}
    assert (done["trials"], done["trained_epochs"]) == (POINTS, EPOCHS + 2 * 2 * 3)
    assert done["confirmation"]["winner"] is not None
    runs = place.runs()
    kinds = Counter(run.data.tags["deepcolor.kind"] for run in runs)
    assert kinds == {"study": 1, "trial": POINTS, "confirmation": TRAININGS}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert place.sweep(*CONFIRM)["trained_now"] == 0
