from __future__ import annotations

import signal

from deepcolor.search.study.storage import StudyStorage
from deepcolor.workspace import Workspace
from tests.reliability.conftest import EPOCHS, POINTS, Place
from tests.reliability.processes import Faults, Moment

STUDY, CLIENT = "deepcolor.search.study.storage", "mlflow:MlflowClient"
MOMENTS = (
    Moment(STUDY, "rename"),
    Moment(STUDY, "rename", after=True),
    Moment("pathlib:Path", "rename", nth=3, after=True),
    Moment(f"{STUDY}:StoredStudy", "put_followed"),
    Moment("deepcolor.app.sync", "sync_studies"),
    Moment(CLIENT, "log_batch", nth=4),
)
"""Before and after the transaction; with its folder in two places; with nothing but that left to be noted; before
MLflow follows; with some of its runs following."""


def test_a_study_is_whole_whenever_its_renaming_is_killed(place: Place) -> None:
    """At any moment it has one name, by which it is read whole, as it is by the other once there are two; the same
    command again does the rest. Killed on its way to each of six names, it has one folder, the runs that it had, all of
    them naming it so, and trains nothing again.
    """
    place.sweep("--executor", "serial")
    before, runs = place.trials(), {run.info.run_id for run in place.runs()}
    workspace, name = Workspace.at(place.root), "grid"
    for number, moment in enumerate(MOMENTS):
        new = f"name{number}"
        place.start("rename", name, new, faults=Faults(dies_at=moment)).ends(-signal.SIGKILL)
        (listed,) = StudyStorage(workspace).names()
        assert listed == (name if number == 0 else new)
        assert place.trials(name) == place.trials(listed) == before
        place.start("rename", name, new).ends(0)
        assert StudyStorage(workspace).names() == [new]
        assert not workspace.study(name).exists()
        assert (workspace.report(new) / "summary.json").is_file()
        assert {run.info.run_id for run in place.runs()} == runs
        assert {run.data.tags["deepcolor.study"] for run in place.runs()} == {new}
        name = new
    done = place.sweep("--executor", "serial", "-o", f"study={name}")
    assert (done["complete"], done["trained_epochs"], done["trained_now"]) == (POINTS, EPOCHS, 0)
    place.assert_whole(name)
    assert place.trials("grid") == before
