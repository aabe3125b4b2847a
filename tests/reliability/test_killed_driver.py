from __future__ import annotations

import signal

import pytest

from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, Moment

WRITER, CLIENT = "deepcolor.search.study.writing:Writer", "mlflow:MlflowClient"
MOMENTS = {
    "in the start of a trial": Moment(WRITER, "create", nth=3, after=True),
    "in the middle of a checkpoint": Moment("deepcolor.training.checkpoint", "_write_record", nth=2),
    "between training and telling": Moment(WRITER, "change", nth=2),
    "between telling and MLflow": Moment(WRITER, "change", nth=2, after=True),
    "with a run made and nothing in it": Moment(CLIENT, "create_run", nth=3, after=True),
    "with a run filled and still RUNNING": Moment(CLIENT, "set_terminated", nth=2),
    "with its first file half written": Moment("deepcolor.atomic", "_write", after=True),
    "with a later file half written": Moment("deepcolor.atomic", "_write", nth=6, after=True),
    "with its report half written": Moment("deepcolor.atomic", "_write", nth=31, after=True),
    "while the report is written": Moment("deepcolor.report.writing:ReportFolder", "write"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_driver_killed_at_any_moment_is_gone_on_with(place: Place, moment: Moment) -> None:
    """Each grid point ends up complete once, its run whole and FINISHED, at most one segment is trained twice, and no
    half-written file stays.
    """
    place.start("sweep", "grid.yaml", "--executor", "serial", faults=Faults(dies_at=moment)).ends(-signal.SIGKILL)
    if moment.function == "_write":
        assert list(place.root.rglob(".tmp-*")) != []
    done = place.sweep("--executor", "serial")
    place.assert_whole()
    assert list(place.root.rglob(".tmp-*")) == []
    assert (done["complete"], done["trained_epochs"]) == (POINTS, EPOCHS)
    again = place.sweep("--executor", "serial")
    assert (again["trained_now"], again["trials"], again["best"]) == (0, done["trials"], done["best"])
