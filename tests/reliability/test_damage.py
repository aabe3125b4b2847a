from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.conftest import Place
from tests.reliability.processes import Faults

SERIAL = ("--executor", "serial")
REAL = Faults(formula=False)
SWEEP = """
study: {study}
stage: regressor
data: {{name: faces, size_px: 64, augment: {{random_crop: null, random_vertical_flip: null, random_rotation: null,
       random_adjust_sharpness: null}}}}
search: {{space: {{epochs: {epochs}}}}}
"""


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("e000004.safetensors", _flip), ("e000004.safetensors", _truncate), ("e000004.json", _flip)],
    ids=["weights altered", "weights truncated", "record altered"],
)
def test_a_damaged_checkpoint_costs_epochs_and_no_figure(
    place: Place, name: str, damage: Callable[[Path], None]
) -> None:
    """What does not match its checksum is trained again from the checkpoint before it, to the same figures."""
    place.write("grid.yaml", SWEEP.format(study="grid", epochs=[2, 4]))
    place.sweep(*SERIAL, faults=REAL)
    (checkpoints,) = (place.root / "studies" / "trajectories").glob("*/checkpoints")
    recorded = json.loads((checkpoints / "e000004.json").read_bytes())["record"]["history"]
    damage(checkpoints / name)
    place.write("longer.yaml", SWEEP.format(study="longer", epochs=[6]))
    longer = place.sweep(*SERIAL, study="longer", faults=REAL)
    assert longer["trained_now"] == 4  # Epochs 3 and 4 again, and the two new ones.
    history = json.loads((checkpoints / "e000006.json").read_bytes())["record"]["history"]
    figures = [[(row["train_mse"], row["val_mse"]) for row in rows[:4]] for rows in (history, recorded)]
    assert figures[0] == figures[1]


def test_pictures_changed_or_removed_stop_a_sweep_before_it_trains(place: Place, template: Path) -> None:
    """A picture with other content, or none: one line names it and says what to do; put back, the sweep goes on."""
    picture = sorted((template.parent / "pictures").rglob("*.png"))[3]
    content = picture.read_bytes()
    try:
        for change in (lambda: picture.write_bytes(content[:-1] + b"x"), picture.unlink):
            change()
            text = place.start("sweep", "grid.yaml", *SERIAL).ends(2)
            (line,) = text.strip().splitlines()
            assert "1 of 24 changed or removed" in line
            assert picture.name in line
            assert "deepcolor data prepare" in line
            assert not (place.root / "studies" / "trajectories").exists()
    finally:
        picture.write_bytes(content)
    place.sweep(*SERIAL)
    place.assert_whole()
