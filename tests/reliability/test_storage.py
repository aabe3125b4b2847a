from __future__ import annotations

from deepcolor.atomic import TEMPORARY_PREFIX
from tests.reliability.conftest import POINTS, Place
from tests.reliability.processes import Faults

SERIAL = ("--executor", "serial")
WIDE = """
study: grid
stage: regressor
data: {name: faces, size_px: 64, augment: {random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}
model: {feature_maps: 24, growth: double}
search:
  space:
    lr: [1e-3, 1e-4]
    epochs: [1, 2]
"""


def test_a_full_disk_under_a_checkpoint_ends_the_sweep(place: Place) -> None:
    """The sweep ends with one line that says what to do, no trial is used up, nothing half-written, and no run is left
    RUNNING; then it goes on.
    """
    place.write("grid.yaml", WIDE)
    full = Faults(formula=False, largest_file_bytes=1_500_000)
    text = place.start("sweep", "grid.yaml", *SERIAL, faults=full).ends(2)
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "Free disk space" in line
    assert [trial.state for trial in place.trials()] == ["waiting"] * len(place.trials())
    assert list(place.root.rglob(f"{TEMPORARY_PREFIX}*")) == []
    assert list(place.root.rglob("e0*.safetensors")) == []
    shown = {run.info.run_name.split()[0]: run for run in place.runs()}
    assert {name: run.info.status for name, run in shown.items()} == {
        "grid": "KILLED",
        **{f"t{trial.number:04d}": "KILLED" for trial in place.trials()},
    }
    assert {name: run.data.tags["deepcolor.state"] for name, run in shown.items()} == {
        name: "interrupted" if name == "grid" else "waiting" for name in shown
    }
    done = place.sweep(*SERIAL, faults=Faults(formula=False))
    assert (done["complete"], done["failed"], done["trials"]) == (4, 0, 4)
    assert {run.info.status for run in place.runs()} == {"FINISHED"}


def test_a_full_disk_under_the_databases_ends_the_sweep(place: Place) -> None:
    """The sweep ends with one line, and after space is freed nothing is missing and nothing there twice."""
    full = Faults(largest_file_bytes=120_000)
    text = place.start("sweep", "grid.yaml", *SERIAL, faults=full).ends(2)
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "studies database" in line
    assert "Free disk space" in line
    done = place.sweep(*SERIAL)
    assert (done["complete"], done["trials"]) == (POINTS, POINTS)
    place.assert_whole()
